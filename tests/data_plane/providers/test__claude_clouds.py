"""Are Claude's calls at Vertex, Bedrock and Foundry those that Anthropic's own SDK makes there?"""

import base64
import contextlib

import anthropic
import httpx2
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_plane.core.types import CallFacts, Usage
from data_plane.pipeline.target import operation_of
from data_plane.providers._claude_clouds import BedrockEvents
from data_plane.providers.registry import load_providers
from shared.errors import GatewayError, UpstreamBroken, UpstreamInvalid
from tests.data_plane import kit
from tests.data_plane.gateway_kit import gateway
from tests.fakes import aws
from tests.fakes.provider import FakeProvider, Reply

PROVIDERS = load_providers()
CLAUDE = {
    "vertex-ai": "claude-sonnet-4-5@20250929",
    "bedrock": "eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "azure-ai": "claude-sonnet-4-5",
}
OTHER = {"vertex-ai": "gemini-2.5-pro", "bedrock": "amazon.nova-pro-v1:0", "azure-ai": "gpt-4o"}
BODY = {
    "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}], "thinking": {"type": "enabled", "budget_tokens": 1024},
    "tools": [{"name": "f", "input_schema": {"type": "object"}}],
}  # fmt: skip
MESSAGE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "content": [{"type": "text", "text": "hi"}],
    "stop_reason": "end_turn", "stop_sequence": None, "usage": {"input_tokens": 3, "output_tokens": 2},
}  # fmt: skip
EVENTS = [
    {"type": "message_start", "message": {**MESSAGE, "content": [], "stop_reason": None, "usage": {"input_tokens": 3, "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi"}}, {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 7}},
    {"type": "message_stop", "amazon-bedrock-invocationMetrics": {"inputTokenCount": 3}},
]  # fmt: skip


def facts(provider, *, stream=False, **headers):
    return CallFacts(CLAUDE[provider], stream, True, headers, {})


def made_by_sdk(client_class, stream, **options):
    """Return (path, body) of the request that Anthropic's SDK makes."""
    made = []

    def answer(request):
        made.append(request)
        return httpx2.Response(400, json={"error": {"message": "enough"}})

    client = client_class(http_client=httpx2.Client(transport=httpx2.MockTransport(answer)), max_retries=0, **options)
    with pytest.raises(anthropic.APIStatusError):
        client.messages.create(
            model=CLAUDE[options_of(client_class)], stream=stream, extra_headers={"anthropic-beta": "b-1,b-2"}, **BODY
        )
    body = orjson.loads(made[0].content)
    # Which version of the API a caller speaks is the caller's own affair; without one the oldest is asked for.
    assert body.pop("anthropic_version")
    return made[0].url.raw_path.decode(), body


def options_of(client_class):
    return "bedrock" if client_class is anthropic.AnthropicBedrock else "vertex-ai"


@pytest.mark.parametrize("stream", [False, True])
def test_vertex_is_asked_as_anthropics_sdk_asks_it(stream):
    path, body = made_by_sdk(anthropic.AnthropicVertex, stream, region="eu", project_id="p", access_token="t")
    operation = operation_of(PROVIDERS["vertex-ai"], "messages", CLAUDE["vertex-ai"])
    known = facts("vertex-ai", stream=stream)
    sent = operation.encode({"model": "x", **BODY, **({"stream": True} if stream else {})}, known)
    assert path.endswith(operation.path_for(known))
    assert sent.pop("anthropic_version") == "vertex-2023-10-16"
    assert sent == {name: value for name, value in body.items() if value is not False}


@pytest.mark.parametrize("stream", [False, True])
def test_bedrock_is_asked_as_anthropics_sdk_asks_it(stream):
    path, body = made_by_sdk(
        anthropic.AnthropicBedrock, stream, aws_access_key="a", aws_secret_key="s", aws_region="eu-west-1"
    )
    operation = operation_of(PROVIDERS["bedrock"], "messages", CLAUDE["bedrock"])
    known = facts("bedrock", stream=stream, **{"anthropic-beta": "b-1,b-2"})
    sent = operation.encode({"model": "x", **BODY, "stream": stream}, known)
    assert operation.path_for(known) == path.replace(":", "%3A")
    assert sent.pop("anthropic_version") == "bedrock-2023-05-31"
    assert sent == body


@pytest.mark.parametrize("provider", CLAUDE)
@pytest.mark.parametrize("name", ["messages", "count_tokens"])
def test_only_claude_is_spoken_to_in_anthropics_words(provider, name):
    native, adapted = (operation_of(PROVIDERS[provider], name, model[provider]) for model in (CLAUDE, OTHER))
    assert native.local is None
    assert native.path_for(facts(provider)) != adapted.path_for(CallFacts(OTHER[provider], False, True, {}, {}))


