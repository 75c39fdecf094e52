import pytest

from shared.routing.decision import (
    ABSENT,
    HIDDEN,
    MAX_REJECTED,
    MAX_STEPS,
    DecisionTrace,
    explanation,
    step_json,
    summarise,
)
from shared.schema.log_record import Rejected, Step
from tests.shared.routing.route_kit import Clock

CONFIG = Step("config", "", "pc-1", "the request names it")
CALL = Step("attempt", "config.targets[0]", "openai", "the target", {"status": 200})


def told(steps, status=200, provider="openai", model="gpt-4o"):
    return summarise(steps, status=status, provider=provider, model=model)


def test_a_step_says_when_it_was_taken():
    clock = Clock()
    trace = DecisionTrace(clock)
    clock.now_s += 0.0025
    trace.add("condition", "config", "config.targets[0]", "condition 0 holds", facts={"k": 1})
    assert trace.steps[0].us == pytest.approx(2500, abs=1)
    assert trace.steps[0].facts == {"k": 1}


def test_past_its_limit_a_trace_only_counts():
    trace = DecisionTrace(Clock())
    for number in range(MAX_STEPS + 3):
        trace.add("retry", "config", str(number), "")
    assert (len(trace.steps), trace.missed, trace.steps[-1].chose) == (MAX_STEPS, 3, str(MAX_STEPS - 1))


def test_only_so_many_alternatives_are_kept():
    trace = DecisionTrace(Clock())
    trace.add("fallback", "config", "a", "", rejected=tuple(Rejected(str(n), "no") for n in range(MAX_REJECTED + 5)))
    assert len(trace.steps[0].rejected) == MAX_REJECTED


@pytest.mark.parametrize(("root", "value", "shown"), [
    ("metadata", "paid", "paid"), ("metadata", None, None), ("metadata", 7, 7), ("metadata", True, True), ("metadata", 1.5, 1.5),
    ("params", "gpt-4o", "gpt-4o"), ("url", "/v1/chat", "/v1/chat"), ("headers", "anything", HIDDEN), ("params", {"a": 1}, "{'a': 1}"),
    ("params", "my sk-abcdefghijklmnop key", "my [redacted] key"), ("params", "x" * 64, "x" * 64), ("params", "x" * 65, "x" * 63 + "…"),
])  # fmt: skip
def test_a_value_is_shown_short_and_without_keys(root, value, shown):
    assert DecisionTrace(Clock()).shown(root, value) == shown


def test_a_huge_value_is_cut_before_it_is_looked_at():
    shown = DecisionTrace(Clock()).shown("params", "sk-" + "a" * 1_000_000 + " and more")
    assert shown == "[redacted]"


@pytest.mark.parametrize("hidden_from_the_start", [True, False])
def test_texts_of_the_body_can_be_hidden_and_nothing_else_is(hidden_from_the_start):
    trace = DecisionTrace(Clock(), shows_params=not hidden_from_the_start)
    trace.hide_params()
    assert trace.shown("params", "private") == HIDDEN
    assert (trace.shown("params", 5), trace.shown("metadata", "m"), trace.shown("url", "/v1")) == (5, "m", "/v1")
    assert HIDDEN != ABSENT


def test_a_summary_tells_who_answered_under_what():
    assert told([CONFIG, CALL]) == "Answered 200 by openai/gpt-4o; under pc-1 (the request names it)."
    assert told([CALL], provider=None, model=None) == "Answered 200 by no provider."


def test_a_summary_tells_what_decided_and_how_often_it_was_tried():
    chose = Step("fallback", "config", "config.targets[1]", "500 is no success")
    assert told([CALL, chose, CALL], 503) == (
        "Answered 503 by openai/gpt-4o; fallback at config chose config.targets[1]: 500 is no success; 2 attempts were made."
    )


def test_a_summary_names_three_decisions_at_most():
    steps = [Step("loadbalance", f"p{n}", "x", "drawn") for n in range(5)]
    assert [f"p{n}" in told([*steps, CALL]) for n in range(5)] == [True, True, True, False, False]


def test_a_summary_of_a_refusal_says_why():
    assert told([Step("refusal", "", "", "no target is left")], 400) == (
        "Refused with 400 before any provider was called; no target is left."
    )


def test_an_explanation_begins_with_the_key_and_ends_with_the_price():
    record = {
        "status": 200, "provider": "openai", "model_requested": "gpt-4o", "model_served": "gpt-4o-mini", "api_key": "key-1",
        "price_status": "priced", "price_id": "p-1", "cost_nano": 12, "decision": [{"step": "attempt", "path": "config", "chose": "openai"}],
    }  # fmt: skip
    told = explanation(record)
    assert told["summary"] == "Answered 200 by openai/gpt-4o-mini."
    assert [step["step"] for step in told["steps"]] == ["auth", "attempt", "price"]
    assert (told["steps"][0]["chose"], told["steps"][2]["facts"]) == ("key-1", {"cost_nano": 12})


@pytest.mark.parametrize("price", [{}, {"price_status": "none"}, {"price_status": None}])
def test_an_explanation_of_what_was_not_priced_has_no_price(price):
    assert [step["step"] for step in explanation({"status": 200, **price})["steps"]] == ["auth"]


def test_a_step_is_shown_without_what_it_does_not_say():
    assert step_json(Step("retry", "config", "retry 1", us=5)) == {
        "step": "retry",
        "path": "config",
        "chose": "retry 1",
        "us": 5,
    }
    full = step_json(Step("fallback", "p", "c", "w", {"a": 0}, (Rejected("x", "y"),)))
    assert full["rejected"] == [{"what": "x", "why": "y"}]
    assert (full["facts"], full["us"]) == ({"a": 0}, 0)
