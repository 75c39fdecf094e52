"""Budgets through both planes: real gateways, kills and outages.  What is spent is what the stored records say."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.system.system_kit import fetch, wait_for

CAP = 20
#: A call of this many tokens at most: each byte of the request may be one, and the answer has its cap.
MOST_OF_A_CALL = 60


def tokens(limit, **fields):
    return {"usage_limits": {"type": "tokens", "credit_limit": limit, **fields}}


def new_key(system, name, **fields):
    """Return a key that the gateway knows already."""
    made = system.new_key(name, **fields)
    wait_for(lambda: fetch(f"{system.gateway}/v1/models", key=made["key"])[0] == 200, "the gateway knows the key")
    return made


def ask(system, key, *, model="@demo/gpt-4o", **headers):
    """Return (status, body) of a capped chat."""
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}], "max_tokens": CAP}
    status, answer, _ = fetch(f"{system.gateway}/v1/chat/completions", key=key, body=body, headers=headers)
    return status, answer


def spent(system, key_id):
    """Return the tokens that the stored records of a key took."""
    sql = "SELECT coalesce(sum(tok_in + tok_out), 0)::bigint FROM logs_record WHERE api_key_id = %s"
    return system.query(sql, key_id)[0][0]


def standing(system, key_id):
    """Return (spent, committed, status) of a key's budget."""
    sql = "SELECT spent, committed, status FROM budgets_budget WHERE kind = 'api_key' AND owner_id = %s"
    return system.query(sql, key_id)[0]


def use_up(system, made, *, bound_s=60):
    """Make calls until one is refused; return (how many were answered, the refusal)."""
    answered, until = 0, time.monotonic() + bound_s
    while time.monotonic() < until:
        status, answer = ask(system, made["key"])
        if status != 200:
            return answered, (status, answer)
        answered += 1
    pytest.fail("the budget never ended")


def wait_shipped(system, made, answered):
    sql = "SELECT count(*) FROM logs_record WHERE api_key_id = %s AND status = 200"
    wait_for(lambda: system.query(sql, made["id"])[0][0] >= answered, "the records are here")


def test_a_budget_is_spent_and_not_overspent_and_the_key_is_exhausted(system):
    made = new_key(system, "thrifty", **tokens(2000))
    answered, (status, answer) = use_up(system, made)
    assert (status, answer["error"]["type"], answer["error"]["code"]) == (412, "api_key_exhaust_error", "04")
    assert answer["message"].startswith("Portkey Error: Usage limit exceeded: this API key allows 2000 tokens")
    wait_shipped(system, made, answered)
    taken = spent(system, made["id"])
    assert 2000 - MOST_OF_A_CALL <= taken <= 2000
    wait_for(lambda: standing(system, made["id"])[0] == taken, "the control plane knows what was spent")

    # What the last call could not have is not there for smaller ones for ever: the limit is raised, and it goes on.
    system.admin("PUT", f"/api-keys/{made['id']}", tokens(4000))
    wait_for(lambda: ask(system, made["key"])[0] == 200, "the raised limit holds", bound_s=10)
    use_up(system, made)
    system.admin("PUT", f"/api-keys/{made['id']}", {"reset_usage": True})
    wait_for(lambda: ask(system, made["key"])[0] == 200, "the budget is whole again", bound_s=10)
    assert system.admin("GET", f"/api-keys/{made['id']}")["status"] == "active"


def test_a_limit_that_is_lowered_below_what_is_spent_and_leased_grants_nothing_more(system):
    made = new_key(system, "lowered", **tokens(100_000))
    assert ask(system, made["key"])[0] == 200
    wait_for(lambda: standing(system, made["id"])[1] >= 40_000, "much of it is leased")
    system.admin("PUT", f"/api-keys/{made['id']}", tokens(100))
    # What was leased before may still be spent until the gateway hears that it is wanted back.
    answered, (status, _) = use_up(system, made)
    assert status == 412
    wait_shipped(system, made, answered + 1)
    wait_for(lambda: standing(system, made["id"])[:2] == (spent(system, made["id"]),) * 2, "nothing is held any more")
    if standing(system, made["id"])[0] >= 100:
        assert standing(system, made["id"])[2] == "exhausted"
        assert system.admin("GET", f"/api-keys/{made['id']}")["status"] == "exhausted"


def test_many_callers_at_once_never_overspend(system):
    made = new_key(system, "crowded", **tokens(1000))

    def caller(_):
        return [ask(system, made["key"])[0] for _ in range(25)]

    with ThreadPoolExecutor(12) as pool:
        statuses = [status for some in pool.map(caller, range(12)) for status in some]
    assert set(statuses) == {200, 412}
    wait_shipped(system, made, statuses.count(200))
    assert 1000 - MOST_OF_A_CALL <= spent(system, made["id"]) <= 1000


