import pytest

from shared.errors import BadRequest
from shared.routing.compile import compile_plan
from shared.routing.facts import Facts
from shared.routing.simulate import MAX_ATTEMPTS, Asked, MadeUpAnswer, simulate
from shared.schema.config import parse_config
from tests.shared.routing.route_kit import Clock, play, route

FALLBACK = {"strategy": {"mode": "fallback"}, "targets": [{"provider": "openai"}, {"provider": "@b", "name": "second"}]}
T0, T1 = "config.targets[0]", "config.targets[1]"


def run(body, facts=None, *, asked=None, draw=0.0, now_s=1e9, **more):
    answers = {path: [MadeUpAnswer(status) for status in given] for path, given in more.pop("answers", {}).items()}
    return simulate(
        compile_plan(parse_config(body)),
        facts or Facts(params={"model": "gpt-4o"}),
        answers=answers,
        draw=lambda: draw,
        asked=asked or Asked(),
        now_s=now_s,
        **more,
    )


def made(simulation):
    return [(attempt.path, attempt.status, attempt.retry, attempt.wait_s) for attempt in simulation.attempts]


def test_what_nobody_makes_up_answers_200():
    found = run(FALLBACK)
    assert (found.status, found.target, made(found)) == (200, T0, [(T0, 200, 0, 0.0)])


def test_made_up_answers_come_in_order_and_the_last_one_again_and_again():
    body = {"virtual_key": "v", "retry": {"attempts": 3}}
    assert made(run(body, answers={"config": [500, 503, 200]})) == [
        ("config", 500, 0, 0.0),
        ("config", 503, 1, 1.0),
        ("config", 200, 2, 2.0),
    ]
    assert len(made(run(body, answers={"config": [500]}))) == 4


def test_an_attempt_says_who_named_its_provider_and_the_model():
    found = run(FALLBACK, answers={T0: [500]})
    assert [(each.provider, each.virtual_key, each.name, each.named_by, each.model) for each in found.attempts] == [
        ("openai", None, None, "the target", "gpt-4o"), (None, "b", "second", "the target", "gpt-4o"),
    ]  # fmt: skip
    assert found.target == T1
    assert "2 attempts were made" in found.summary


def test_params_are_shaped_as_for_a_real_call_and_the_request_stays_as_it_is():
    facts = Facts(params={"model": "x", "a": 1})
    found = run({"virtual_key": "v", "override_params": {"model": "@w/y"}, "drop_params": ["a"]}, facts)
    assert (found.attempts[0].virtual_key, found.attempts[0].model) == ("w", "y")
    assert facts.params == {"model": "x", "a": 1}


def test_the_requests_headers_name_the_provider_of_an_open_target():
    body = {"retry": {"attempts": 0}}
    assert run(body, asked=Asked(provider="@h")).attempts[0].virtual_key == "h"
    assert run(body, asked=Asked(virtual_key="v")).attempts[0].virtual_key == "v"


def test_where_nobody_names_a_provider_the_request_is_refused_and_nothing_else_is_tried():
    found = run({"strategy": {"mode": "fallback"}, "targets": [{}, {"provider": "@b"}]})
    assert (found.status, made(found)) == (400, [(T0, 400, 0, 0.0)])
    assert any(step.get("why") == "nobody names a provider" for step in found.steps)


def test_an_open_breaker_is_taken_as_given():
    body = {
        **FALLBACK,
        "strategy": {"mode": "fallback", "cb_config": {"failure_threshold": 1, "cooldown_interval": 30_000}},
    }
    assert run(body, open_breakers=[T0]).target == T1
    assert run(body, open_breakers=[T0, T1]).target == T0
    assert run(body, answers={T0: [503]}).target == T1


def test_the_dice_are_the_callers():
    body = {
        "strategy": {"mode": "loadbalance"},
        "targets": [{"provider": "@a", "weight": 1}, {"provider": "@b", "weight": 3}],
    }
    assert [run(body, draw=point).target for point in (0.24, 0.25)] == [T0, T1]


def test_a_sticky_choice_depends_on_the_time_only_from_one_time_to_live_to_the_next():
    sticky = {"enabled": True, "hash_fields": ["metadata.u"], "ttl": 60}
    body = {"strategy": {"mode": "loadbalance", "sticky": sticky}, "targets": [{"provider": "@a"}, {"provider": "@b"}]}
    facts = Facts(metadata={"u": "x"}, params={"model": "m"})
    assert len({run(body, facts, now_s=6e8 + second).target for second in range(60)}) == 1
    assert {run(body, facts, now_s=6e8 + 60 * minute).target for minute in range(40)} == {T0, T1}


def test_no_condition_that_holds_is_told_as_the_gateway_tells_it():
    body = {
        "strategy": {"mode": "conditional", "conditions": [{"query": {"metadata.x": 1}, "then": "a"}]},
        "targets": [{"name": "a"}],
    }
    found = run(body)
    assert (found.status, found.target, found.attempts) == (400, None, ())
    assert found.error == "Query router did not resolve to any valid target"
    assert found.summary.startswith("Refused with 400")


def test_a_refusal_after_attempts_has_no_target_that_answers():
    inner = {
        "strategy": {"mode": "conditional", "conditions": [{"query": {"metadata.x": 1}, "then": "a"}]},
        "targets": [{"name": "a"}],
    }
    found = run({"strategy": {"mode": "fallback"}, "targets": [{"provider": "@a"}, inner]}, answers={T0: [500]})
    assert (found.status, found.target, len(found.attempts)) == (400, None, 1)


def test_the_request_may_say_how_many_retries_there_are():
    assert len(run({"virtual_key": "v", "retry": {"attempts": 5}}, answers={"config": [500]}, retries=2).attempts) == 3


def test_a_simulation_that_does_not_end_soon_is_refused():
    leaf = {"retry": {"attempts": 5}, "provider": "@a"}
    body = {
        "strategy": {"mode": "fallback"},
        "targets": [{"strategy": {"mode": "fallback"}, "targets": [leaf] * 40}] * 5,
    }
    everywhere = {f"config.targets[{outer}].targets[{inner}]": [500] for outer in range(5) for inner in range(40)}
    with pytest.raises(BadRequest, match=str(MAX_ATTEMPTS)):
        run(body, answers=everywhere)


def test_a_simulation_walks_as_the_gateway_does():
    body = {"retry": {"attempts": 2}, "strategy": {"mode": "fallback"}, "targets": [
        {"provider": "@a"}, {"strategy": {"mode": "loadbalance"}, "targets": [{"provider": "@b"}, {"provider": "@c", "weight": 3}]},
    ]}  # fmt: skip
    found = run(body, draw=0.5, answers={T0: [429, 500, 503]})
    attempts, result = play(
        compile_plan(parse_config(body)).root, [429, 500, 503, 200], route(draw=lambda: 0.5, clock=Clock())
    )
    assert [(path, retry, wait) for path, _, retry, wait in made(found)] == attempts
    assert found.status == result.status
