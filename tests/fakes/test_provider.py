"""Can the fake be trusted: does it do what its script says, and refuse what the real ones refuse?"""

import json
import signal
import subprocess
import sys
import urllib.request

import aiohttp
import anthropic
import pytest

from tests.fakes.provider import FakeProvider, Reply

BODY = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
async def http():
    async with aiohttp.ClientSession() as session:
        yield session


async def post(http, fake, path="/chat/completions", body=BODY, **headers):
    """Return an answer that has been read to its end."""
    async with http.post(fake.base_url + path, json=body, headers=headers) as response:
        await response.read()
    return response


async def test_a_script_is_played_in_order_and_then_the_strict_answer_comes(http):
    async with FakeProvider([Reply(429, json={"a": 1}, headers={"retry-after": "2"}), Reply(body=b"x")]) as fake:
        first = await post(http, fake)
        assert (first.status, await first.json(), first.headers["retry-after"]) == (429, {"a": 1}, "2")
        assert await (await post(http, fake)).text() == "x"
        assert (await post(http, fake)).status == 401
        third = await post(http, fake, authorization=f"Bearer {fake.key}")
        assert (await third.json())["choices"][0]["message"]["content"] == "Demo answer to: hi"


async def test_requests_are_remembered(http):
    async with FakeProvider() as fake:
        await post(http, fake, **{"X-Mine": "1"})
        seen = fake.seen[0]
        assert (seen.method, seen.path, seen.headers["x-mine"], seen.json) == (
            "POST",
            "/v1/chat/completions",
            "1",
            BODY,
        )


async def test_a_script_may_look_at_the_request(http):
    async with FakeProvider(lambda seen: Reply(json=seen.json["model"])) as fake:
        assert await (await post(http, fake)).json() == "m"


async def test_a_stream_breaks_off_behind_the_given_event(http):
    async with FakeProvider([Reply(sse=[{"a": 1}, ("named", "x"), b"data: raw\n\n", "[DONE]"], break_after=3)]) as fake:
        received = b""
        async with http.post(fake.base_url, json=BODY) as answer:
            with pytest.raises(aiohttp.ClientPayloadError):
                async for chunk in answer.content.iter_any():
                    received += chunk
        assert received == b'data: {"a":1}\n\nevent: named\ndata: x\n\ndata: raw\n\n'


async def test_a_plain_body_can_break_off_too(http):
    async with FakeProvider([Reply(body=b"{", break_after=0)]) as fake:
        with pytest.raises(aiohttp.ClientPayloadError):
            await post(http, fake)


async def test_a_hanging_answer_ends_with_the_fake(http):
    async with FakeProvider([Reply(hang=True)]) as fake:
        with pytest.raises(TimeoutError):
            await http.post(fake.base_url, timeout=aiohttp.ClientTimeout(total=0.05))


@pytest.fixture
async def strict():
    async with FakeProvider(kind="anthropic") as fake:
        yield fake


@pytest.fixture
async def sdk(strict):
    headers = {"x-api-key": strict.key}
    client = anthropic.AsyncAnthropic(api_key="x", base_url=strict.origin, default_headers=headers, max_retries=0)
    yield client
    await client.close()


async def test_anthropics_own_client_understands_answers_and_streams(sdk):
    tools = [{"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}]
    ask = {"model": "m", "max_tokens": 9, "tools": tools, "messages": [{"role": "user", "content": "weather now"}]}
    whole = await sdk.messages.create(**ask)
    async with sdk.messages.stream(**ask) as stream:
        streamed = await stream.get_final_message()
    assert whole.content[1].input == {"city": "weather now"}
    assert [block.model_dump() for block in streamed.content] == [block.model_dump() for block in whole.content]
    assert streamed.stop_reason == whole.stop_reason == "tool_use"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"max_tokens": None}, "max_tokens: Field required"),
        ({"brand_new": 1}, "brand_new: Extra inputs are not permitted"),
        ({"messages": []}, "at least one message"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "first message must use"),
        ({"messages": [{"role": "system", "content": "x"}]}, "unexpected role"),
        ({"messages": [{"role": "user", "content": ""}]}, "non-empty content"),
        ({"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a"}]}]}, "tool_use_id"),
        (
            {"messages": [BODY["messages"][0], {"role": "assistant", "content": [
                {"type": "tool_use", "id": "a", "name": "f", "input": {}}]}]},
            "without `tool_result`",
        ),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "must be greater than"),
        ({"tool_choice": {"type": "auto"}}, "only with tools"),
    ],
)  # fmt: skip
async def test_what_anthropic_refuses_is_refused(http, strict, change, sentence):
    headers = {"x-api-key": strict.key, "anthropic-version": "2023-06-01"}
    answer = await post(http, strict, "/messages", {**BODY, **change}, **headers)
    told = await answer.json()
    assert (answer.status, told["error"]["type"]) == (400, "invalid_request_error")
    assert sentence in told["error"]["message"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"x-api-key": "sk-ant-fake"}, 400),
        ({"anthropic-version": "1"}, 401),
        ({"x-api-key": "no", "anthropic-version": "1"}, 401),
    ],
)
async def test_anthropics_headers_are_required(http, strict, headers, status):
    assert (await post(http, strict, "/messages", **headers)).status == status


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_a_process_of_it_prints_its_port_lists_what_it_saw_and_stops(kind):
    command = [sys.executable, "-m", "tests.fakes.provider", "--port", "0", "--kind", kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        origin = f"http://127.0.0.1:{int(process.stdout.readline())}"
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{origin}/v1/other", data=b"{}", timeout=10)
        refused.value.close()
        with urllib.request.urlopen(f"{origin}/_seen", timeout=10) as listed:
            seen = json.load(listed)
        assert [(one["path"], one["body"]) for one in seen] == [("/v1/other", {})]
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
