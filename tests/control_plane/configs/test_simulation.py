"""A simulation says what gateways would do, for all that can be asked, within bounds, and changes nothing."""

from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control_plane.configs import simulation
from control_plane.core.models import AuditEvent, OutboxEvent
from tests.control_plane.factories import Api, make_config, make_key, make_tenant, make_workspace

pytestmark = pytest.mark.django_db

FALLBACK = {
    "strategy": {"mode": "fallback", "on_status_codes": [429]},
    "targets": [{"provider": "openai", "name": "main"}, {"virtual_key": "spare", "retry": {"attempts": 1}}],
}
BALANCE = {
    "strategy": {"mode": "loadbalance"},
    "targets": [{"provider": "openai", "weight": 3}, {"provider": "groq", "weight": 1}],
}
GUARDED = {
    "strategy": {"mode": "fallback", "cb_config": {"failure_threshold": 3, "cooldown_interval": 30_000}},
    "targets": [{"provider": "openai"}, {"provider": "groq"}],
}


@pytest.fixture
def tenant():
    return make_tenant()


@pytest.fixture
def api(tenant):
    return Api(tenant.admin_key)


def ask(api, config, **given):
    answer = api.post("configs/simulate", {"config": config, **given})
    assert answer.status_code == 200, answer.content
    return answer.json()


def refusal(api, config, **given):
    answer = api.post("configs/simulate", {"config": config, **given})
    body = answer.json()
    assert (answer.status_code, body["success"], body["data"]["errorCode"]) == (400, False, "AB01")
    return body.get("errors") or [body["data"]["message"]]


def tried(told):
    return [(attempt["path"], attempt["status"]) for attempt in told["attempts"]]


def test_a_request_is_walked_through_the_config(api):
    told = ask(api, FALLBACK, answers={"main": 429}, request={"body": {"model": "m"}})
    assert (told["object"], told["status"], told["target"]) == ("simulation", 200, "config.targets[1]")
    assert tried(told) == [("config.targets[0]", 429), ("config.targets[1]", 200)]
    assert [step["step"] for step in told["steps"]] == ["attempt", "fallback", "attempt"]
    assert told["summary"].startswith("Answered 200 by spare/m; fallback at config chose config.targets[1]")
    assert (told["attempts"][1]["virtual_key"], told["attempts"][1]["model"]) == ("spare", "m")


@pytest.mark.parametrize("name", ["config.targets[1]", "targets[1]", "1", "target 1"])
def test_a_target_may_be_called_by_path_or_number(api, name):
    told = ask(api, FALLBACK, answers={"0": 429, name: [{"status": 503, "retry_after_s": 2}, 200]})
    assert tried(told)[1:] == [("config.targets[1]", 503), ("config.targets[1]", 200)]


def test_a_target_at_the_root_is_called_config(api):
    assert tried(ask(api, {"virtual_key": "a"}, answers={"config": 500})) == [("config", 500)]


def test_a_nested_target_is_called_by_its_path_or_name(api):
    config = {"strategy": {"mode": "fallback"}, "targets": [{**FALLBACK, "name": "inner"}, {"provider": "groq"}]}
    told = ask(api, config, answers={"main": 500, "targets[1]": 503})
    assert tried(told) == [("config.targets[0].targets[0]", 500), ("config.targets[1]", 503)]
    assert refusal(api, config, answers={"inner": 500})[0].startswith(
        "path: answers,inner, message: No target that can be reached"
    )


def test_a_name_that_several_targets_have_is_refused(api):
    config = {**FALLBACK, "targets": [{"provider": "openai", "name": "1"}, {"provider": "groq"}]}
    (fault,) = refusal(api, config, answers={"1": 500})
    assert fault == (
        "path: answers,1, message: Several targets are called so; say which: config.targets[0], config.targets[1]"
    )


def test_a_target_that_is_given_two_lists_of_answers_is_refused(api):
    assert len(refusal(api, FALLBACK, answers={"0": 500, "main": 200})) == 1


