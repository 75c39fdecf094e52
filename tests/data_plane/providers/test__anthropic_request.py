"""Does an OpenAI request ask Anthropic for the same thing, and never for something else without a word?"""

import copy

import pytest
from anthropic.types import MessageCreateParams
from pydantic import TypeAdapter

from data_plane.providers._anthropic_request import BUDGETS, LEFT_OUT, REFUSED, encode_request
from shared.errors import BadRequest, Unsupported
from tests.fakes import messages_api

USER = {"role": "user", "content": "hi"}
TOOL = {"type": "function", "function": {"name": "f"}}
CALLED = {"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f"}}]}
RESULT = {"role": "tool", "tool_call_id": "a", "content": "x"}


@pytest.fixture
def encode(facts):
    def run(model="claude-sonnet-4-5", *, stream=False, messages=(USER,), **body):
        given = {"model": "@x/y", "messages": list(messages), **body}
        before = copy.deepcopy(given)
        made = encode_request(given, facts(model, stream=stream), provider="anthropic")
        assert given == before
        return made

    return run


def test_the_smallest_request_is_model_messages_and_a_limit(encode):
    assert encode() == {"model": "claude-sonnet-4-5", "max_tokens": 8192, "messages": [USER]}


def test_a_full_request_is_one_of_anthropics_own_types_and_is_accepted(encode):
    made = encode(
        stream=True, max_tokens=100, stop="END", user="u1", reasoning_effort="low", parallel_tool_calls=False,
        tools=[TOOL], tool_choice="auto", service_tier="default", store=True, seed=4, n=1,
        response_format={"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}},
        messages=[
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": [
                {"type": "text", "text": "look", "cache_control": {"type": "ephemeral"}},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            ]},
            {**CALLED, "content_blocks": [{"type": "thinking", "thinking": "hm", "signature": "s"}]},
            RESULT,
        ],
    )  # fmt: skip
    TypeAdapter(MessageCreateParams).validate_python(made)
    messages_api.check(made)
    assert made == {
        "model": "claude-sonnet-4-5", "max_tokens": 1124, "stream": True, "system": "be brief",
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "stop_sequences": ["END"], "metadata": {"user_id": "u1"}, "service_tier": "standard_only",
        "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}},
        "tools": [{"name": "f", "input_schema": {"type": "object", "properties": {}}}],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
        "messages": [
            {"role": "user", "content": [
                {"type": "text", "text": "look", "cache_control": {"type": "ephemeral"}},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
            ]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "tool_use", "id": "a", "name": "f", "input": {}},
            ]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "x"}]},
        ],
    }  # fmt: skip


def test_unknown_parameters_pass_untouched(encode):
    extra = {"top_k": 5, "temperature": 0.2, "top_p": 0.9, "container": "c", "brand_new": {"x": None}}
    made = encode(**extra)
    assert {name: made[name] for name in extra} == extra


class TestLimit:
    @pytest.mark.parametrize(
        ("body", "limit"),
        [({"max_tokens": 5}, 5), ({"max_completion_tokens": 6}, 6), ({"max_tokens": 5, "max_completion_tokens": 6}, 6),
         ({"max_tokens": 5, "max_completion_tokens": None}, 5)],
    )  # fmt: skip
    def test_both_names_of_the_limit_are_known(self, encode, body, limit):
        made = encode(**body)
        assert made["max_tokens"] == limit
        assert "max_completion_tokens" not in made

    @pytest.mark.parametrize(
        ("model", "limit"), [("claude-3-haiku-20240307", 4096), ("claude-3-5-sonnet-latest", 8192)]
    )
    def test_without_a_limit_there_is_one_that_the_model_can_keep(self, encode, model, limit):
        assert encode(model)["max_tokens"] == limit


class TestSystem:
    def test_anthropics_own_system_parameter_stands_before_the_system_messages(self, encode):
        made = encode(messages=[{"role": "system", "content": "b"}, USER], system="a")
        assert made["system"] == [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]

    def test_its_blocks_are_kept(self, encode):
        blocks = [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]
        assert encode(system=blocks)["system"] == blocks

    @pytest.mark.parametrize("system", [5, ["a"], {}])
    def test_another_type_is_refused(self, encode, system):
        with pytest.raises(BadRequest) as caught:
            encode(system=system)
        assert caught.value.path == "system"


class TestEndUser:
    @pytest.mark.parametrize(
        "body",
        [
            {"user": "u"},
            {"safety_identifier": "u"},
            {"metadata": {"user_id": "u", "team": "t"}, "user": "v"},
            {"user": "u", "safety_identifier": "v", "metadata": {"team": "t"}},
        ],
    )
    def test_the_end_user_is_anthropics_only_metadata(self, encode, body):
        assert encode(**body)["metadata"] == {"user_id": "u"}

    def test_other_metadata_is_left_out(self, encode):
        assert "metadata" not in encode(metadata={"team": "t"})


