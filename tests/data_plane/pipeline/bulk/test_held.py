"""Files that are held until they are whole, and what goes out of them; whole uploads are in the providers' tests."""

import orjson
import pytest

from data_plane.pipeline.bulk.held import IN_MEMORY_BYTES, HeldFile, take_file
from data_plane.providers._bulk import request_to
from data_plane.providers._hosted import Taken
from shared.errors import BadRequest, BodyTooLarge, Unsupported


class Files:
    purpose, field, most_bytes = "batch", "data", 64

    def line(self, said):
        if "bad" in said:
            raise Unsupported("no bad lines", path="body.bad")
        return ({"n": 2**70} if "huge" in said else {"text": said.get("text")}), said.get("model", "")


class Field:
    def __init__(self, name, *pieces, filename=None):
        self.name, self.filename, self._pieces = name, filename, pieces

    async def pieces(self):
        for piece in self._pieces:
            yield piece


async def each(*fields):
    for field in fields:
        yield field


async def taken(*fields):
    held = HeldFile()
    try:
        await take_file(each(*fields), Files(), held)
        request = held.form(request_to("https://x.example", "POST", accept="a/b"), "data")
        return held.taken, request, b"".join([piece async for piece in request.upload])
    finally:
        held.close()


def file(*pieces, name="in.jsonl"):
    return Field("file", *pieces, filename=name)


async def test_a_file_goes_out_as_a_form_of_the_length_that_it_promises():
    counted, request, body = await taken(
        Field("purpose", b"batch"), file(b'{"text": "h\xc3', b'\xa9"}\n\n{"text":', b' "b"}')
    )
    assert counted == Taken("in.jsonl", len('{"text":"hé"}\n{"text":"b"}\n'.encode()), 2, "")
    kind, _, boundary = request.headers["content-type"].partition("; boundary=")
    head, content, tail = body.partition('{"text":"hé"}\n{"text":"b"}\n'.encode())
    assert (kind, int(request.headers["content-length"]), request.headers["accept"]) == (
        "multipart/form-data",
        len(body),
        "a/b",
    )
    assert head.startswith(f"--{boundary}\r\n".encode())
    assert (b'name="data"' in head, bool(content), tail) == (True, True, f"\r\n--{boundary}--\r\n".encode())


@pytest.mark.parametrize(("fields", "error", "told"), [
    ((file(b"{}"), file(b"{}")), BadRequest, "one file"), ((Field("other", b"x", filename="x"),), BadRequest, "one file"),
    ((), BadRequest, "at least one line"), ((file(b"\n \n"),), BadRequest, "at least one line"),
    ((Field("purpose", b"fine-tune"), file(b"{}")), Unsupported, "purpose: batch"),
    ((file(b"{}\n[1]"),), BadRequest, "Line 2 .* not a JSON object"), ((file(b'{}\n{"bad":1}'),), BadRequest, "Line 2 .*no bad lines .body.bad"),
    ((file(b'{"huge":1}'),), BadRequest, "Line 1 .*too large"),
    ((file(b'{"model":"a"}\n{}\n{"model":"b"}'),), BadRequest, "Line 3 .*one model, a"),
    ((file(orjson.dumps({"text": "x" * 99})),), BodyTooLarge, "use its id"),
    ((Field("purpose", b"\xff"), file(b"{}")), BadRequest, "UTF-8"), ((Field("x", b"y" * 5000), file(b"{}")), BodyTooLarge, "too long"),
])  # fmt: skip
async def test_a_form_that_makes_no_file_is_told_why(fields, error, told):
    with pytest.raises(error, match=told):
        await taken(*fields)


async def test_the_model_of_the_lines_is_known():
    counted, _, _ = await taken(file(b'{}\n{"model":"a"}\n{"model":"a"}'))
    assert (counted.model, counted.lines) == ("a", 3)


async def test_a_file_larger_than_memory_allows_goes_out_whole():
    held = HeldFile()
    try:
        line = b"x" * 999_999 + b"\n"
        for _ in range(2 * IN_MEMORY_BYTES // len(line)):
            held.add(line, 10**9)
        request = held.form(request_to("https://x.example", "POST"), "file")
        sizes = [len(piece) async for piece in request.upload]
        assert (sum(sizes), max(sizes) < len(line)) == (int(request.headers["content-length"]), True)
    finally:
        held.close()


async def test_a_form_on_its_way_out_is_not_read_as_one():
    held = HeldFile()
    upload = held.form(request_to("https://x.example", "POST"), "file").upload
    assert not upload.begun
    with pytest.raises(TypeError):
        upload.fields()
    assert [piece async for piece in upload]
    assert upload.begun
    held.close()
