import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_plane.providers._gemini_parts import parts_of
from shared.errors import BadRequest, Unsupported


def made(*content, provider="google"):
    return parts_of({"content": list(content)}, "messages[0]", provider)


def image(url, **beside):
    return {"type": "image_url", "image_url": {"url": url, **beside}}


def file(**held):
    return {"type": "file", "file": held}


@pytest.mark.parametrize(("content", "parts"), [
    (None, []), ("", []), (" ", [{"text": " "}]), ("hi", [{"text": "hi"}]),
    ([{"type": "text", "text": ""}, {"type": "text", "text": "a", "cache_control": {}}], [{"text": "a"}]),
    ([{"type": "refusal", "refusal": "no"}], [{"text": "no"}]),
])  # fmt: skip
def test_text_is_text_and_empty_text_is_left_out(content, parts):
    assert parts_of({"content": content}, "messages[0]", "google") == parts


@pytest.mark.parametrize(("url", "kind", "data"), [
    ("data:image/png;base64,AAAA", "image/png", "AAAA"), ("data:image/jpg;base64,AAAA", "image/jpeg", "AAAA"),
    ("data:IMAGE/WEBP;base64,AAAA", "image/webp", "AAAA"), ("data:text/plain,hi", "text/plain", "aGk="),
    ("data:;base64,AAAA", "text/plain", "AAAA"),
])  # fmt: skip
def test_a_data_url_is_inline(url, kind, data):
    assert made(image(url)) == [{"inlineData": {"mimeType": kind, "data": data}}]


@pytest.mark.parametrize(("url", "kind"), [
    ("https://x.example/a.PNG?size=1", "image/png"), ("gs://bucket/a.pdf", "application/pdf"),
    ("https://x.example/no-name", "image/jpeg"), ("http://x.example/a.mp4", "video/mp4"),
    ("https://www.youtube.com/watch?v=1", "video/mp4"), ("https://youtu.be/1", "video/mp4"),
])  # fmt: skip
def test_a_url_is_fetched_by_google_with_the_type_that_its_name_tells(url, kind):
    assert made(image(url)) == [{"fileData": {"mimeType": kind, "fileUri": url}}]


def test_the_caller_may_say_the_type_of_what_is_fetched():
    for name in ("mime_type", "format"):
        part = made(image("https://x.example/a", **{name: "image/heic"}))[0]
        assert part["fileData"]["mimeType"] == "image/heic"


def test_a_video_without_a_name_is_a_video():
    part = {"type": "video_url", "video_url": {"url": "https://x.example/v"}}
    assert made(part) == [{"fileData": {"mimeType": "video/mp4", "fileUri": "https://x.example/v"}}]


@pytest.mark.parametrize(("held", "inline"), [
    ({"data": "AAAA", "format": "wav"}, {"mimeType": "audio/wav", "data": "AAAA"}),
    ({"data": "AAAA", "format": "audio/mpeg"}, {"mimeType": "audio/mpeg", "data": "AAAA"}),
    ({"data": "data:audio/ogg;base64,BBBB", "format": "wav"}, {"mimeType": "audio/ogg", "data": "BBBB"}),
])  # fmt: skip
def test_sound_is_inline(held, inline):
    assert made({"type": "input_audio", "input_audio": held}) == [{"inlineData": inline}]


@pytest.mark.parametrize(("held", "part"), [
    ({"file_data": "data:text/csv;base64,AAAA"}, {"inlineData": {"mimeType": "text/csv", "data": "AAAA"}}),
    ({"file_data": "AAAA"}, {"inlineData": {"mimeType": "application/pdf", "data": "AAAA"}}),
    ({"file_data": "AAAA", "filename": "a.txt"}, {"inlineData": {"mimeType": "text/plain", "data": "AAAA"}}),
    ({"file_id": "gs://b/a.md"}, {"fileData": {"mimeType": "text/markdown", "fileUri": "gs://b/a.md"}}),
    ({"file_url": "https://x.example/a"}, {"fileData": {"mimeType": "application/pdf", "fileUri": "https://x.example/a"}}),
    ({"file_id": "files/abc"}, {"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/abc"}}),
    ({"file_id": "files/abc", "format": "video/mp4"},
     {"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/abc", "mimeType": "video/mp4"}}),
])  # fmt: skip
def test_a_file_is_inline_or_where_it_lies(held, part):
    assert made(file(**held)) == [part]


@pytest.mark.parametrize(("part", "path"), [
    (image("ftp://x"), ".image_url.url"), (image(7), ".image_url.url"), (image("data:image/png;base64,"), ".image_url.url"),
    (image("https://[x"), ".image_url.url"), ({"type": "image_url"}, ".image_url.url"), ({"type": "text"}, ".text"),
    ({"type": "input_audio", "input_audio": {"data": "A"}}, ".input_audio"), ({"type": "input_audio"}, ".input_audio"),
    (file(), ".file"), ({"type": "file"}, ".file"), (file(file_id="file-1"), ".file.file_id"), ({}, ".type"),
    ({"type": "thing"}, ".type"), ("text", ""),
])  # fmt: skip
def test_what_cannot_be_understood_is_refused_with_its_path(part, path):
    with pytest.raises(BadRequest) as raised:
        made(part)
    assert raised.value.path == f"messages[0].content[0]{path}"


def test_a_part_of_an_unknown_type_is_unsupported_by_name():
    with pytest.raises(Unsupported, match="vertex-ai does not support content of the type thing"):
        made({"type": "thing"}, provider="vertex-ai")


def test_geminis_own_parts_pass_through():
    part = {"fileData": {"fileUri": "gs://b/v.mp4"}, "videoMetadata": {"fps": 1}}
    assert made(part) == [part]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "x", "data:,", "https://[", "gs://b/a"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["type", "text", "image_url", "url", "file", "file_data", "file_id", "filename", "format",
                         "input_audio", "data", "refusal", "video_url", "mime_type"]), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip
KINDS = st.sampled_from(["text", "refusal", "image_url", "video_url", "input_audio", "file", "x"])


@given(st.lists(st.one_of(JSON, st.builds(lambda kind, held: {"type": kind, kind: held}, KINDS, JSON)), max_size=3))
def test_any_content_becomes_parts_or_is_refused_with_a_path(content):
    parts, path = [{}], ""
    try:
        parts = parts_of({"content": content}, "m", "google")
    except BadRequest as refusal:
        path = refusal.path
    assert path.startswith("m.content") or all(isinstance(part, dict) and part for part in parts)
