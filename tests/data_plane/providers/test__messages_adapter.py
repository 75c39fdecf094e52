import copy

import anthropic
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_plane.core.types import CallFacts, Usage
from data_plane.providers._messages_adapter import chat_of, error_event, message_of, messages_by_chat
from data_plane.providers._openai_like import chat
from shared.errors import BadRequest, UpstreamBroken

FACTS = CallFacts("gpt-4o", False, True, {}, {})
OPERATION = messages_by_chat(chat("openai"))
USER = {"role": "user", "content": "hi"}


def said(**fields):
    """Return the chat of a request without its messages and model."""
    found = chat_of({"model": "m", "messages": [USER], **fields})
    return {name: value for name, value in found.items() if name not in {"model", "messages"}}


def turns(*messages, **fields):
    return chat_of({"messages": list(messages), **fields})["messages"]


@pytest.mark.parametrize(("fields", "chat_fields"), [
    ({"max_tokens": 5}, {"max_completion_tokens": 5}), ({"stop_sequences": ["a"]}, {"stop": ["a"]}), ({"top_k": 3}, {}),
    ({"temperature": 0, "top_p": 0.5, "stream": True}, {"temperature": 0, "top_p": 0.5, "stream": True}),
    ({"metadata": {"user_id": "u"}}, {"user": "u"}), ({"metadata": {}}, {}), ({"thinking": {"type": "disabled"}}, {}),
    ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, {"reasoning_effort": "low"}),
    ({"thinking": {"type": "enabled", "budget_tokens": 8000}}, {"reasoning_effort": "medium"}),
    ({"thinking": {"type": "enabled", "budget_tokens": 32000}}, {"reasoning_effort": "high"}),
    ({"output_config": {"effort": "high"}}, {"reasoning_effort": "high"}),
    ({"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
     {"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True}}}),
    ({"tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}}], "tool_choice": {"type": "any"}},
     {"tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}], "tool_choice": "required"}),
    ({"tools": [{"name": "f"}], "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True}},
     {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
      "tool_choice": {"type": "function", "function": {"name": "f"}}, "parallel_tool_calls": False}),
])  # fmt: skip
def test_parameters_are_said_in_the_words_of_a_chat(fields, chat_fields):
    assert said(**fields) == chat_fields


def test_the_system_prompt_comes_first():
    assert turns(USER, system="be brief")[0] == {"role": "system", "content": "be brief"}
    assert turns(USER, system=[{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])[0]["content"] == "a\nb"


def test_images_and_documents_become_parts():
    content = [
        {"type": "text", "text": "look"}, {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
        {"type": "image", "source": {"type": "url", "url": "https://x.example/1.png"}},
        {"type": "document", "title": "a.pdf", "source": {"type": "base64", "media_type": "application/pdf", "data": "BB=="}},
        {"type": "document", "source": {"type": "text", "data": "plain"}},
    ]  # fmt: skip
    assert turns({"role": "user", "content": content}) == [{"role": "user", "content": [
        {"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
        {"type": "image_url", "image_url": {"url": "https://x.example/1.png"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,BB=="}}, {"type": "text", "text": "plain"},
    ]}]  # fmt: skip


def test_a_round_of_tools_keeps_its_order_and_ids():
    assistant = {"role": "assistant", "content": [
        {"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "let me see"},
        {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}}, {"type": "tool_use", "id": "b", "name": "g", "input": {}},
    ]}  # fmt: skip
    results = {"role": "user", "content": [
        {"type": "text", "text": "and then?"}, {"type": "tool_result", "tool_use_id": "a", "content": "1"},
        {"type": "tool_result", "tool_use_id": "b", "content": [
            {"type": "text", "text": "2"}, {"type": "image", "source": {"type": "url", "url": "https://x.example"}},
        ]},
    ]}  # fmt: skip
    asked, first, second, more = turns(assistant, results)
    assert asked["content"] == "let me see"
    assert [(call["id"], call["function"]) for call in asked["tool_calls"]] == [
        ("a", {"name": "f", "arguments": '{"x":1}'}), ("b", {"name": "g", "arguments": "{}"}),
    ]  # fmt: skip
    assert (first, second) == (
        {"role": "tool", "tool_call_id": "a", "content": "1"}, {"role": "tool", "tool_call_id": "b", "content": "2"},
    )  # fmt: skip
    assert [part["type"] for part in more["content"]] == ["text", "image_url"]


@pytest.mark.parametrize(("body", "path"), [
    ({"messages": "x"}, "messages"), ({"messages": [{"role": "system", "content": "x"}]}, "messages.0.role"),
    ({"messages": [{"role": "user", "content": [{"type": "video"}]}]}, "messages.0.content.0"),
    ({"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "file"}}]}]}, "messages.0.content.0.source"),
    ({"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}, "messages.0.content.0.tool_use_id"),
    ({"messages": [], "tools": [{"type": "web_search_20250305", "name": "w"}]}, "tools.0"),
    ({"messages": [], "tools": [{"name": "f"}], "tool_choice": "auto"}, "tool_choice"),
])  # fmt: skip
def test_what_cannot_be_said_is_told_with_its_path(body, path):
    with pytest.raises(BadRequest) as raised:
        chat_of(body)
    assert raised.value.path == path


ANSWER = {
    "id": "c-1", "model": "gpt-4o", "choices": [{"index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant", "content": "hi", "tool_calls": [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
    ]}}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 3}},
}  # fmt: skip


def test_an_answer_is_a_message_that_the_sdk_reads():
    decoded = OPERATION.decode(copy.deepcopy(ANSWER), FACTS)
    message = anthropic.types.Message.model_validate(decoded)
    assert [block.type for block in message.content] == ["text", "tool_use"]
    assert (message.content[1].input, message.stop_reason, message.id) == ({"x": 1}, "tool_use", "msg_c-1")
    assert (message.usage.input_tokens, message.usage.cache_read_input_tokens, message.usage.output_tokens) == (7, 3, 4)
    assert OPERATION.usage(decoded) == Usage(10, 4, cache_read=3)


@pytest.mark.parametrize(("reason", "stop"), [
    ("stop", "end_turn"), ("length", "max_tokens"), ("tool_calls", "tool_use"), ("content_filter", "refusal"), (None, "end_turn"),
])  # fmt: skip
def test_every_end_has_its_word(reason, stop):
    assert message_of({"choices": [{"finish_reason": reason, "message": {}}]}, Usage())["stop_reason"] == stop


def test_arguments_that_are_no_json_leave_an_empty_input():
    answer = {"choices": [{"message": {"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{nope"}}]}}]}
    assert message_of(answer, Usage())["content"][0]["input"] == {}


def test_an_error_in_a_stream_has_anthropics_form():
    name, data = error_event(UpstreamBroken("broke off")).decode().split("\n")[:2]
    assert (name, orjson.loads(data.removeprefix("data: "))["error"]["message"]) == ("event: error", "broke off")


def test_encoding_changes_nothing_of_the_callers():
    body = {"model": "@a/gpt-4o", "messages": [USER], "max_tokens": 5, "system": "s"}
    before = copy.deepcopy(body)
    assert OPERATION.encode(body, FACTS)["model"] == "gpt-4o"
    assert body == before


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "text", "image", "tool_use", "tool_result", "base64"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["type", "text", "role", "content", "source", "data", "input", "id", "name", "tool_use_id", "url"]), inner, max_size=4
    ),
    max_leaves=12,
)  # fmt: skip


@given(
    st.dictionaries(
        st.sampled_from(["messages", "system", "tools", "tool_choice", "thinking", "output_config", "metadata"]), JSON
    )
)
def test_whatever_a_caller_sends_is_said_or_refused(body):
    try:
        orjson.dumps(chat_of({"messages": [USER], **body}))
    except BadRequest as refusal:
        assert refusal.path


@given(st.dictionaries(st.sampled_from(["choices", "usage", "id", "model"]), JSON))
def test_whatever_a_chat_answers_is_a_message(answer):
    assert message_of(answer, Usage())["type"] == "message"
