"""What is peculiar to Replicate: calls that wait, and what comes when that was not long enough."""

import orjson

from data_plane.providers.replicate import PROVIDER
from tests.data_plane.gateway_kit import gateway
from tests.fakes.provider import FakeProvider, Reply

DONE = {
    "id": "p1",
    "status": "succeeded",
    "output": ["h", "o"],
    "metrics": {"input_token_count": 3, "output_token_count": 2},
}
MESSAGES = [{"role": "user", "content": "hi"}]


async def call(tmp_path, told, *, path="/v1/chat/completions", headers=None, **body):
    async with FakeProvider([Reply(201, json=told)]) as fake, gateway(tmp_path) as gw:
        sent = {
            "x-portkey-provider": "replicate",
            "x-portkey-custom-host": fake.origin,
            "authorization": "Bearer k",
            **(headers or {}),
        }
        status, answered, _ = await gw.send(body or {"model": "meta/llama", "messages": MESSAGES}, sent, path=path)
        return status, answered, fake.seen[0], gw.recorded.last


async def test_a_chat_waits_for_its_prediction(tmp_path):
    status, answered, seen, record = await call(tmp_path, DONE)
    assert (seen.target, seen.headers["prefer"], seen.json) == (
        "/models/meta/llama/predictions",
        "wait",
        {"input": {"prompt": "hi"}},
    )
    assert (status, orjson.loads(answered)["choices"][0]["message"]["content"]) == (201, "ho")
    assert (record.tok_in, record.tok_out) == (3, 2)


async def test_a_stream_is_made_of_the_whole_answer(tmp_path):
    _, answered, _, record = await call(tmp_path, DONE, model="meta/llama", messages=MESSAGES, stream=True)
    assert answered.count(b'"content":"ho"') == 1
    assert answered.endswith(b"data: [DONE]\n\n")
    assert (record.tok_in, record.tok_out) == (3, 2)


async def test_a_prediction_that_still_runs_is_a_timeout(tmp_path):
    for stream in (False, True):
        running = {"id": "p1", "status": "processing", "output": None}
        status, answered, _, _ = await call(tmp_path, running, model="meta/llama", messages=MESSAGES, stream=stream)
        assert (status, orjson.loads(answered)["error"]["type"]) == (408, "timeout_error")


async def test_a_forwarded_call_does_not_wait_unless_it_says_so(tmp_path):
    starting = {"id": "p1", "status": "starting"}
    status, answered, seen, _ = await call(
        tmp_path, starting, path="/v1/proxy/predictions", version="v", input={"a": 1}
    )
    assert (status, orjson.loads(answered)) == (201, starting)
    assert "prefer" not in seen.headers
    _, _, seen, _ = await call(
        tmp_path, starting, path="/v1/proxy/predictions", headers={"prefer": "wait=5"}, version="v"
    )
    assert seen.headers["prefer"] == "wait=5"


async def test_a_caller_may_say_how_long_to_wait(tmp_path):
    _, _, seen, _ = await call(tmp_path, DONE, headers={"prefer": "wait=5"})
    assert seen.headers["prefer"] == "wait=5"


def test_its_errors_have_details():
    fault = PROVIDER.operations["chat"].fault(
        422, {"title": "Input validation failed", "detail": "prompt is required", "status": 422}
    )
    assert fault.message == "prompt is required"