def test_every_unknown_target_is_told(api):
    faults = refusal(api, FALLBACK, answers={"a": 500, "2": 500}, open_breakers=["b"])
    assert [fault.partition(", message")[0] for fault in faults] == [
        "path: answers,a", "path: answers,2", "path: open_breakers,0",
    ]  # fmt: skip


@pytest.mark.parametrize(("draw", "target"), [(0.0, 0), (0.74, 0), (0.76, 1), ([0.9, 0.1], 1)])
def test_a_draw_decides_the_target(api, draw, target):
    assert ask(api, BALANCE, draw=draw)["target"] == f"config.targets[{target}]"


def test_draws_are_used_in_turn_and_the_last_again_and_again(api):
    config = {"strategy": {"mode": "fallback"}, "targets": [BALANCE, BALANCE, BALANCE]}
    below = {f"targets[{n}].targets[{m}]": 500 for n in range(3) for m in range(2)}
    told = ask(api, config, draw=[0.1, 0.9], answers=below)
    assert [path[-2] for path, _ in tried(told)] == ["0", "1", "1"]


def test_answers_are_reproducible_and_other_dice_change_them(api):
    assert ask(api, BALANCE) == ask(api, BALANCE)
    assert {ask(api, BALANCE, seed=seed)["target"] for seed in range(30)} == {"config.targets[0]", "config.targets[1]"}


def test_the_distribution_follows_the_weights(api):
    told = ask(api, BALANCE, runs=4000)
    assert told["runs"] == 4000
    assert told["distribution"] == pytest.approx({"config.targets[0]": 0.75, "config.targets[1]": 0.25}, abs=0.03)
    assert "note" not in told
    assert told["distribution"] == ask(api, BALANCE, runs=4000, draw=0.1)["distribution"]


def test_runs_that_lead_nowhere_are_counted_too(api):
    config = {
        "strategy": {"mode": "conditional", "conditions": [{"query": {"metadata.plan": "paid"}, "then": "a"}]},
        "targets": [{"name": "a", "provider": "openai"}],
    }
    told = ask(api, config, runs=10)
    assert (told["status"], told["target"], told["distribution"]) == (400, None, {"none": 1.0})
    assert told["error"]
    paid = ask(api, config, request={"headers": {"x-portkey-metadata": '{"plan": "paid"}'}})
    assert (paid["target"], paid["steps"][0]["facts"]) == ("config.targets[0]", {"metadata.plan": "paid"})


def test_headers_of_the_request_name_the_provider_and_the_retries(api):
    headers = {"x-portkey-virtual-key": "mine", "x-portkey-retry-count": "2"}
    told = ask(api, {"retry": {"attempts": 0}}, request={"headers": headers}, answers={"config": 503})
    assert [attempt["virtual_key"] for attempt in told["attempts"]] == ["mine"] * 3


def test_a_request_for_which_nobody_names_a_provider_is_refused_as_the_gateway_does(api):
    told = ask(api, {"strategy": {"mode": "fallback"}, "targets": [{"name": "a"}, {"provider": "groq"}]})
    assert (told["status"], tried(told)) == (400, [("config.targets[0]", 400)])


def test_a_target_whose_breaker_is_open_is_left_out(api):
    assert ask(api, GUARDED)["target"] == "config.targets[0]"
    told = ask(api, GUARDED, open_breakers=["0"])
    assert (told["target"], told["steps"][0]["step"]) == ("config.targets[1]", "breaker")


def test_a_breaker_that_is_not_there_cannot_be_open(api):
    assert "has no circuit breaker" in refusal(api, FALLBACK, open_breakers=["main"])[0]


def test_a_sticky_choice_is_kept_until_its_time_is_over(api):
    sticky = {"enabled": True, "hash_fields": ["metadata.user"], "ttl": 60}
    config = {**BALANCE, "strategy": {"mode": "loadbalance", "sticky": sticky}}

    def target(user, minute):
        now = datetime.fromtimestamp(1_900_000_020 + 60 * minute, UTC).isoformat()
        return ask(api, config, request={"metadata": {"user": user}}, now=now)["target"]

    assert {target("u", 0) for _ in range(3)} == {target("u", 0)}
    assert {target("u", minute) for minute in range(40)} == {"config.targets[0]", "config.targets[1]"}


