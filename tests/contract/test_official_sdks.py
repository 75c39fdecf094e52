"""Do the vendors' own libraries understand what is sent in their name, and read the same in an answer as the gateway?"""

import base64

import boto3
import botocore.session
import orjson
import pytest
from botocore.config import Config
from botocore.stub import Stubber
from google.genai import types
from hypothesis import given
from hypothesis import strategies as st

from data_plane.core.types import CallFacts
from data_plane.providers.registry import load_providers
from shared.errors import BadRequest

PROVIDERS = load_providers()
PIXEL = "data:image/png;base64," + base64.b64encode(b"png").decode()
TOOL = {
    "type": "function",
    "function": {"name": "weather", "description": "d", "parameters": {
        "type": "object", "properties": {"city": {"type": "string", "enum": ["a", "b"]}, "days": {"type": ["integer", "null"]}}, "required": ["city"]}},
}  # fmt: skip
TEXTS = st.sampled_from(["hi", "wörd 日本", "{}"])
PARTS = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, TEXTS),
    st.just({"type": "image_url", "image_url": {"url": PIXEL}}),
    st.just({"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="}}),
)
USER = st.builds(
    lambda content: {"role": "user", "content": content}, st.one_of(TEXTS, st.lists(PARTS, min_size=1, max_size=3))
)
CALLED = st.builds(
    lambda count, said: [
        {"role": "assistant", "content": said, "tool_calls": [
            {"id": f"c{n}", "type": "function", "function": {"name": "weather", "arguments": '{"city":"a"}'}} for n in range(count)]},
        *({"role": "tool", "tool_call_id": f"c{n}", "content": "sunny"} for n in range(count)),
    ],
    st.integers(1, 3), st.sampled_from([None, "let me look"]),
)  # fmt: skip
TURNS = st.lists(
    st.one_of(
        USER.map(lambda message: [message]), CALLED, TEXTS.map(lambda text: [{"role": "assistant", "content": text}])
    ),
    max_size=4,
)
OPTIONS = st.fixed_dictionaries({}, optional={
    "temperature": st.sampled_from([0, 0.5]), "top_p": st.just(0.9), "max_tokens": st.integers(1, 99), "stop": st.sampled_from(["a", ["a", "b"]]),
    "seed": st.integers(0, 9), "tools": st.just([TOOL]), "tool_choice": st.sampled_from(["auto", "none", "required"]),
    "response_format": st.sampled_from([{"type": "json_object"}, {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}]),
    "reasoning_effort": st.sampled_from(["low", "high"]),
})  # fmt: skip


def chat_of(system, first, turns, options):
    messages = [
        *([{"role": "system", "content": system}] if system else []),
        first,
        *(message for turn in turns for message in turn),
    ]
    if any(message.get("tool_calls") for message in messages):
        options = {**options, "tools": [TOOL]}
    if "tools" not in options:
        options = {name: value for name, value in options.items() if name != "tool_choice"}
    return {"messages": messages, **options}


CHATS = st.builds(chat_of, st.sampled_from([None, "be terse"]), USER, TURNS, OPTIONS)


def facts(model, *, stream=False):
    return CallFacts(model, stream, True, {}, {})


def google_reads(request):
    """Parse a request with the models of Google's library, which refuse what they do not know."""
    for content in request["contents"]:
        assert types.Content.model_validate(content).parts
    if "systemInstruction" in request:
        types.Content.model_validate(request["systemInstruction"])
    types.GenerationConfig.model_validate(request.get("generationConfig", {}))
    for tool in request.get("tools", ()):
        types.Tool.model_validate(tool)
    types.ToolConfig.model_validate(request.get("toolConfig", {}))
    known = {"contents", "systemInstruction", "generationConfig", "tools", "toolConfig", "safetySettings"}
    assert set(request) <= known


@pytest.mark.parametrize(
    ("provider", "model"),
    [("google", "gemini-2.5-flash"), ("vertex-ai", "gemini-2.5-pro"), ("google", "gemini-3-pro-preview")],
)
@given(chat=CHATS)
def test_googles_library_understands_every_chat(provider, model, chat):
    before = orjson.dumps(chat)
    google_reads(PROVIDERS[provider].operations["chat"].encode(chat, facts(model)))
    assert orjson.dumps(chat) == before


def gemini_answer(**more):
    parts = [
        {"text": "thinking", "thought": True}, {"text": "hel"}, {"text": "lo"},
        {"functionCall": {"name": "weather", "args": {"city": "a"}}}, {"functionCall": {"name": "weather", "args": {"city": "b"}}},
    ]  # fmt: skip
    usage = {
        "promptTokenCount": 10,
        "candidatesTokenCount": 5,
        "thoughtsTokenCount": 7,
        "cachedContentTokenCount": 4,
        "totalTokenCount": 22,
    }
    return {
        "candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}], "usageMetadata": usage,
        "modelVersion": "gemini-2.5-flash", "responseId": "r", **more,
    }  # fmt: skip


def test_googles_library_reads_the_same_in_an_answer():
    answer = gemini_answer()
    theirs = types.GenerateContentResponse.model_validate(answer)
    operation = PROVIDERS["google"].operations["chat"]
    ours = operation.decode(answer, facts("gemini-2.5-flash"))
    message, usage = ours["choices"][0]["message"], operation.usage(ours)
    assert message["content"] == theirs.text
    calls = [(call["function"]["name"], orjson.loads(call["function"]["arguments"])) for call in message["tool_calls"]]
    assert calls == [(call.name, call.args) for call in theirs.function_calls]
    told = theirs.usage_metadata
    assert (usage.input, usage.cache_read, usage.reasoning) == (
        told.prompt_token_count,
        told.cached_content_token_count,
        told.thoughts_token_count,
    )
    assert usage.output == told.candidates_token_count + told.thoughts_token_count


@given(chat=CHATS)
def test_awss_library_understands_every_chat(chat):
    client = boto3.client(
        "bedrock-runtime", region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="s", config=Config(retries={"max_attempts": 0})
    )  # fmt: skip
    try:
        request = PROVIDERS["bedrock"].operations["chat"].encode(chat, facts("anthropic.claude-3-haiku"))
    except BadRequest as refusal:
        assert refusal.path
        return
    with Stubber(client) as stub:
        answer = {"output": {"message": {"role": "assistant", "content": [{"text": "hi"}]}}, "stopReason": "end_turn",
                  "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}, "metrics": {"latencyMs": 1}}  # fmt: skip
        decoded = {**as_python(request, "ConverseRequest"), "modelId": "anthropic.claude-3-haiku"}
        stub.add_response("converse", answer, decoded)
        assert client.converse(**decoded)["stopReason"] == "end_turn"


def as_python(value, shape_name):
    """Return a JSON request as AWS's library takes it: documents stay, bytes are bytes."""
    model = botocore.session.get_session().get_service_model("bedrock-runtime")
    return _as_shape(value, model.shape_for(shape_name))


def _as_shape(value, shape):
    if shape.type_name == "structure" and isinstance(value, dict) and not getattr(shape, "is_document_type", False):
        unknown = set(value) - set(shape.members)
        assert not unknown, unknown
        return {name: _as_shape(item, shape.members[name]) for name, item in value.items()}
    if shape.type_name == "list" and isinstance(value, list):
        return [_as_shape(item, shape.member) for item in value]
    return base64.b64decode(value) if shape.type_name == "blob" else value
