"""Forms as the gateway reads and sends them on, through a real gateway."""

import aiohttp
import orjson
import pytest

from data_plane.http.forms import MAX_FIELDS
from tests.data_plane import kit
from tests.data_plane.gateway_kit import at, gateway
from tests.fakes.provider import KEYS, FakeProvider, Reply

SPOKEN = {"text": "hello", "usage": {"type": "duration", "seconds": 3}}


def form(**fields):
    data = aiohttp.FormData()
    for name, value in fields.items():
        if isinstance(value, bytes):
            data.add_field(name, value, filename="a.mp3", content_type="audio/mpeg")
        else:
            data.add_field(name, value)
    return data


async def sent(tmp_path, data, *, path="/v1/audio/transcriptions", script=(), headers=None, **limit):
    """Send a form; return (status, body, content type, what the provider saw, record, request kept)."""
    async with FakeProvider(script) as fake, gateway(tmp_path, **limit, **at(fake)) as gw:
        all_headers = {"x-portkey-api-key": kit.KEY_TEXT, **(headers or {})}
        async with gw.session.post(gw.url + path, data=data, headers=all_headers) as response:
            body = await response.read()
            item = gw.recorded.items[-1] if gw.recorded.items else (None, None, None)
            return response.status, body, response.headers["content-type"], fake.seen, item


async def test_a_recording_is_written_down_by_the_provider_that_its_model_names(tmp_path):
    data = form(model="@main/whisper-1", language="en", file=b"\x00\xff" * 1000)
    status, body, _, seen, (record, shipped, _) = await sent(tmp_path, data, script=[Reply(json=SPOKEN)])
    assert (status, orjson.loads(body)["text"]) == (200, "hello")
    assert (seen[0].path, seen[0].headers["authorization"]) == ("/v1/audio/transcriptions", f"Bearer {KEYS['openai']}")
    assert b"\x00\xff" * 1000 in seen[0].body
    assert b'name="model"\r\n\r\nwhisper-1\r\n' in seen[0].body
    assert (record.endpoint, record.model_served, record.units) == ("transcribe", "whisper-1", {"audio_ms": 3000})
    assert orjson.loads(shipped["request"])["file"] == {
        "filename": "a.mp3",
        "content_type": "audio/mpeg",
        "bytes": 2000,
    }


async def test_a_form_can_be_sent_again_after_a_failure(tmp_path):
    config = {"retry": {"attempts": 1, "on_status_codes": [503]}, "override_params": {"language": "de"}}
    headers = {"x-portkey-config": orjson.dumps(config).decode(), "x-portkey-provider": "@main"}
    data = form(model="whisper-1", language="en", file=b"sound")
    script = [Reply(503, json={"error": {"message": "busy"}}), Reply(json=SPOKEN)]
    status, _, _, seen, (record, _, _) = await sent(tmp_path, data, script=script, headers=headers)
    assert (status, record.retry_n) == (200, 1)
    assert all(b"sound" in request.body and b"\r\n\r\nde\r\n" in request.body for request in seen)
    assert len(seen) == 2


async def test_subtitles_come_back_as_they_are(tmp_path):
    script = [Reply(body=b"1\n00:00 --> 00:01\nhello\n", headers={"content-type": "text/plain; charset=utf-8"})]
    data = form(model="@main/whisper-1", response_format="srt", file=b"x")
    status, body, kind, _, _ = await sent(tmp_path, data, script=script)
    assert (status, body, kind) == (200, b"1\n00:00 --> 00:01\nhello\n", "text/plain; charset=utf-8")