def test_every_fault_of_an_invalid_config_is_told_with_its_path(api):
    config = {"strategy": {"mode": "sideways"}, "targets": [{"weight": "x"}, {"custom_host": "http://127.0.0.1"}]}
    faults = refusal(api, config)
    assert {fault.partition(", message")[0] for fault in faults} >= {
        "path: strategy,mode", "path: targets,0,weight", "path: targets,1,custom_host",
    }  # fmt: skip


@pytest.mark.parametrize("key", ["cache", "prompt_id", "input_guardrails"])
def test_what_this_version_lacks_is_said(api, key):
    value = {"cache": {"mode": "simple"}, "prompt_id": "p", "input_guardrails": ["g"]}[key]
    (fault,) = refusal(api, {"provider": "openai", key: value})
    assert fault == f"path: config, message: '{key}' is not available yet"


def test_a_saved_config_is_simulated_by_slug_or_id(tenant, api):
    config = make_config(tenant, body=FALLBACK)
    for name in (config.slug, str(config.pk)):
        assert ask(api, name, answers={"0": 429})["target"] == "config.targets[1]"


def test_an_archived_config_is_not_simulated(tenant, api):
    assert "archived" in refusal(api, make_config(tenant, status="archived").slug)[0]


def test_a_config_of_others_is_answered_like_a_missing_one(tenant):
    config, other = make_config(tenant), make_workspace(tenant)
    missing = refusal(Api(tenant.admin_key), "pc-nowhere")
    assert refusal(Api(make_tenant().admin_key), config.slug) == missing
    assert refusal(Api(make_key(tenant, workspace=other).shown_once()), config.slug) == missing
    assert refusal(Api(tenant.admin_key), config.slug, workspace_id=other.slug) == missing
    assert ask(Api(tenant.admin_key), config.slug, workspace_id=tenant.workspace.slug)["status"] == 200


def test_another_organisations_workspace_cannot_be_named(api):
    assert refusal(api, FALLBACK, workspace_id=str(make_tenant().workspace.pk))


def test_a_slug_of_two_workspaces_needs_the_workspace(tenant, api):
    other = make_workspace(tenant)
    make_config(tenant, slug="pc-same", body=FALLBACK)
    make_config(tenant, slug="pc-same", body={"virtual_key": "a"}, workspace=other)
    assert "workspace_id" in refusal(api, "pc-same")[0]
    assert ask(api, "pc-same", workspace_id=other.slug)["target"] == "config"


def test_reading_configs_is_enough_and_needed(tenant):
    statuses = [
        Api(make_key(tenant, [scope]).shown_once()).post("configs/simulate", {"config": FALLBACK}).status_code
        for scope in ("configs.read", "configs.list", "completions.write")
    ]
    assert statuses == [200, 403, 403]
    assert Api().post("configs/simulate", {"config": FALLBACK}).status_code == 401


def test_nothing_is_written(tenant, api):
    config = make_config(tenant)
    counts = AuditEvent.objects.count(), OutboxEvent.objects.count()
    ask(api, config.slug, runs=5)
    assert (AuditEvent.objects.count(), OutboxEvent.objects.count(), config.versions.count()) == (*counts, 1)


def test_a_credential_of_an_inline_config_is_not_shown(api):
    answer = api.post("configs/simulate", {"config": {"provider": "openai", "api_key": "sk-secret-9"}, "runs": 2})
    assert (answer.status_code, b"sk-secret-9" in answer.content) == (200, False)


