"""Does an OpenAI request ask Cohere for the same thing, and never for something else without a word?"""

import copy

import pytest

from data_plane.providers._anthropic_request import BUDGETS
from data_plane.providers._cohere_request import LEFT_OUT, REFUSED, encode_request
from shared.errors import BadRequest, Unsupported

USER = {"role": "user", "content": "hi"}
SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}}
TOOL = {"type": "function", "function": {"name": "f", "description": "does f", "parameters": SCHEMA}}
OTHER = {"type": "function", "function": {"name": "g", "strict": True}}
CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}


@pytest.fixture
def encode(facts):
    def run(*messages, stream=False, **body):
        given = {"model": "@x/y", "messages": list(messages or [USER]), **body}
        before = copy.deepcopy(given)
        made = encode_request(given, facts("command-a", stream=stream), provider="cohere")
        assert given == before
        return made

    return run


def test_the_smallest_request_is_model_and_messages(encode):
    assert encode() == {"model": "command-a", "messages": [USER]}


def test_parameters_have_coheres_names(encode):
    made = encode(
        stream=True, max_tokens=5, top_p=0.5, top_k=3, stop="END", temperature=0, seed=7, frequency_penalty=0.1, presence_penalty=0.2,
        logprobs=True, reasoning_effort="low", documents=["d"], citation_options={"mode": "FAST"}, safety_mode="OFF", invented=1,
    )  # fmt: skip
    assert made == {
        "model": "command-a", "messages": [USER], "stream": True, "max_tokens": 5, "p": 0.5, "k": 3, "stop_sequences": ["END"],
        "temperature": 0, "seed": 7, "frequency_penalty": 0.1, "presence_penalty": 0.2, "logprobs": True,
        "thinking": {"type": "enabled", "token_budget": BUDGETS["low"]}, "documents": ["d"], "citation_options": {"mode": "FAST"},
        "safety_mode": "OFF", "invented": 1,
    }  # fmt: skip
    assert encode(max_tokens=1, max_completion_tokens=2)["max_tokens"] == 2


@pytest.mark.parametrize("name", sorted(LEFT_OUT))
def test_what_changes_nothing_is_left_out(encode, name):
    assert encode(**{name: "x"}) == encode()


@pytest.mark.parametrize(("name", "value"), [
    ("n", 2), ("top_logprobs", 2), ("logit_bias", {"5": 1}), ("audio", {"voice": "x"}), ("modalities", ["audio"]), ("functions", [{}]),
    ("function_call", "auto"), ("web_search_options", {}), ("moderation", True),
])  # fmt: skip
def test_what_would_change_the_answer_is_refused(encode, name, value):
    assert name in REFUSED
    with pytest.raises(Unsupported, match=f"cohere does not support the parameter {name}") as refusal:
        encode(**{name: value})
    assert refusal.value.path == name


@pytest.mark.parametrize("idle", [
    {"n": 1}, {"logprobs": False}, {"modalities": ["text"]}, {"logit_bias": {}}, {"parallel_tool_calls": False}, {"tool_choice": "none"},
    {"response_format": {"type": "text"}}, {"stop": None},
])  # fmt: skip
def test_values_that_ask_for_nothing_are_no_reason_to_refuse(encode, idle):
    assert encode(**idle) == encode()


# messages


def test_system_and_developer_are_system(encode):
    made = encode(
        {"role": "system", "content": "a"},
        {"role": "developer", "content": "b"},
        {"role": "system", "content": ""},
        USER,
    )
    assert made["messages"] == [{"role": "system", "content": "a"}, {"role": "system", "content": "b"}, USER]


@pytest.mark.parametrize("url", ["data:image/png;base64,AAAA", "https://x.example/a.png"])
def test_parts_are_texts_and_images(encode, url):
    image = {"type": "image_url", "image_url": {"url": url, "detail": "low"}}
    made = encode(
        {
            "role": "user",
            "content": [{"type": "text", "text": "look", "extra": 1}, image, {"type": "image_url", "image_url": url}],
        }
    )
    assert made["messages"][0]["content"] == [
        {"type": "text", "text": "look"}, image, {"type": "image_url", "image_url": {"url": url}},
    ]  # fmt: skip


def test_several_calls_and_their_results_reach_cohere(encode):
    called = {"role": "assistant", "content": None, "tool_calls": [CALL, {**CALL, "id": "b"}]}
    results = [
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "2"}]},
    ]
    made = encode(USER, called, *results)
    assert made["messages"] == [USER, {"role": "assistant", "tool_calls": [CALL, {**CALL, "id": "b"}]}, *results]