class TestEffort:
    @pytest.mark.parametrize(("effort", "budget"), [("low", 1024), ("medium", 8192), ("high", 16384), ("xhigh", 32768)])
    def test_an_effort_is_a_budget_with_room_for_the_answer_behind_it(self, encode, effort, budget):
        made = encode(reasoning_effort=effort, max_tokens=500)
        assert made["thinking"] == {"type": "enabled", "budget_tokens": budget}
        assert made["max_tokens"] == budget + 500

    def test_a_limit_that_leaves_room_stays(self, encode):
        assert encode(reasoning_effort="low", max_tokens=2000)["max_tokens"] == 2000

    @pytest.mark.parametrize("effort", [None, "none"])
    def test_no_effort_is_no_thinking(self, encode, effort):
        assert "thinking" not in encode(reasoning_effort=effort)

    @pytest.mark.parametrize("thinking", [{"type": "disabled"}, {"type": "enabled", "budget_tokens": 2000}])
    def test_what_the_caller_says_about_thinking_wins(self, encode, thinking):
        assert encode(reasoning_effort="high", thinking=thinking)["thinking"] == thinking

    def test_room_is_made_for_the_callers_own_budget_too(self, encode):
        assert encode(thinking={"type": "enabled", "budget_tokens": 9000})["max_tokens"] == 9000 + 8192

    @pytest.mark.parametrize("effort", ["huge", 3, []])
    def test_an_unknown_effort_is_refused(self, encode, effort):
        with pytest.raises(BadRequest) as caught:
            encode(reasoning_effort=effort)
        assert caught.value.path == "reasoning_effort"

    def test_a_forced_call_is_made_without_a_budget(self, encode):
        assert "thinking" not in encode(reasoning_effort="low", tools=[TOOL], tool_choice="required")

    def test_a_call_whose_thinking_is_lost_is_continued_without_a_budget(self, encode):
        assert "thinking" not in encode(reasoning_effort="low", messages=[USER, CALLED, RESULT])

    @pytest.mark.parametrize(
        "model", ["claude-opus-4-7", "claude-opus-5", "claude-sonnet-5-5", "claude-haiku-10", "claude-mythos-5"]
    )
    def test_models_that_refuse_a_budget_are_told_the_effort(self, encode, model):
        made = encode(model, reasoning_effort="minimal", output_config={"x": 1})
        assert made["thinking"] == {"type": "adaptive"}
        assert made["output_config"] == {"effort": "low", "x": 1}
        assert made["max_tokens"] == 8192

    @pytest.mark.parametrize(
        "model",
        ["claude-sonnet-4-20250514", "claude-opus-4-1", "claude-haiku-4-5-20251001", "claude-3-7-sonnet-20250219", "x"],
    )
    def test_other_models_are_given_a_budget(self, encode, model):
        assert encode(model, reasoning_effort="low")["thinking"]["type"] == "enabled"

    def test_every_effort_of_openai_is_known(self):
        assert {"minimal", "low", "medium", "high", "xhigh", "max"} == BUDGETS.keys()


class TestFormat:
    def test_text_is_what_comes_anyway(self, encode):
        assert "output_config" not in encode(response_format={"type": "text"})

    def test_a_schema_joins_other_output_settings(self, encode):
        wanted = {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}}
        assert encode(response_format=wanted, output_config={"effort": "low"})["output_config"] == {
            "effort": "low",
            "format": {"type": "json_schema", "schema": {"type": "object"}},
        }

    def test_json_without_a_schema_is_refused_by_name(self, encode):
        with pytest.raises(Unsupported, match="json_object"):
            encode(response_format={"type": "json_object"})

    @pytest.mark.parametrize("wanted", [5, {}, {"type": "json_schema"}, {"type": "json_schema", "json_schema": {}}])
    def test_a_malformed_format_is_refused(self, encode, wanted):
        with pytest.raises(BadRequest) as caught:
            encode(response_format=wanted)
        assert caught.value.path == "response_format"

    def test_output_settings_of_a_wrong_type_are_refused(self, encode):
        with pytest.raises(BadRequest):
            encode(output_config="x", reasoning_effort="low")


@pytest.mark.parametrize(("stop", "made"), [("a", ["a"]), (["a", "b"], ["a", "b"]), (None, None), ([], None)])
def test_stop_may_be_one_or_several(encode, stop, made):
    assert encode(stop=stop).get("stop_sequences") == made


@pytest.mark.parametrize(("tier", "made"), [("auto", "auto"), ("default", "standard_only"), ("weird", None), (3, None)])
def test_tiers_are_translated(encode, tier, made):
    assert encode(service_tier=tier).get("service_tier") == made


@pytest.mark.parametrize("name", sorted(LEFT_OUT))
def test_what_does_not_change_the_answer_is_left_out_for_a_reason(encode, name):
    assert name not in encode(**{name: "x"})
    assert LEFT_OUT[name]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n", 2), ("logprobs", True), ("top_logprobs", 3), ("logit_bias", {"1": 2}), ("presence_penalty", 0.5),
        ("frequency_penalty", -1), ("audio", {"voice": "x"}), ("modalities", ["text", "audio"]),
        ("functions", [{"name": "f"}]), ("function_call", "auto"), ("web_search_options", {}),
        ("moderation", {"model": "m"}),
    ],
)  # fmt: skip
def test_what_changes_the_answer_is_refused_with_provider_and_parameter(encode, name, value):
    with pytest.raises(Unsupported, match=f"^anthropic does not support the parameter {name}") as caught:
        encode(**{name: value})
    assert caught.value.path == name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n", 1), ("logprobs", False), ("top_logprobs", 0), ("logit_bias", {}), ("presence_penalty", 0),
        ("frequency_penalty", 0.0), ("audio", None), ("modalities", ["text"]), ("functions", []),
        ("function_call", "none"), ("web_search_options", None), ("moderation", None),
    ],
)  # fmt: skip
def test_values_that_ask_for_nothing_are_accepted_and_left_out(encode, name, value):
    assert name not in encode(**{name: value})
    assert name in REFUSED