def test_a_simulation_of_too_many_attempts_is_refused(api):
    below = {"strategy": {"mode": "fallback"}, "targets": [{"provider": "openai", "name": "t"}] * 50}
    config = {"retry": {"attempts": 5}, "strategy": {"mode": "fallback"}, "targets": [below] * 4}
    answers = {f"targets[{n}].targets[{m}]": 500 for n in range(4) for m in range(50)}
    assert "after 1000 attempts" in refusal(api, config, answers=answers)[0]


def test_a_simulation_that_takes_too_long_is_refused(api, monkeypatch):
    monkeypatch.setattr(simulation, "MAX_CPU_S", -1.0)
    assert "takes longer" in refusal(api, BALANCE, runs=10)[0]


def test_fewer_runs_are_made_when_the_time_is_over(api, monkeypatch):
    ticks = iter(range(1000))
    monkeypatch.setattr(simulation.time, "thread_time", lambda: next(ticks) * 0.25)
    told = ask(api, BALANCE, runs=100)
    assert told["runs"] == 7
    assert sum(told["distribution"].values()) == pytest.approx(1)
    assert told["note"] == "7 of 100 runs were made: there was no time for more."


def test_more_dropped_parameters_than_can_be_simulated_in_time_are_refused(api):
    assert "drop_params" in refusal(api, {"provider": "openai", "drop_params": [f"p{n}" for n in range(101)]})[0]


def test_conditions_that_all_lead_to_one_target_on_every_level_are_no_burden(api):
    config = {"provider": "openai", "name": "t"}
    for _ in range(8):
        strategy = {"mode": "conditional", "conditions": [{"query": {"metadata.a": "b"}, "then": "t"}] * 20}
        config = {"strategy": {**strategy, "default": "t"}, "targets": [config], "name": "t"}
    assert ask(api, config, answers={"t": 503})["status"] == 503


WORDS = st.sampled_from(["a", "b", "0", "targets[0]", "config", "target 1", "", "é", "openai", "@x/y", "$", "\x7f"])
SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | WORDS
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3), max_leaves=8
)
QUERIES = st.dictionaries(
    st.sampled_from(["metadata.a", "params.model", "params.n", "url.pathname", "$or"]),
    SCALARS | st.dictionaries(st.sampled_from(["$eq", "$in", "$regex", "$gt"]), VALUES, max_size=2),
    max_size=2,
)
LEAVES = st.fixed_dictionaries(
    {},
    optional={
        "name": WORDS, "provider": WORDS, "virtual_key": WORDS, "weight": st.sampled_from([0, 0.5, 1, 1e12, -1]),
        "retry": st.fixed_dictionaries({"attempts": st.integers(0, 6)}), "override_params": st.just({"model": "@v/m"}),
        "default_params": VALUES, "drop_params": st.lists(WORDS, max_size=2),
        "cb_config": st.just({"failure_threshold": 1, "cooldown_interval": 30_000}),
    },
)  # fmt: skip
STRATEGIES = st.fixed_dictionaries(
    {"mode": st.sampled_from(["single", "fallback", "loadbalance", "conditional"])},
    optional={
        "on_status_codes": st.lists(st.sampled_from([429, 500]), max_size=2), "default": WORDS,
        "conditions": st.lists(st.fixed_dictionaries({"query": QUERIES, "then": WORDS}), max_size=2),
        "sticky": st.just({"enabled": True, "hash_fields": ["params.model", "headers.a", "metadata.a"], "ttl": 5}),
    },
)  # fmt: skip
CONFIGS = st.recursive(
    LEAVES,
    lambda below: st.fixed_dictionaries({"strategy": STRATEGIES, "targets": st.lists(below, max_size=3)}),
    max_leaves=6,
)
REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        "path": st.sampled_from(["/v1/chat/completions", "/", "/é"]), "metadata": st.dictionaries(WORDS, VALUES, max_size=3),
        "headers": st.dictionaries(
            st.sampled_from(["a", "x-portkey-metadata", "x-portkey-provider", "x-portkey-retry-count", "baggage"]),
            WORDS | st.just('{"a": 1e400}') | st.just("3"), max_size=3,
        ),
        "body": st.dictionaries(st.sampled_from(["model", "n", "user", "a"]), VALUES, max_size=4),
    },
)  # fmt: skip
QUESTIONS = st.fixed_dictionaries(
    {"config": CONFIGS},
    optional={
        "request": REQUESTS, "answers": st.dictionaries(WORDS, st.sampled_from([200, 429, [500, 200], {"status": 429}]), max_size=2),
        "draw": st.sampled_from([0, 0.5, [0.1, 0.9]]), "runs": st.just(2), "open_breakers": st.lists(WORDS, max_size=1),
    },
) | st.dictionaries(st.sampled_from(["config", "request", "answers", "draw", "seed", "now", "runs"]), VALUES, max_size=4)  # fmt: skip


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(question=QUESTIONS)
def test_no_question_is_answered_with_a_failure_of_ours(api, question):
    answer = api.post("configs/simulate", question)
    assert answer.status_code in {200, 400}, (question, answer.content)
    body = answer.json()
    if answer.status_code == 400:
        assert (body["success"], body["data"]["errorCode"]) == (False, "AB01")
    else:
        assert body["object"] == "simulation"
        assert body["attempts"] or body["error"]


