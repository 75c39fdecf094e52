import copy

import pytest

from data_plane.core.types import CallFacts
from data_plane.providers._gemini_request import LEFT_OUT, encode_request
from shared.errors import BadRequest, Unsupported

USER = [{"role": "user", "content": "q"}]
CONTENTS = [{"role": "user", "parts": [{"text": "q"}]}]
SCHEMA = {"type": "object", "properties": {"b": {"type": "string"}, "a": {"type": "string"}}}


def encode(model="gemini-2.5-flash", *, strict=True, tiers=False, **body):
    whole = {"model": f"@x/{model}", "messages": USER, **body}
    before = copy.deepcopy(whole)
    made = encode_request(whole, CallFacts(model, False, strict, {}, {}), provider="google", tiers=tiers)
    assert whole == before
    return made


def config(model="gemini-2.5-flash", *, strict=True, **body):
    return encode(model, strict=strict, **body).get("generationConfig", {})


def test_a_plain_question_is_nothing_but_contents():
    assert encode() == {"contents": CONTENTS}


def test_parameters_of_generation_have_geminis_names():
    assert config(
        temperature=0, top_p=0.5, top_k=3, n=2, seed=0, presence_penalty=0.1, frequency_penalty=0.2, stop="x",
        logprobs=True, top_logprobs=2,
    ) == {
        "temperature": 0, "topP": 0.5, "topK": 3, "candidateCount": 2, "seed": 0, "presencePenalty": 0.1,
        "frequencyPenalty": 0.2, "stopSequences": ["x"], "responseLogprobs": True, "logprobs": 2,
    }  # fmt: skip


@pytest.mark.parametrize(("body", "limit"), [
    ({"max_tokens": 5}, 5), ({"max_completion_tokens": 6}, 6), ({"max_tokens": 5, "max_completion_tokens": 6}, 6),
    ({"maxOutputTokens": 7}, 7), ({"max_output_tokens": 8, "max_tokens": 5}, 5),
])  # fmt: skip
def test_the_limit_of_the_answer_has_many_names(body, limit):
    assert config(**body) == {"maxOutputTokens": limit}


def test_one_answer_is_what_gemini_gives_anyway():
    assert config(n=1, temperature=None, stop=[]) == {}


@pytest.mark.parametrize("name", ["generationConfig", "generation_config"])
def test_geminis_own_configuration_is_kept_under_openais_parameters(name):
    own = {"topK": 1, "media_resolution": "LOW", "temperature": 1}
    assert config(**{name: own}, temperature=0.5, speech_config={"a": 1}) == {
        "topK": 1, "mediaResolution": "LOW", "temperature": 0.5, "speechConfig": {"a": 1},
    }  # fmt: skip


def test_what_nobody_knows_passes_through():
    body = {"safety_settings": [{"category": "x"}], "cachedContent": "cachedContents/1", "new": 1}
    assert encode(**body) == {**body, "contents": CONTENTS}


def test_what_changes_nothing_is_left_out():
    assert encode(**dict.fromkeys(LEFT_OUT, "x")) == {"contents": CONTENTS}


@pytest.mark.parametrize(("name", "value"), [
    ("logit_bias", {"1": 2}), ("audio", {"voice": "x"}), ("functions", [{}]), ("function_call", "auto"),
    ("modalities", ["text", "audio"]), ("modalities", "text"), ("moderation", {"x": 1}),
])  # fmt: skip
def test_what_gemini_cannot_do_is_unsupported_by_name(name, value):
    with pytest.raises(Unsupported, match="google") as raised:
        encode(**{name: value})
    assert raised.value.path == name


@pytest.mark.parametrize(("name", "value"), [
    ("logit_bias", {}), ("function_call", "none"), ("functions", []), ("audio", None), ("modalities", ["text"]),
])  # fmt: skip
def test_the_same_with_a_value_that_asks_for_nothing_is_accepted(name, value):
    assert encode(**{name: value}) == {"contents": CONTENTS}


def test_pictures_are_answered_where_an_answer_has_a_place_for_them():
    assert config(strict=False, modalities=["text", "image"]) == {"responseModalities": ["TEXT", "IMAGE"]}
    with pytest.raises(Unsupported, match="strict-open-ai-compliance"):
        encode(modalities=["image"])


def test_the_system_prompt_is_an_instruction_behind_the_callers_own():
    messages = [{"role": "system", "content": "s"}, *USER]
    assert encode(messages=messages)["systemInstruction"] == {"parts": [{"text": "s"}]}
    own = {"role": "system", "parts": [{"text": "o"}]}
    assert encode(system_instruction=own)["systemInstruction"] == own
    both = encode(messages=messages, systemInstruction=own)["systemInstruction"]
    assert both == {"role": "system", "parts": [{"text": "o"}, {"text": "s"}]}
    with pytest.raises(BadRequest, match=r"systemInstruction\.parts must be a list"):
        encode(messages=messages, systemInstruction={"parts": 7})


