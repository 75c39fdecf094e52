import copy

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import Response

from data_plane.core.types import CallFacts, Usage
from data_plane.providers._openai_like import chat
from data_plane.providers._responses_adapter import chat_of, error_event, response_of, responses_by_chat
from shared.errors import BadRequest, UpstreamBroken

FACTS = CallFacts("m", False, True, {}, {})
OPERATION = responses_by_chat(chat("demo"))


def said(**fields):
    found = chat_of({"input": "hi", **fields})
    return {name: value for name, value in found.items() if name != "messages"}


def turns(given, **fields):
    return chat_of({"input": given, **fields})["messages"]


@pytest.mark.parametrize(("fields", "chat_fields"), [
    ({"max_output_tokens": 5}, {"max_tokens": 5}), ({"store": True, "include": ["x"], "truncation": "auto"}, {}),
    ({"temperature": 0, "stream": True, "parallel_tool_calls": False}, {"temperature": 0, "stream": True, "parallel_tool_calls": False}),
    ({"reasoning": {"effort": "low"}}, {"reasoning_effort": "low"}), ({"text": {"format": {"type": "text"}}}, {}),
    ({"text": {"format": {"type": "json_schema", "name": "a", "schema": {}, "strict": True}}},
     {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {}, "strict": True}}}),
    ({"tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}], "tool_choice": {"type": "function", "name": "f"}},
     {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
      "tool_choice": {"type": "function", "function": {"name": "f"}}}),
    ({"tools": [{"type": "function", "name": "f"}], "tool_choice": "required"},
     {"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "required"}),
])  # fmt: skip
def test_parameters_are_said_in_the_words_of_a_chat(fields, chat_fields):
    assert said(**fields) == chat_fields


def test_instructions_come_first_and_developers_are_systems():
    given = [
        {"role": "developer", "content": "d"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
    ]
    assert turns(given, instructions="be brief") == [
        {"role": "system", "content": "be brief"}, {"role": "system", "content": "d"}, {"role": "user", "content": "hi"},
    ]  # fmt: skip


def test_images_and_files_become_parts():
    content = [{"type": "input_text", "text": "look"}, {"type": "input_image", "image_url": "https://x.example/1.png", "detail": "low"},
               {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="}]  # fmt: skip
    assert turns([{"role": "user", "content": content}])[0]["content"] == [
        {"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "https://x.example/1.png", "detail": "low"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="}},
    ]  # fmt: skip


def test_a_round_of_tools_keeps_its_order_and_ids():
    given = [
        {"role": "user", "content": "go"}, {"type": "reasoning", "summary": []},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": '{"x":1}'}, {"type": "function_call", "call_id": "b", "name": "g", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": "1"}, {"type": "function_call_output", "call_id": "b", "output": [{"type": "input_text", "text": "2"}]},
    ]  # fmt: skip
    _, asked, first, second = turns(given)
    assert [(call["id"], call["function"]["name"]) for call in asked["tool_calls"]] == [("a", "f"), ("b", "g")]
    assert (first["tool_call_id"], first["content"], second["tool_call_id"]) == ("a", "1", "b")


@pytest.mark.parametrize(("body", "path"), [
    ({}, "input"), ({"input": 7}, "input"), ({"input": "x", "previous_response_id": "r"}, "previous_response_id"),
    ({"input": [{"role": "boss", "content": "x"}]}, "input.0.role"), ({"input": [{"type": "web_search_call"}]}, "input.0"),
    ({"input": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "input.0.content.0"), ({"input": [{"role": "user"}]}, "input.0.content"),
    ({"input": "x", "tools": [{"type": "web_search"}]}, "tools.0"), ({"input": "x", "tools": {"a": 1}}, "tools"),
])  # fmt: skip
def test_what_cannot_be_said_is_told_with_its_path(body, path):
    with pytest.raises(BadRequest) as raised:
        chat_of(body)
    assert raised.value.path == path


ANSWER = {
    "id": "c-1", "created": 5, "model": "m-1", "choices": [{"index": 0, "finish_reason": "tool_calls", "message": {
        "role": "assistant", "content": "hi", "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}]}}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 3}},
}  # fmt: skip


def test_an_answer_is_a_response_that_the_sdk_reads():
    decoded = OPERATION.decode(copy.deepcopy(ANSWER), FACTS)
    response = Response.model_validate(decoded)
    assert (response.id, response.created_at, response.status, response.output_text) == (
        "resp_c-1",
        5,
        "completed",
        "hi",
    )
    assert (response.output[1].name, response.output[1].call_id, response.output[1].arguments) == ("f", "a", '{"x":1}')
    assert (
        response.usage.input_tokens,
        response.usage.input_tokens_details.cached_tokens,
        response.usage.total_tokens,
    ) == (10, 3, 14)
    assert (OPERATION.usage(decoded), decoded["provider"]) == (Usage(10, 4, cache_read=3), "demo")


def test_an_answer_that_was_cut_says_so():
    answer = {"choices": [{"finish_reason": "length", "message": {"content": "x"}}]}
    assert response_of(answer, Usage())["incomplete_details"] == {"reason": "max_output_tokens"}


def test_an_error_in_a_stream_has_the_apis_form():
    name, data = error_event(UpstreamBroken("broke off")).decode().split("\n")[:2]
    assert (name, orjson.loads(data.removeprefix("data: "))["message"]) == ("event: error", "broke off")


def test_encoding_changes_nothing_of_the_callers():
    body = {"model": "@a/m", "input": [{"role": "user", "content": "hi"}, {"type": "function_call", "call_id": "a"}]}
    before = copy.deepcopy(body)
    assert OPERATION.encode(body, FACTS)["model"] == "m"
    assert body == before


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "text", "message", "user", "function", "function_call"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["type", "text", "role", "content", "format", "output", "id", "name", "call_id", "arguments", "effort"]), inner, max_size=4
    ),
    max_leaves=12,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(["input", "instructions", "tools", "tool_choice", "text", "reasoning"]), JSON))
def test_whatever_a_caller_sends_is_said_or_refused(body):
    try:
        orjson.dumps(chat_of({"input": "x", **body}))
    except BadRequest as refusal:
        assert refusal.path


@given(st.dictionaries(st.sampled_from(["choices", "usage", "id", "model", "created"]), JSON))
def test_whatever_a_chat_answers_is_a_response(answer):
    assert response_of(answer, Usage())["object"] == "response"