ROUND = {"attempts": 1, "on_status_codes": [429, 500]}
TARGETS = st.fixed_dictionaries(
    {"weight": st.sampled_from([0.5, 1, 1e12])},
    optional={
        "virtual_key": st.just("v"), "retry": st.just(ROUND), "override_params": st.just({"model": "@v/m"}),
        "default_params": st.dictionaries(WORDS, VALUES, max_size=2),
        "cb_config": st.just({"failure_threshold": 1, "cooldown_interval": 30_000}),
    },
)  # fmt: skip
SOUND_QUERIES = st.dictionaries(
    st.sampled_from(["metadata.a", "params.a", "params.0", "url.pathname"]),
    SCALARS | st.builds(lambda wanted: {"$in": [wanted]}, VALUES) | st.builds(lambda wanted: {"$gt": wanted}, VALUES)
    | st.just({"$regex": "a|é", "$ne": 1}),
    max_size=2,
)  # fmt: skip
MODES = st.fixed_dictionaries(
    {"mode": st.sampled_from(["single", "fallback", "loadbalance"])},
    optional={
        "on_status_codes": st.just([429]),
        "sticky": st.just({"enabled": True, "hash_fields": ["params.a", "headers.a", "metadata.a"], "ttl": 5}),
    },
) | st.builds(
    lambda query, default: {"mode": "conditional", "conditions": [{"query": query, "then": "t0"}], **default},
    SOUND_QUERIES, st.sampled_from([{}, {"default": "t0"}]),
)  # fmt: skip


def named(strategy, targets):
    """A config of targets that are called t0, t1, …"""
    return {"strategy": strategy, "targets": [{**each, "name": f"t{n}"} for n, each in enumerate(targets)]}


SOUND = st.recursive(
    TARGETS, lambda below: st.builds(named, MODES, st.lists(below, min_size=1, max_size=3)), max_leaves=8
).flatmap(lambda inner: st.builds(named, MODES, st.just([inner, {"virtual_key": "w"}])))


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    config=SOUND, path=st.sampled_from(["/v1/x", "/é"]), params=st.dictionaries(WORDS, VALUES, max_size=4),
    metadata=st.dictionaries(WORDS, VALUES, max_size=3),
    last=st.sampled_from([200, 429, [500, 200], {"status": 429, "retry_after_s": 1}]),
)  # fmt: skip
def test_every_request_under_a_sound_config_is_answered(api, config, path, params, metadata, last):
    request = {"path": path, "body": params, "metadata": metadata}
    is_reached = config["strategy"]["mode"] in {"fallback", "loadbalance"}
    told = ask(api, config, request=request, runs=2, answers={"targets[1]": last} if is_reached else {})
    assert told["attempts"] or told["error"]
    assert told["target"] == (told["attempts"][-1]["path"] if told["attempts"] else None)
    assert sum(told["distribution"].values()) == 1