def test_a_model_that_anthropic_sells_alone_loses_its_tier():
    for provider in ("vertex-ai", "bedrock"):
        operation = operation_of(PROVIDERS[provider], "messages", CLAUDE[provider])
        assert "service_tier" not in operation.encode({"service_tier": "auto", **BODY}, facts(provider))


@pytest.mark.parametrize(("provider", "path", "answer"), [
    ("vertex-ai", "/publishers/anthropic/models/count-tokens:rawPredict", {"input_tokens": 9}),
    ("bedrock", "/model/eu.anthropic.claude-sonnet-4-5-20250929-v1%3A0/count-tokens", {"inputTokens": 9}),
    ("azure-ai", "/anthropic/v1/messages/count_tokens", {"input_tokens": 9}), ("anthropic", "/messages/count_tokens", {"input_tokens": 9}),
])  # fmt: skip
def test_tokens_are_counted_by_whom_they_are_sold(provider, path, answer):
    model = CLAUDE.get(provider, "claude-x")
    operation = operation_of(PROVIDERS[provider], "count_tokens", model)
    known = CallFacts(model, False, True, {}, {})
    assert operation.path_for(known) == path
    assert operation.decode(dict(answer), known) == {"input_tokens": 9}
    assert operation.usage({"input_tokens": 9}).source == "none"
    for wrong in ({}, {"input_tokens": "9"}, {"inputTokens": -1}, {"error": {"message": "no"}}):
        with pytest.raises(UpstreamInvalid):
            operation.decode(wrong, known)


def test_bedrock_counts_a_whole_call():
    operation = operation_of(PROVIDERS["bedrock"], "count_tokens", CLAUDE["bedrock"])
    sent = operation.encode({"messages": BODY["messages"]}, facts("bedrock"))
    inner = orjson.loads(base64.b64decode(sent["input"]["invokeModel"]["body"]))
    assert inner == {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 1, "messages": BODY["messages"]}


def test_foundry_takes_a_key_as_anthropic_does():
    headers = PROVIDERS["azure-ai"].headers(facts("azure-ai"))
    assert headers == {"anthropic-version": "2023-06-01"}
    assert PROVIDERS["azure-ai"].headers(CallFacts("gpt-4o", False, True, {}, {})) == {}


def wrapped(event):
    return orjson.dumps({"bytes": base64.b64encode(orjson.dumps(event)).decode(), "p": "abcd"})


def test_wrapped_events_are_relayed_as_anthropics():
    decoder = BedrockEvents(facts("bedrock", stream=True))
    relayed = [orjson.loads(out) for event in EVENTS for out in decoder.feed("chunk", wrapped(event))]
    assert relayed == [*EVENTS[:-1], {"type": "message_stop"}]
    assert (decoder.finished, decoder.usage, decoder.model) == (True, Usage(3, 7), "claude-x")


def test_an_exception_in_a_stream_breaks_it():
    with pytest.raises(UpstreamBroken, match="bedrock error: slow down"):
        BedrockEvents(facts("bedrock")).feed("exception:throttlingException", b'{"message":"slow down"}')
    assert BedrockEvents(facts("bedrock")).feed("somethingNew", b"{}") == []


@given(
    event=st.sampled_from(["chunk", "exception:x", "error:y", "z"]),
    data=st.binary(max_size=40) | st.builds(wrapped, st.dictionaries(st.just("type"), st.text(max_size=5))),
)
def test_whatever_comes_is_read_or_refused(event, data):
    with contextlib.suppress(GatewayError):
        assert isinstance(BedrockEvents(facts("bedrock")).feed(event, data), list)


async def test_anthropics_sdk_reads_a_stream_of_bedrocks_through_the_gateway(tmp_path):
    content = b"".join(aws.event("chunk", orjson.loads(wrapped(event))) for event in EVENTS)
    script = [Reply(body=content, headers={"content-type": "application/vnd.amazon.eventstream"})]
    headers = {
        "x-portkey-provider": "bedrock", "x-portkey-aws-region": "eu-west-1", "x-portkey-aws-access-key-id": "AKID",
        "x-portkey-aws-secret-access-key": "s3cret", "x-portkey-api-key": kit.KEY_TEXT,
    }  # fmt: skip
    async with FakeProvider(script) as fake, gateway(tmp_path) as gw:
        sent = {**headers, "x-portkey-custom-host": fake.origin}
        async with (
            anthropic.AsyncAnthropic(base_url=gw.url, api_key="dummy", default_headers=sent, max_retries=0) as client,
            client.messages.stream(model=CLAUDE["bedrock"], max_tokens=5, messages=BODY["messages"]) as stream,
        ):
            message = await stream.get_final_message()
        assert (message.content[0].text, message.stop_reason, message.usage.output_tokens) == ("hi", "end_turn", 7)
        assert fake.seen[0].target.endswith("/invoke-with-response-stream")
        assert (gw.recorded.last.endpoint, gw.recorded.last.tok_in, gw.recorded.last.tok_out) == ("messages", 3, 7)
