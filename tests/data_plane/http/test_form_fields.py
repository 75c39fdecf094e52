"""Forms that are read while they arrive."""

import aiohttp
import pytest
from aiohttp import web

from data_plane.http.form_fields import MAX_FIELDS
from data_plane.http.ingress import upload_of
from shared.errors import GatewayError


@pytest.fixture
async def post():
    """Post a body to a server that answers with the form's fields, or with why there is none."""
    limits = {"limit": 1500, "silence_s": 5.0}

    async def handle(request):
        found = []
        try:
            upload = upload_of(request, limits["limit"], silence_s=limits["silence_s"])
            async for field in upload.fields():
                found.append(
                    [field.name, field.filename, b"".join([piece async for piece in field.pieces()]).decode("latin-1")]
                )
            upload.fields()
        except GatewayError as error:
            return web.json_response({"status": error.status, "message": error.message, "found": found})
        return web.json_response({"found": found})

    app = web.Application()
    app.router.add_post("/", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"

    async def send(data, *, headers=None, **changes):
        limits.update(changes)
        async with aiohttp.ClientSession() as session, session.post(url, data=data, headers=headers) as response:
            return await response.json()

    yield send
    await runner.cleanup()


def form(*fields):
    made = aiohttp.FormData()
    for name, value, filename in fields:
        made.add_field(name, value, filename=filename) if filename else made.add_field(name, value)
    made.add_field("end", "x")
    return made


async def test_fields_come_in_their_order_and_once(post):
    told = await post(form(("purpose", "batch", None), ("file", b"a" * 700, "in.jsonl")))
    assert told["found"] == [["purpose", None, "batch"], ["file", "in.jsonl", "a" * 700], ["end", None, "x"]]
    assert "cannot be sent again" in told["message"]


async def test_a_form_over_the_limit_is_refused_where_the_limit_is_passed(post):
    assert (await post(form(("file", b"a" * 1600, "x"))))["status"] == 413

    async def pieces():
        for _ in range(30):
            yield b"a" * 100

    told = await post(form(("file", pieces(), "x")))
    assert (told["status"], told["found"]) == (413, [])


@pytest.mark.parametrize(("body", "kind"), [
    (b"nothing", "multipart/form-data; boundary=b"), (b"--b\r\n\r\nx", "multipart/form-data; boundary=b"), (b"x", "multipart/form-data"),
    (b"--b\r\ncontent-disposition: form-data\r\n\r\nx\r\n--b--", "multipart/form-data; boundary=b"),
    (b'--b\r\ncontent-disposition: form-data; name="a"\r\ncontent-type: multipart/mixed; boundary=c\r\n\r\n--c--\r\n--b--', "multipart/form-data; boundary=b"),
])  # fmt: skip
async def test_what_is_no_form_is_a_400(post, body, kind):
    assert (await post(body, headers={"content-type": kind}))["status"] == 400


async def test_a_form_has_so_many_fields(post):
    told = await post(form(*(("a", b"", "x") for _ in range(MAX_FIELDS))), limit=1_000_000)
    assert (told["status"], len(told["found"])) == (400, MAX_FIELDS)


async def test_a_form_that_does_not_go_on_is_a_400(post):
    async def pieces():
        yield b"a"
        await aiohttp.client.asyncio.Event().wait()

    async with aiohttp.client.asyncio.timeout(10):
        told = await post(form(("file", pieces(), "x")), silence_s=0.05)
    assert (told["status"], "in time" in told["message"]) == (400, True)
