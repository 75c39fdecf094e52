"""Does an OpenAI request ask Bedrock for the same thing, and never for something else without a word?"""

import copy

import pytest

from data_plane.providers._anthropic_request import BUDGETS
from data_plane.providers._converse_request import LEFT_OUT, REFUSED, encode_request
from shared.errors import BadRequest, Unsupported
from tests.fakes.aws import converse_problems

USER = {"role": "user", "content": "hi"}
TOOL = {"type": "function", "function": {"name": "f", "description": "does f", "strict": True}}
SPEC = {"toolSpec": {
    "name": "f", "description": "does f", "strict": True,
    "inputSchema": {"json": {"type": "object", "properties": {}}},
}}  # fmt: skip
CALLED = {"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f"}}]}
RESULT = {"role": "tool", "tool_call_id": "a", "content": "x"}
CLAUDE, NEW_CLAUDE = "eu.anthropic.claude-sonnet-4-20250514-v1:0", "global.anthropic.claude-opus-4-7-20260101-v1:0"
NOVA, LLAMA, GPT = "us.amazon.nova-2-lite-v1:0", "meta.llama3-3-70b-instruct-v1:0", "openai.gpt-oss-120b-1:0"
PROFILE = "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc"


@pytest.fixture
def encode(facts):
    def run(model=CLAUDE, *, messages=(USER,), **body):
        given = {"model": "@x/y", "messages": list(messages), **body}
        before = copy.deepcopy(given)
        made = encode_request(given, facts(model), provider="bedrock")
        assert given == before
        assert converse_problems(made) == ""
        return made

    return run


def test_the_smallest_request_is_messages(encode):
    assert encode() == {"messages": [{"role": "user", "content": [{"text": "hi"}]}]}


def test_a_full_request_fits_bedrocks_own_description(encode):
    made = encode(
        max_tokens=100, temperature=0, top_p=0.5, stop="END", tools=[TOOL], tool_choice="required", service_tier="flex",
        user="u", seed=1, stream=True, stream_options={"include_usage": True}, top_k=5, presence_penalty=0,
        guardrail_config={"guardrailIdentifier": "g", "guardrailVersion": "1"}, requestMetadata={"a": "b"},
        response_format={"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}},
        messages=[{"role": "system", "content": "be brief"}, USER, CALLED, RESULT],
    )  # fmt: skip
    assert {name: made[name] for name in made if name != "messages"} == {
        "system": [{"text": "be brief"}],
        "inferenceConfig": {"maxTokens": 100, "temperature": 0, "topP": 0.5, "stopSequences": ["END"]},
        "toolConfig": {"tools": [SPEC], "toolChoice": {"any": {}}}, "serviceTier": {"type": "flex"},
        "guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1"}, "requestMetadata": {"a": "b"},
        "outputConfig": {"textFormat": {
            "type": "json_schema", "structure": {"jsonSchema": {"schema": '{"type":"object"}', "name": "s"}},
        }},
        "additionalModelRequestFields": {"top_k": 5},
    }  # fmt: skip


def test_max_completion_tokens_wins(encode):
    assert encode(max_tokens=1, max_completion_tokens=2)["inferenceConfig"] == {"maxTokens": 2}


def test_what_converse_does_not_know_is_the_models_own(encode):
    made = encode(
        invented={"x": 1}, frequency_penalty=0.5, additionalModelRequestFields={"a": 1},
        additional_model_request_fields={"b": 2}, inferenceConfig={"maxTokens": 9},
    )  # fmt: skip
    assert made["additionalModelRequestFields"] == {"a": 1, "b": 2, "invented": {"x": 1}, "frequency_penalty": 0.5}
    assert made["inferenceConfig"] == {"maxTokens": 9}


@pytest.mark.parametrize("name", ["additionalModelRequestFields", "inferenceConfig"])
def test_what_must_be_an_object_is_refused_otherwise(encode, name):
    with pytest.raises(BadRequest) as refusal:
        encode(**{name: [1]})
    assert refusal.value.path == name


@pytest.mark.parametrize("name", sorted(LEFT_OUT))
def test_what_changes_nothing_is_left_out(encode, name):
    assert encode(**{name: "x"}) == encode()


@pytest.mark.parametrize(("name", "value"), [
    ("n", 2), ("logprobs", True), ("top_logprobs", 2), ("audio", {"voice": "x"}), ("modalities", ["audio"]),
    ("functions", [{}]), ("function_call", "auto"), ("web_search_options", {}), ("moderation", True),
])  # fmt: skip
def test_what_would_change_the_answer_is_refused(encode, name, value):
    assert name in REFUSED
    with pytest.raises(Unsupported, match=f"bedrock does not support the parameter {name}") as refusal:
        encode(**{name: value})
    assert refusal.value.path == name