async def test_a_transcript_comes_piece_by_piece(tmp_path):
    events = [
        {"type": "transcript.text.delta", "delta": "hel"},
        {"type": "transcript.text.done", "text": "hello", "usage": {
            "type": "tokens", "input_tokens": 14, "input_token_details": {"audio_tokens": 10, "text_tokens": 4}, "output_tokens": 2}},
    ]  # fmt: skip
    content = b"".join(b"data: " + orjson.dumps(event) + b"\n\n" for event in events)
    script = [Reply(body=content, headers={"content-type": "text/event-stream"})]
    data = form(model="@main/gpt-4o-transcribe", stream="true", file=b"x")
    status, body, kind, _, (record, _, _) = await sent(tmp_path, data, script=script)
    assert (status, kind) == (200, "text/event-stream")
    assert [orjson.loads(line[6:]) for line in body.split(b"\n") if line.startswith(b"data: ")] == events
    assert (record.tok_in, record.tok_out, record.units, record.stream) == (14, 2, {"audio_input": 10}, True)


async def test_pictures_are_edited(tmp_path):
    data = form(model="@main/gpt-image-1", prompt="a hat", image=b"png")
    script = [Reply(json={"created": 1, "data": [{"b64_json": "aa"}, {"b64_json": "bb"}]})]
    status, body, _, seen, (record, _, _) = await sent(tmp_path, data, path="/v1/images/edits", script=script)
    assert (status, len(orjson.loads(body)["data"]), seen[0].path) == (200, 2, "/v1/images/edits")
    assert (record.endpoint, record.units, record.price_status) == ("edit_image", {"images": 2}, "unpriced")


async def test_a_form_may_leave_the_model_to_the_provider(tmp_path):
    script = [Reply(json={"created": 1, "data": [{"url": "https://x.example"}]})]
    status, _, _, seen, _ = await sent(
        tmp_path,
        form(image=b"png"),
        path="/v1/images/variations",
        script=script,
        headers={"x-portkey-provider": "@main"},
    )
    assert (status, b'name="model"' in seen[0].body) == (200, False)


async def test_a_provider_without_the_endpoint_says_so(tmp_path):
    data = form(model="claude", file=b"x")
    headers = {"x-portkey-provider": "anthropic", "authorization": "Bearer sk-x"}
    status, body, _, seen, _ = await sent(tmp_path, data, headers=headers)
    assert (status, seen) == (400, [])
    assert "transcribe is not supported by anthropic" in orjson.loads(body)["message"]


BROKEN = [
    b"", b"--b", b"no boundary at all", b"--b\r\n\r\nno name\r\n--b--\r\n", b'--b\r\ncontent-disposition: form-data; name="a"\r\n',
    b'--b\r\ncontent-disposition: form-data; name="a"\r\n\r\n\xff\xfe\r\n--b--\r\n',
    b'--b\r\ncontent-disposition: form-data; name="a"\r\ncontent-type: multipart/mixed; boundary=c\r\n\r\n--c--\r\n--b--\r\n',
    b"--b\r\n" + b"x" * 20_000 + b"\r\n\r\n\r\n--b--\r\n",
]  # fmt: skip


@pytest.mark.parametrize("content", BROKEN)
async def test_what_is_no_form_is_a_clear_400(tmp_path, content):
    headers = {"content-type": "multipart/form-data; boundary=b", "x-portkey-provider": "@main"}
    status, body, _, seen, _ = await sent(tmp_path, content, headers=headers)
    assert (status, seen) == (400, []), body
    assert orjson.loads(body)["status"] == "failure"


async def test_a_form_without_a_boundary_is_a_clear_400(tmp_path):
    status, body, _, _, _ = await sent(tmp_path, b"x", headers={"content-type": "multipart/form-data"})
    assert (status, orjson.loads(body)["status"]) == (400, "failure")


async def test_a_form_with_too_many_fields_is_refused(tmp_path):
    data = aiohttp.FormData([("a", "b")] * (MAX_FIELDS + 1))
    data._is_multipart = True
    status, body, _, _, _ = await sent(tmp_path, data)
    assert (status, str(MAX_FIELDS) in orjson.loads(body)["message"]) == (400, True)


async def test_a_form_beyond_the_limit_is_refused(tmp_path):
    data = form(model="@main/whisper-1", file=b"x" * 5000)
    status, _, _, seen, _ = await sent(tmp_path, data, max_body=4096)
    assert (status, seen) == (413, [])
