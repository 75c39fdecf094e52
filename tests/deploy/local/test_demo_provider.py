"""Does the demo provider behave like OpenAI: strict, deterministic, and understood by OpenAI's own client?"""

import json
import signal
import subprocess
import sys
import urllib.request

import openai
import pytest
from aiohttp.test_utils import TestClient, TestServer

from deploy.local.demo_provider import KEY, MODELS, make_app

USER = {"role": "user", "content": "good morning world"}
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}, "units": {"type": "object"}},
        },
    },
}
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}


@pytest.fixture
async def web():
    async with TestClient(TestServer(make_app())) as client:
        yield client


@pytest.fixture
async def sdk(web):
    client = openai.AsyncOpenAI(api_key=KEY, base_url=str(web.make_url("/v1")), max_retries=0)
    yield client
    await client.close()


async def post(web, body, key=KEY):
    headers = {"authorization": f"Bearer {key}"} if key else {}
    data = body if isinstance(body, bytes) else json.dumps(body)
    return await web.post("/v1/chat/completions", data=data, headers=headers)


async def test_an_answer_repeats_the_last_user_message_and_counts_words(sdk):
    done = await sdk.chat.completions.create(model="any", messages=[{"role": "system", "content": "be kind"}, USER])
    assert done.choices[0].message.content == "Demo answer to: good morning world"
    assert done.choices[0].finish_reason == "stop"
    assert (done.usage.prompt_tokens, done.usage.completion_tokens, done.usage.total_tokens) == (5, 6, 11)


async def test_the_same_body_gets_the_same_bytes(web):
    body = {"model": "m", "messages": [USER]}
    first, second, other = [await (await post(web, b)).read() for b in (body, body, {**body, "user": "x"})]
    assert first == second
    assert json.loads(first)["id"] != json.loads(other)["id"]


async def test_a_stream_says_the_same_word_by_word(sdk):
    stream = await sdk.chat.completions.create(model="m", messages=[USER], stream=True)
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Demo answer to: good morning world"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert len(chunks) == 8


async def test_a_stream_counts_only_when_asked_and_ends_with_its_marker(web):
    body = {"model": "m", "messages": [USER], "stream": True}
    plain = (await (await post(web, body)).text()).split("\n\n")
    counted = (await (await post(web, {**body, "stream_options": {"include_usage": True}})).text()).split("\n\n")
    assert plain[-2:] == counted[-2:] == ["data: [DONE]", ""]
    assert not any("usage" in event for event in plain)
    events = [json.loads(event[6:]) for event in counted[:-2]]
    assert [event["usage"] for event in events[:-1]] == [None] * (len(events) - 1)
    assert (events[-1]["choices"], events[-1]["usage"]["total_tokens"]) == ([], 9)


async def test_a_tool_that_the_user_mentions_is_called_with_fitting_arguments(sdk):
    ask = [{"role": "user", "content": "weather please"}]
    done = await sdk.chat.completions.create(model="m", messages=ask, tools=[WEATHER])
    call = done.choices[0].message.tool_calls[0]
    assert done.choices[0].finish_reason == "tool_calls"
    assert call.function.name == "weather"
    assert json.loads(call.function.arguments) == {"city": "weather please", "days": 1, "units": {}}


async def test_a_streamed_call_adds_up_to_the_whole_one(sdk):
    ask = {"model": "m", "messages": [{"role": "user", "content": "weather please"}], "tools": [WEATHER]}
    whole = (await sdk.chat.completions.create(**ask)).choices[0].message.tool_calls[0]
    deltas = [c.choices[0].delta async for c in await sdk.chat.completions.create(**ask, stream=True)]
    calls = [delta.tool_calls[0] for delta in deltas if delta.tool_calls]
    assert (calls[0].id, calls[0].function.name) == (whole.id, "weather")
    assert "".join(call.function.arguments for call in calls) == whole.function.arguments


