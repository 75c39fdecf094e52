from email.parser import BytesParser

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_plane.core.form import FormFile, described, write_form

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=20)
FILES = st.builds(FormFile, NAMES, st.sampled_from(["", "audio/mpeg", "image/png"]), st.binary(max_size=200))


def read(written):
    """Return [(name, file name, content)] as a mail parser understands the form."""
    head = b"content-type: " + written.content_type.encode() + b"\r\n\r\n"
    told = BytesParser().parsebytes(head + b"".join(written.parts))
    return [
        (part.get_param("name", header="content-disposition"), part.get_filename(), part.get_payload(decode=True))
        for part in told.get_payload()
    ]


def test_files_and_texts_stand_in_their_order():
    form = {
        "model": "whisper-1",
        "file": FormFile("a.mp3", "audio/mpeg", b"\x00\xff"),
        "include[]": ["a", "b"],
        "n": None,
    }
    assert read(write_form(form, "bound")) == [
        ("model", None, b"whisper-1"), ("file", "a.mp3", b"\x00\xff"), ("include[]", None, b"a"), ("include[]", None, b"b"),
    ]  # fmt: skip


@pytest.mark.parametrize(("value", "text"), [(True, b"true"), (0.5, b"0.5"), ({"a": [1]}, b'{"a":[1]}')])
def test_what_a_config_puts_into_a_form_is_written_as_text(value, text):
    assert read(write_form({"x": value}, "bound")) == [("x", None, text)]


def test_what_no_field_can_hold_is_a_type_error():
    with pytest.raises(TypeError):
        write_form({"x": object()}, "bound")


def test_a_name_cannot_end_its_header():
    written = write_form({'a"\r\nx-evil: 1': "v", "f": FormFile('b"\r\n\r\nc', "", b"")}, "bound")
    assert b"x-evil: 1" not in b"".join(written.parts).replace(b"%0Ax-evil: 1", b"")
    assert len(read(written)) == 2


@given(form=st.dictionaries(st.sampled_from(["file", "image[]", "prompt"]), st.one_of(TEXTS, FILES), max_size=3))
def test_every_form_has_as_many_parts_as_fields(form):
    boundary = "0123456789abcdef"
    body = b"".join(write_form(form, boundary).parts)
    assert body.count(f"--{boundary}\r\n".encode()) == len(form)
    assert body.endswith(f"--{boundary}--\r\n".encode())


def test_a_record_holds_no_file():
    form = {"model": "m", "image[]": [FormFile("1.png", "image/png", b"123")]}
    assert orjson.loads(described(form)) == {
        "model": "m", "image[]": [{"filename": "1.png", "content_type": "image/png", "bytes": 3}],
    }  # fmt: skip