@pytest.mark.parametrize("idle", [
    {"n": 1}, {"logprobs": False}, {"modalities": ["text"]}, {"function_call": "none"}, {"presence_penalty": 0.0},
    {"logit_bias": {}}, {"frequency_penalty": None}, {"parallel_tool_calls": False}, {"tool_choice": "none"},
    {"service_tier": "auto"}, {"reasoning_effort": "none"}, {"response_format": {"type": "text"}}, {"stop": []},
])  # fmt: skip
def test_values_that_ask_for_nothing_are_no_reason_to_refuse(encode, idle):
    assert encode(**idle) == encode()


# tools


@pytest.mark.parametrize(("choice", "made"), [
    (None, None), ("auto", {"auto": {}}), ("required", {"any": {}}),
    ({"type": "function", "function": {"name": "f"}}, {"tool": {"name": "f"}}),
])  # fmt: skip
def test_choices_among_tools(encode, choice, made):
    assert encode(tools=[TOOL], tool_choice=choice)["toolConfig"].get("toolChoice") == made


def test_no_call_is_asked_for_by_leaving_the_tools_out(encode):
    assert "toolConfig" not in encode(tools=[TOOL], tool_choice="none")


def test_no_call_behind_earlier_calls_is_unsupported(encode):
    with pytest.raises(Unsupported, match="tool_choice none"):
        encode(tools=[TOOL], tool_choice="none", messages=[USER, CALLED, RESULT])


@pytest.mark.parametrize(("choice", "made"), [
    ("auto", {"type": "auto"}), ("required", {"type": "any"}),
    ({"type": "function", "function": {"name": "f"}}, {"type": "tool", "name": "f"}),
])  # fmt: skip
def test_claude_can_be_kept_from_parallel_calls(encode, choice, made):
    body = encode(tools=[TOOL], tool_choice=choice, parallel_tool_calls=False)
    assert body["additionalModelRequestFields"] == {"tool_choice": {**made, "disable_parallel_tool_use": True}}
    assert "toolChoice" not in body["toolConfig"]


def test_other_models_cannot_be_kept_from_parallel_calls(encode):
    with pytest.raises(Unsupported, match="parallel_tool_calls"):
        encode(NOVA, tools=[TOOL], parallel_tool_calls=False)


def test_tools_may_be_cached_and_bedrocks_own_pass(encode):
    own = {"systemTool": {"name": "nova_grounding"}}
    tools = [{**TOOL, "cache_control": {"type": "ephemeral"}}, own]
    assert encode(tools=tools)["toolConfig"]["tools"] == [SPEC, {"cachePoint": {"type": "default"}}, own]


def test_tools_of_other_types_are_unsupported(encode):
    with pytest.raises(Unsupported, match="web_search_preview"):
        encode(tools=[{"type": "web_search_preview"}])


# formats and thinking


def test_json_without_a_schema_is_unsupported(encode):
    with pytest.raises(Unsupported, match="json_schema"):
        encode(response_format={"type": "json_object"})


@pytest.mark.parametrize(("model", "fields", "output"), [
    (CLAUDE, {"thinking": {"type": "enabled", "budget_tokens": BUDGETS["medium"]}}, None),
    (NEW_CLAUDE, {"thinking": {"type": "adaptive"}}, {"effort": "medium"}),
    (NOVA, {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "medium"}}, None),
    (GPT, {"reasoning_effort": "medium"}, None), (LLAMA, None, {"effort": "medium"}), (PROFILE, None, {"effort": "medium"}),
])  # fmt: skip
def test_an_effort_is_said_in_the_words_of_the_models_family(encode, model, fields, output):
    made = encode(model, reasoning_effort="medium")
    assert (made.get("additionalModelRequestFields"), made.get("outputConfig")) == (fields, output)


def test_thinking_does_not_eat_the_answers_limit(encode):
    assert encode(max_tokens=100, reasoning_effort="low")["inferenceConfig"] == {"maxTokens": BUDGETS["low"] + 100}
    own = {"type": "enabled", "budget_tokens": 2000}
    made = encode(max_tokens=2000, thinking=own, reasoning_effort="high")
    assert made["inferenceConfig"] == {"maxTokens": 4000}
    assert made["additionalModelRequestFields"] == {"thinking": own}


@pytest.mark.parametrize("more", [
    {"tools": [TOOL], "tool_choice": "required"}, {"tools": [TOOL], "messages": [USER, CALLED, RESULT]},
    {"tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False},
])  # fmt: skip
def test_claude_is_not_told_to_think_where_it_would_refuse(encode, more):
    assert "thinking" not in encode(reasoning_effort="high", **more).get("additionalModelRequestFields", {})


def test_an_effort_and_a_schema_go_together(encode):
    schema = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}}
    assert encode(NEW_CLAUDE, reasoning_effort="minimal", response_format=schema)["outputConfig"].keys() == {
        "effort",
        "textFormat",
    }


def test_an_unknown_effort_is_refused(encode):
    with pytest.raises(BadRequest) as refusal:
        encode(reasoning_effort="extreme")
    assert refusal.value.path == "reasoning_effort"