@pytest.mark.parametrize(("said", "made"), [
    ({"content": "I will ask."}, {"tool_plan": "I will ask."}), ({"content": [{"type": "text", "text": "p"}]}, {"tool_plan": "p"}),
    ({"content": "x", "tool_plan": "p"}, {"tool_plan": "p", "content": "x"}), ({"content": "p", "tool_plan": "p"}, {"tool_plan": "p"}),
])  # fmt: skip
def test_what_is_said_beside_calls_is_the_plan(encode, said, made):
    assert encode(USER, {"role": "assistant", "tool_calls": [CALL], **said})["messages"][1] == {
        "role": "assistant", "tool_calls": [CALL], **made,
    }  # fmt: skip


@pytest.mark.parametrize(("given", "made"), [(None, "{}"), ("", "{}"), ({"x": 1}, '{"x":1}'), ('{"x": 1}', '{"x": 1}')])
def test_arguments_are_a_text(encode, given, made):
    call = {**CALL, "function": {"name": "f", "arguments": given}}
    message = encode(USER, {"role": "assistant", "tool_calls": [call]})["messages"][1]
    assert message["tool_calls"][0]["function"]["arguments"] == made


def test_thinking_goes_back_before_the_text(encode):
    blocks = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "so"}]
    said = {"role": "assistant", "content": "so", "content_blocks": blocks, "citations": [{"start": 0}]}
    assert encode(USER, said, USER)["messages"][1] == {
        "role": "assistant",
        "content": blocks,
        "citations": [{"start": 0}],
    }


def test_an_assistant_that_said_nothing_is_left_out(encode):
    assert encode(USER, {"role": "assistant", "content": ""}, USER)["messages"] == [USER, USER]


@pytest.mark.parametrize(("message", "error", "path"), [
    ({"role": "user", "content": None}, BadRequest, "messages[0].content"), ({"role": "user", "content": 5}, BadRequest, "messages[0].content"),
    ({"role": "user", "content": [{"type": "input_audio"}]}, Unsupported, "messages[0].content[0].type"),
    ({"role": "user", "content": [{}]}, BadRequest, "messages[0].content[0].type"),
    ({"role": "tool", "content": "x"}, BadRequest, "messages[0].tool_call_id"),
    ({"role": "assistant", "tool_calls": [{**CALL, "function": {"name": "f", "arguments": 5}}]}, BadRequest,
     "messages[0].tool_calls[0].function.arguments"),
    ({"role": "assistant"}, BadRequest, "messages"),
])  # fmt: skip
def test_what_is_no_message_is_refused_with_its_place(encode, message, error, path):
    with pytest.raises(error) as refusal:
        encode(message)
    assert refusal.value.path == path


# tools


def test_tools_keep_their_shape(encode):
    assert encode(tools=[TOOL], tool_choice="auto") == {"model": "command-a", "messages": [USER], "tools": [TOOL]}


def test_a_strict_tool_makes_calls_strict(encode):
    made = encode(tools=[OTHER])
    assert made["strict_tools"] is True
    assert made["tools"] == [
        {"type": "function", "function": {"name": "g", "parameters": {"type": "object", "properties": {}}}}
    ]


@pytest.mark.parametrize(("choice", "word", "names"), [
    ("none", "NONE", ["f", "g"]), ("required", "REQUIRED", ["f", "g"]), ({"type": "function", "function": {"name": "g"}}, "REQUIRED", ["g"]),
])  # fmt: skip
def test_choices_among_tools(encode, choice, word, names):
    made = encode(tools=[TOOL, OTHER], tool_choice=choice)
    assert (made["tool_choice"], [tool["function"]["name"] for tool in made["tools"]]) == (word, names)


def test_a_choice_of_no_tool_is_refused(encode):
    with pytest.raises(BadRequest, match="not among the tools"):
        encode(tools=[TOOL], tool_choice={"type": "function", "function": {"name": "h"}})


def test_parallel_calls_cannot_be_forbidden(encode):
    with pytest.raises(Unsupported, match="parallel_tool_calls"):
        encode(tools=[TOOL], parallel_tool_calls=False)


# formats and thinking


@pytest.mark.parametrize(("wanted", "made"), [
    ({"type": "json_object"}, {"type": "json_object"}), ({"type": "json_object", "json_schema": SCHEMA}, {"type": "json_object", "json_schema": SCHEMA}),
    ({"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA}}, {"type": "json_object", "json_schema": SCHEMA}),
])  # fmt: skip
def test_json_is_asked_for_with_and_without_a_schema(encode, wanted, made):
    assert encode(response_format=wanted)["response_format"] == made


def test_thinking_can_be_off_or_have_a_budget(encode):
    assert encode(reasoning_effort="none")["thinking"] == {"type": "disabled"}
    assert encode(thinking={"type": "enabled", "budget_tokens": 9}, reasoning_effort="high")["thinking"] == {
        "type": "enabled", "token_budget": 9,
    }  # fmt: skip
    with pytest.raises(BadRequest):
        encode(thinking="much")