def test_while_the_control_plane_is_away_the_lease_is_spent_and_nothing_beyond(system):
    made, fresh = (new_key(system, name, **tokens(5000)) for name in ("outage", "no lease"))
    assert ask(system, made["key"])[0] == 200
    system.wait_current()
    system.kill_control_plane()
    try:
        # Whoever holds nothing of a budget cannot tell what is left of it.
        status, answer = ask(system, fresh["key"])
        assert (status, answer["error"]["code"]) == (503, "budget_unavailable")
        answered, (status, answer) = use_up(system, made)
        assert (answered >= 5, status, answer["error"]["code"]) == (True, 503, "budget_unavailable")
        # Those without a budget notice nothing.
        assert ask(system, system.key)[0] == 200
    finally:
        system.start_control_plane()
    wait_for(lambda: ask(system, made["key"])[0] == 200, "it goes on", bound_s=20)
    more, _ = use_up(system, made)
    wait_shipped(system, made, answered + more + 2)
    assert 5000 - MOST_OF_A_CALL <= spent(system, made["id"]) <= 5000


def test_a_gateway_that_is_killed_spends_nothing_twice_and_gets_the_rest_back(system):
    made = new_key(system, "killed", **tokens(5000))
    gateway, statuses = system.programs["gateway"], []
    stop = threading.Event()

    def call():
        while not stop.is_set():
            statuses.append(ask(system, made["key"])[0])

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    try:
        for _ in range(2):
            count = len(statuses)
            wait_for(lambda count=count: statuses[count:].count(200) >= 5, "calls are answered")
            gateway.kill()
            gateway.start()
            system.wait_ready()
        wait_for(lambda: statuses[-8:] == [412] * 8, "all is spent", bound_s=60)
    finally:
        stop.set()
        for caller in callers:
            caller.join(30)

    def settled():
        open_runs = (
            "SELECT count(*) FROM budgets_holder WHERE NOT is_settled AND NOT (last_at > now() - interval '10 s')"
        )
        return system.query(open_runs)[0][0] == 0

    wait_for(settled, "the killed runs are settled")
    use_up(system, made)
    taken = spent(system, made["id"])
    # Calls that were on their way when it was killed have no record: at most four each time.
    assert 5000 - (1 + 2 * 4) * MOST_OF_A_CALL <= taken <= 5000


def test_a_policy_counts_each_user_by_itself(system):
    home = system.demo["workspace_id"]
    policy = system.admin("POST", "/policies/usage-limits", {
        "name": "Three each", "type": "requests", "credit_limit": 3, "group_by": [{"key": "metadata._user"}],
        "conditions": [{"key": "metadata.budget", "value": "three"}], "workspace_id": home,
    })["id"]  # fmt: skip

    def call(user):
        return ask(system, system.key, **{"x-portkey-metadata": json.dumps({"budget": "three", "_user": user})})

    wait_for(lambda: call("ada")[0] == 412, "the policy holds", bound_s=10)
    status, answer = call("ada")
    assert (status, answer["error"]["type"]) == (412, "usage_limits_policy_exhaust_error")
    assert [call("bob")[0] for _ in range(4)] == [200, 200, 200, 412]
    path = f"/policies/usage-limits/{policy}/entities"

    def listed():
        rows = system.admin("GET", path)["data"]
        return {row["value_key"]: (row["current_usage"], row["status"]) for row in rows}

    done = {"metadata._user:ada": (3, "exhausted"), "metadata._user:bob": (3, "exhausted")}
    wait_for(lambda: listed() == done, "the control plane knows")
    ada = next(row["id"] for row in system.admin("GET", path)["data"] if row["value_key"].endswith("ada"))
    system.admin("PUT", f"{path}/{ada}/reset")
    wait_for(lambda: call("ada")[0] == 200, "it is whole again", bound_s=10)
    assert call("bob")[0] == 412


def test_a_saved_provider_that_is_spent_leaves_the_others_to_answer(system):
    home = {"workspace_id": system.demo["workspace_id"]}
    integration = system.admin("GET", "/virtual-keys/demo")["integration_id"]
    system.admin("POST", "/providers", {
        "name": "Small", "slug": "small", "integration_id": integration, **home, **tokens(300),
    })  # fmt: skip
    config = {"strategy": {"mode": "fallback"}, "targets": [{"virtual_key": "small"}, {"virtual_key": "demo"}]}
    slug = system.admin("POST", "/configs", {"name": "Small first", "config": config, **home})["data"]["slug"]

    def used():
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}], "max_tokens": CAP}
        sent = {"x-portkey-config": slug}
        status, _, headers = fetch(f"{system.gateway}/v1/chat/completions", key=system.key, body=body, headers=sent)
        return status, headers.get("x-portkey-last-used-option-index")

    wait_for(lambda: used() == (200, "config.targets[1]"), "the other provider answers", bound_s=20)
    wait_for(lambda: ask(system, system.key, model="@small/gpt-4o")[0] == 412, "it is refused by name", bound_s=10)


def test_a_gateway_that_stops_hands_back_what_it_did_not_spend(system):
    made = new_key(system, "stopped", **tokens(50_000))
    assert ask(system, made["key"])[0] == 200
    wait_for(lambda: standing(system, made["id"])[1] > standing(system, made["id"])[0] > 0, "a lease is held")
    gateway = system.programs["gateway"]
    gateway.stop()
    try:
        taken, committed, _ = standing(system, made["id"])
        assert taken == committed == spent(system, made["id"])
    finally:
        gateway.start()
        system.wait_ready()
