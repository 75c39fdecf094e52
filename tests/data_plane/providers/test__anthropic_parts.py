"""Does every content part become the block that Anthropic has for it?"""

import base64

import pytest

from data_plane.providers._anthropic_parts import blocks_of
from shared.errors import BadRequest, Unsupported

PNG = base64.b64encode(b"png").decode()
CACHE = {"type": "ephemeral"}


def read(*parts):
    return blocks_of({"content": list(parts)}, "messages[0]", "anthropic")


def image(url, **extra):
    return {"type": "image_url", "image_url": {"url": url}, **extra}


@pytest.mark.parametrize("content", [None, "", " \n", [], [{"type": "text", "text": ""}]])
def test_empty_content_makes_no_block(content):
    assert blocks_of({"content": content}, "m", "anthropic") == []


def test_a_string_is_one_text():
    assert blocks_of({"content": "hi"}, "m", "anthropic") == [{"type": "text", "text": "hi"}]


def test_cache_marks_stay_on_their_parts():
    parts = [{"type": "text", "text": "a", "cache_control": CACHE}, image("https://x/y.png", cache_control=CACHE)]
    assert [block["cache_control"] for block in read(*parts)] == [CACHE, CACHE]
    assert blocks_of({"content": "a", "cache_control": CACHE}, "m", "anthropic")[0]["cache_control"] == CACHE


def test_an_image_in_a_data_url_is_sent_as_base64():
    assert read(image(f"data:image/png;base64,{PNG}")) == [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    ]


def test_the_unregistered_type_image_jpg_is_sent_as_jpeg():
    assert read(image(f"data:image/jpg;base64,{PNG}"))[0]["source"]["media_type"] == "image/jpeg"


def test_a_data_url_that_is_not_base64_becomes_base64():
    source = read(image("data:image/png;charset=x,p%6Eg"))[0]["source"]
    assert base64.b64decode(source["data"]) == b"png"


def test_a_web_address_of_an_image_is_passed_on():
    assert read(image("https://x.example/y.png", detail="high")) == [
        {"type": "image", "source": {"type": "url", "url": "https://x.example/y.png"}}
    ]


def test_an_image_url_may_be_a_plain_string():
    assert read({"type": "image_url", "image_url": "http://x/y"})[0]["source"] == {"type": "url", "url": "http://x/y"}


def test_a_pdf_is_a_document_whichever_part_it_comes_in():
    url = f"data:application/pdf;base64,{PNG}"
    document = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PNG}}
    assert read(image(url), {"type": "file", "file": {"file_data": url, "filename": "a.pdf"}}) == [
        document,
        {**document, "title": "a.pdf"},
    ]


def test_file_data_without_a_type_is_a_pdf():
    assert read({"type": "file", "file": {"file_data": PNG}})[0]["source"]["media_type"] == "application/pdf"


def test_a_text_file_is_a_document_of_plain_text():
    raw = base64.b64encode("grüß".encode()).decode()
    assert read({"type": "file", "file": {"file_data": f"data:text/plain;base64,{raw}"}}) == [
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "grüß"}}
    ]


def test_a_file_id_is_passed_on():
    assert read({"type": "file", "file": {"file_id": "file_1"}}) == [
        {"type": "document", "source": {"type": "file", "file_id": "file_1"}}
    ]


def test_blocks_in_anthropics_own_words_pass_untouched():
    own = {"type": "search_result", "source": "s", "title": "t", "content": [], "new_field": 1}
    assert read(own) == [own]


@pytest.mark.parametrize(
    ("part", "path"),
    [
        ("text", "messages[0].content[0]"),
        ({"text": "x"}, "messages[0].content[0]"),
        ({"type": ["text"]}, "messages[0].content[0]"),
        ({"type": "text"}, "messages[0].content[0].text"),
        ({"type": "image_url"}, "messages[0].content[0].image_url.url"),
        (image("gs://bucket/x.png"), "messages[0].content[0].image_url.url"),
        (image("data:image/png;base64,"), "messages[0].content[0].image_url.url"),
        (image("data:image/png"), "messages[0].content[0].image_url.url"),
        (image("data:video/mp4;base64,AAAA"), "messages[0].content[0].image_url.url"),
        (image("data:,x"), "messages[0].content[0].image_url.url"),
        (image("data:text/plain;base64,!!"), "messages[0].content[0].image_url.url"),
        ({"type": "file"}, "messages[0].content[0].file"),
        ({"type": "file", "file": {}}, "messages[0].content[0].file"),
    ],
)
def test_a_part_that_cannot_be_understood_is_refused_with_its_path(part, path):
    with pytest.raises(BadRequest) as caught:
        read(part)
    assert caught.value.path == path


def test_content_of_a_wrong_type_is_refused():
    with pytest.raises(BadRequest) as caught:
        blocks_of({"content": 5}, "messages[3]", "anthropic")
    assert caught.value.path == "messages[3].content"


def test_audio_is_refused_by_name():
    with pytest.raises(Unsupported, match="anthropic does not support content of the type input_audio"):
        read({"type": "input_audio", "input_audio": {"data": "x", "format": "wav"}})