@pytest.mark.parametrize(
    ("choice", "text", "called"),
    [
        ("none", "weather", False),
        ("auto", "hello", False),
        ("required", "hello", True),
        ({"type": "function", "function": {"name": "weather"}}, "hello", True),
    ],
)
async def test_the_choice_of_tools_is_kept(sdk, choice, text, called):
    ask = [{"role": "user", "content": text}]
    done = await sdk.chat.completions.create(model="m", messages=ask, tools=[WEATHER], tool_choice=choice)
    assert bool(done.choices[0].message.tool_calls) is called


async def test_a_tool_result_is_answered_in_words(sdk):
    talk = [{"role": "user", "content": "weather"}, {"role": "assistant", "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}]  # fmt: skip
    done = await sdk.chat.completions.create(model="m", messages=talk, tools=[WEATHER])
    assert done.choices[0].message.content == "Demo answer to: weather"


async def test_a_limit_cuts_the_answer_and_says_so(sdk):
    done = await sdk.chat.completions.create(model="m", messages=[USER], max_tokens=2)
    assert (done.choices[0].message.content, done.choices[0].finish_reason) == ("Demo answer ", "length")


async def test_several_choices_can_be_had(sdk):
    done = await sdk.chat.completions.create(model="m", messages=[USER], n=3)
    assert ([choice.index for choice in done.choices], done.usage.completion_tokens) == ([0, 1, 2], 18)


@pytest.mark.parametrize("key", [None, "wrong"])
async def test_a_wrong_key_is_refused_like_openai_does(web, key):
    response = await post(web, {"model": "m", "messages": [USER]}, key)
    assert response.status == 401
    assert (await response.json())["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{", None),
        (b"[]", None),
        ({"messages": [USER]}, None),
        ({"model": "m"}, "messages"),
        ({"model": "m", "messages": "hi"}, "messages"),
        ({"model": "m", "messages": []}, "messages"),
        ({"model": "m", "messages": [1]}, "messages[0]"),
        ({"model": "m", "messages": [{"role": "boss", "content": "x"}]}, "messages[0].role"),
        ({"model": "m", "messages": [{"role": "user", "content": None}]}, "messages[0].content"),
        ({"model": "m", "messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content"),
        ({"model": "m", "messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"model": "m", "messages": [{"role": "assistant", "tool_calls": 5}]}, "messages[0].tool_calls"),
        ({"model": "m", "messages": [{"role": "tool", "content": "x", "tool_call_id": "a"}]}, "messages.[0].role"),
        ({"model": "m", "messages": [USER, {"role": "assistant", "tool_calls": [CALL]}, USER]}, "messages.[2].role"),
        ({"model": "m", "messages": [USER], "stream": "yes"}, "stream"),
        ({"model": "m", "messages": [USER], "temperature": True}, "temperature"),
        ({"model": "m", "messages": [USER], "n": 99}, "n"),
        ({"model": "m", "messages": [USER], "stream_options": {}}, "stream_options"),
        ({"model": "m", "messages": [USER], "tools": [{}]}, "tools[0].function.name"),
    ],
)
async def test_what_openai_refuses_is_refused_with_the_parameter(web, body, param):
    response = await post(web, body)
    error = (await response.json())["error"]
    assert (response.status, error["param"], error["type"]) == (400, param, "invalid_request_error")


async def test_the_models_are_listed_for_those_who_have_the_key(sdk, web):
    assert [model.id async for model in sdk.models.list()] == list(MODELS)
    assert (await web.get("/v1/models")).status == 401


async def test_health_needs_no_key(web):
    assert (await web.get("/health")).status == 200


def test_the_process_says_where_it_is_and_stops_when_asked():
    command = [sys.executable, "-m", "deploy.local.demo_provider", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        address = process.stdout.readline().split()[-1]
        with urllib.request.urlopen(address.replace("/v1", "/health"), timeout=10) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
