"""Do OpenAI's content parts become Converse's blocks, or a refusal that says where and why?"""

import pytest

from data_plane.providers._converse_parts import MAX_NAME_CHARS, blocks_of, cache_point
from shared.errors import BadRequest, Unsupported
from tests.fakes.aws import converse_problems


def blocks(*parts):
    made = blocks_of({"content": list(parts)}, "messages[0]", "bedrock")
    assert converse_problems({"messages": [{"role": "user", "content": made}]}) == ""
    return made


def image(url):
    return {"type": "image_url", "image_url": {"url": url}}


def file(**held):
    return {"type": "file", "file": held}


def test_texts_are_blocks_and_empty_ones_are_left_out():
    assert blocks({"type": "text", "text": "a"}, {"type": "text", "text": " \n"}, {"type": "refusal", "refusal": "b"}) == [
        {"text": "a"}, {"text": "b"},
    ]  # fmt: skip
    assert blocks_of({"content": "hi"}, "m", "bedrock") == [{"text": "hi"}]
    assert blocks_of({}, "m", "bedrock") == blocks_of({"content": " "}, "m", "bedrock") == []


@pytest.mark.parametrize(("kind", "name"), [
    ("image/png", "png"), ("image/jpeg", "jpeg"), ("image/jpg", "jpeg"), ("image/gif", "gif"), ("IMAGE/WEBP", "webp"),
])  # fmt: skip
def test_images_come_as_data_urls(kind, name):
    assert blocks(image(f"data:{kind};base64,AAAA")) == [{"image": {"format": name, "source": {"bytes": "AAAA"}}}]


def test_images_may_lie_in_s3():
    assert blocks(image("s3://bucket/a.JPG")) == [
        {"image": {"format": "jpeg", "source": {"s3Location": {"uri": "s3://bucket/a.JPG"}}}}
    ]


@pytest.mark.parametrize("url", ["https://x.example/a.png", "http://x", "gs://b/a.png", ""])
def test_urls_that_bedrock_would_have_to_fetch_are_unsupported(url):
    with pytest.raises(Unsupported, match="bedrock does not fetch URLs") as refusal:
        blocks(image(url))
    assert refusal.value.path == "messages[0].content[0].image_url.url"


@pytest.mark.parametrize("url", ["data:image/tiff;base64,AAAA", "s3://b/a", "data:application/pdf;base64,AAAA"])
def test_images_of_other_formats_are_refused(url):
    with pytest.raises(BadRequest, match="it takes png, jpeg, gif, webp"):
        blocks(image(url))


@pytest.mark.parametrize(("held", "kind", "name"), [
    ({"file_data": "data:application/pdf;base64,AAAA", "filename": "my_report.v2.pdf"}, "pdf", "my report v2"),
    ({"file_data": "AAAA", "filename": "a.pdf"}, "pdf", "a"), ({"file_data": "AAAA"}, "pdf", "document"),
    ({"file_data": "data:text/markdown;base64,AAAA", "filename": "README"}, "md", "README"),
    ({"file_data": "data:application/octet-stream;base64,AAAA", "filename": "b.xlsx"}, "xlsx", "b"),
    ({"file_data": "data:text/plain,a", "filename": "é"}, "txt", "document"),
    ({"file_data": "data:text/csv;base64,AAAA", "filename": "x" * 300}, "csv", "x" * MAX_NAME_CHARS),
])  # fmt: skip
def test_files_are_documents_with_names_that_bedrock_takes(held, kind, name):
    (block,) = blocks(file(**held))
    assert (block["document"]["format"], block["document"]["name"]) == (kind, name)
    assert block["document"]["source"]["bytes"]


def test_files_may_lie_in_s3():
    assert blocks(file(file_id="s3://bucket/folder/q 1.docx")) == [
        {
            "document": {
                "format": "docx",
                "name": "q 1",
                "source": {"s3Location": {"uri": "s3://bucket/folder/q 1.docx"}},
            }
        }
    ]


def test_a_file_that_is_an_image_is_one():
    assert blocks(file(file_data="data:image/png;base64,AAAA"))[0]["image"]["format"] == "png"


def test_openais_file_ids_are_unsupported():
    with pytest.raises(Unsupported) as refusal:
        blocks(file(file_id="file-1"))
    assert refusal.value.path == "messages[0].content[0].file.file_id"


@pytest.mark.parametrize(
    "held", [{}, {"file_data": 1}, {"file_data": "data:application/zip;base64,AAAA", "filename": "a.zip"}]
)
def test_files_that_are_none_are_refused(held):
    with pytest.raises(BadRequest):
        blocks(file(**held))
    with pytest.raises(BadRequest):
        blocks({"type": "file"})


def test_sound_and_film_have_their_blocks():
    sound = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
    film = {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA"}}
    assert blocks(sound, film) == [
        {"audio": {"format": "wav", "source": {"bytes": "AAAA"}}}, {"video": {"format": "mp4", "source": {"bytes": "AAAA"}}},
    ]  # fmt: skip
    with pytest.raises(BadRequest):
        blocks({"type": "input_audio", "input_audio": {"data": "AAAA"}})


def test_a_mark_for_the_cache_stands_behind_its_part():
    marked = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    assert blocks(marked, {"type": "text", "text": "b"}) == [
        {"text": "a"}, {"cachePoint": {"type": "default", "ttl": "1h"}}, {"text": "b"},
    ]  # fmt: skip
    assert cache_point({"cache_control": {"type": "ephemeral"}}) == [{"cachePoint": {"type": "default"}}]
    assert cache_point({"cache_control": None}) == cache_point({}) == []


def test_converses_own_blocks_pass_through():
    own = [{"guardContent": {"text": {"text": "x"}}}, {"cachePoint": {"type": "default"}}, {"text": "a"}]
    assert blocks(*own) == own


@pytest.mark.parametrize(("part", "error"), [
    ({"type": "thinking"}, Unsupported), ({"type": 1}, BadRequest), ({}, BadRequest), ({"x": 1}, BadRequest),
    ({"text": "a", "image": {}}, BadRequest), ({"type": "text"}, BadRequest),
])  # fmt: skip
def test_other_parts_are_refused(part, error):
    with pytest.raises(error) as refusal:
        blocks(part)
    assert refusal.value.path.startswith("messages[0].content[0]")