def test_tools_and_the_choice_among_them_are_there_when_given():
    tool = {"type": "function", "function": {"name": "f"}}
    made = encode(tools=[tool], tool_choice="required")
    assert made["tools"] == [{"functionDeclarations": [{"name": "f"}]}]
    assert made["toolConfig"] == {"functionCallingConfig": {"mode": "ANY"}}
    assert encode(tools=[tool], tool_config={"x": 1})["tool_config"] == {"x": 1}


def test_json_is_a_media_type_and_a_schema():
    assert config(response_format={"type": "text"}) == {}
    assert config(response_format={"type": "json_object"}) == {"responseMimeType": "application/json"}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True}}
    assert config(response_format=wanted) == {
        "responseMimeType": "application/json",
        "responseSchema": {"type": "OBJECT", "properties": {"b": {"type": "STRING"}, "a": {"type": "STRING"}},
                           "propertyOrdering": ["b", "a"]},
    }  # fmt: skip
    open_schema = {"type": "object", "additionalProperties": {"type": "string"}}
    wanted["json_schema"]["schema"] = open_schema
    assert config(response_format=wanted) == {
        "responseMimeType": "application/json", "responseJsonSchema": open_schema,
    }  # fmt: skip


@pytest.mark.parametrize(("model", "effort", "thinking"), [
    ("gemini-2.5-flash", "none", {"thinkingBudget": 0}), ("gemini-2.5-pro", "none", {"thinkingBudget": 128}),
    ("gemini-2.5-flash", "minimal", {"thinkingBudget": 1024}), ("gemini-2.5-flash", "low", {"thinkingBudget": 1024}),
    ("gemini-2.5-pro", "medium", {"thinkingBudget": 8192}), ("gemini-2.5-pro", "xhigh", {"thinkingBudget": 24576}),
    ("models/gemini-3.1-pro-preview", "none", {"thinkingLevel": "low"}),
    ("gemini-3.5-flash", "none", {"thinkingLevel": "minimal"}), ("gemini-3-flash-preview", "minimal", {"thinkingLevel": "minimal"}),
    ("gemini-3.8-flash", "minimal", {"thinkingLevel": "low"}), ("gemini-4-argon", "medium", {"thinkingLevel": "medium"}),
    ("gemini-3-pro-preview", "max", {"thinkingLevel": "high"}),
])  # fmt: skip
def test_effort_is_a_budget_up_to_generation_2_and_a_level_from_3(model, effort, thinking):
    assert config(model, reasoning_effort=effort) == {"thinkingConfig": thinking}
    shown = {} if effort == "none" else {"includeThoughts": True}
    assert config(model, strict=False, reasoning_effort=effort) == {"thinkingConfig": {**thinking, **shown}}


@pytest.mark.parametrize(("model", "own", "thinking"), [
    ("gemini-2.5-flash", {"type": "enabled", "budget_tokens": 77}, {"thinkingBudget": 77, "includeThoughts": True}),
    ("gemini-3.5-flash", {"type": "enabled", "budget_tokens": 1024}, {"thinkingLevel": "low", "includeThoughts": True}),
    ("gemini-3.5-flash", {"type": "enabled", "budget_tokens": 1025}, {"thinkingLevel": "medium", "includeThoughts": True}),
    ("gemini-4-argon", {"type": "enabled", "budget_tokens": 99999}, {"thinkingLevel": "high", "includeThoughts": True}),
    ("gemini-2.5-flash", {"type": "adaptive"}, {"thinkingBudget": 8192, "includeThoughts": True}),
    ("gemini-2.5-flash", {"type": "disabled", "budget_tokens": 5}, {"thinkingBudget": 0}),
])  # fmt: skip
def test_a_budget_of_the_caller_wins_over_the_effort(model, own, thinking):
    assert config(model, thinking=own, reasoning_effort="medium") == {"thinkingConfig": thinking}


def test_thinking_without_a_budget_is_left_to_the_model():
    assert config(thinking={"type": "enabled"}) == {"thinkingConfig": {"includeThoughts": True}}


def test_geminis_own_way_to_say_how_to_think_wins_over_all():
    own = {"thinkingBudget": 3}
    assert config(thinking_config=own, reasoning_effort="high") == {"thinkingConfig": own}
    assert config(generationConfig={"thinkingConfig": own}, thinking={"type": "enabled"}) == {"thinkingConfig": own}


@pytest.mark.parametrize(("tier", "sent"), [("flex", "flex"), ("priority", "priority"), ("auto", None), ([], None)])
def test_a_tier_that_is_sold_is_asked_for(tier, sent):
    assert encode(tiers=True, service_tier=tier).get("serviceTier") == sent
    assert "serviceTier" not in encode(service_tier=tier)


@pytest.mark.parametrize(("name", "value"), [
    ("reasoning_effort", "extreme"), ("thinking", 7), ("thinking", {"type": "x"}), ("generationConfig", []),
    ("system_instruction", "s"), ("response_format", {"type": "x"}), ("tool_choice", 7), ("tools", 7),
])  # fmt: skip
def test_what_cannot_be_understood_is_the_callers_fault(name, value):
    with pytest.raises(BadRequest) as raised:
        encode(**{name: value})
    assert raised.value.path == name
