"""Limits of rate through both planes: by keys, by saved providers, with Redis and without."""

import os

import pytest

from tests.system.system_kit import wait_for


def rate(value, kind="requests", unit="rpd"):
    return {"rate_limits": [{"type": kind, "unit": unit, "value": value}]}


def current_key(system, name, **fields):
    """Make a key that the gateway knows of: what is counted here is calls, and not how soon a key is known."""
    made = system.new_key(name, **fields)
    system.wait_current()
    return made


def start_gateway(system):
    """Start the gateway, and wait until it hears from the control plane: until then it knows of nothing new."""
    system.programs["gateway"].start()
    system.wait_ready()
    key = system.new_key("heard of")["key"]
    wait_for(lambda: system.chat(key=key)[0] == 200, "the gateway hears from the control plane")


@pytest.fixture
def shared(system):
    """The gateway with a Redis to count in, and afterwards without."""
    gateway = system.programs["gateway"]
    before = gateway.environment
    for environment in (before | {"GATEHOUSE_GATEWAY_REDIS_URL": os.environ["REDIS_URL"]}, before):
        gateway.stop()
        gateway.environment = environment
        start_gateway(system)
        if environment is not before:
            yield system


def test_a_key_makes_as_many_calls_as_its_limit_says_whichever_worker_answers(shared):
    key = current_key(shared, "limited", **rate(5))["key"]
    answers = [shared.chat(key=key) for _ in range(12)]
    assert [status for status, _, _ in answers] == [200] * 5 + [429] * 7
    _, body, headers = answers[-1]
    assert body["error"]["code"] == "rate_limit_exceeded"
    assert body["message"] == "Rate limit exceeded: this API key allows 5 requests per day."
    assert (headers["x-ratelimit-limit-requests"], headers["x-ratelimit-remaining-requests"]) == ("5", "0")
    assert 1 <= int(headers["retry-after"]) <= 86_400
    # The count is that of all gateways: a gateway that begins anew goes on from it.
    gateway = shared.programs["gateway"]
    gateway.stop()
    gateway.start()
    shared.wait_ready()
    assert shared.chat(key=key)[0] == 429


def test_tokens_are_counted_and_a_raised_limit_counts_on(shared):
    made = current_key(shared, "tokens", **rate(20, "tokens"))
    wait_for(lambda: shared.chat(key=made["key"])[0] == 429, "the tokens are spent", bound_s=20)
    shared.admin("PUT", f"/api-keys/{made['id']}", rate(1_000_000, "tokens"))
    wait_for(lambda: shared.chat(key=made["key"])[0] == 200, "the raised limit holds", bound_s=10)


def test_without_redis_and_without_the_control_plane_the_limit_holds(system):
    key = current_key(system, "alone", **rate(6))["key"]
    assert system.chat(key=key)[0] == 200
    system.kill_control_plane()
    try:
        # Workers tell each other what they counted a moment later: until then each has the limit of its own.
        answers = [200]

        def holds():
            answers.extend(system.chat(key=key)[0] for _ in range(5))
            return answers[-5:] == [429] * 5

        wait_for(holds, "the limit holds", bound_s=20)
        assert 6 <= answers.count(200) <= 12
        assert [system.chat(key=key)[0] for _ in range(10)] == [429] * 10
    finally:
        system.start_control_plane()


def test_a_saved_provider_that_is_spent_leaves_the_others_to_answer(system):
    integration = system.admin("GET", "/virtual-keys/demo")["integration_id"]
    home = {"workspace_id": system.demo["workspace_id"]}
    narrow = {"name": "Narrow", "slug": "narrow", "integration_id": integration, **home, **rate(1)}
    assert system.admin("POST", "/providers", narrow)["slug"] == "narrow"
    targets = [{"virtual_key": "narrow"}, {"virtual_key": "demo"}]
    config = {"strategy": {"mode": "fallback"}, "targets": targets}
    slug = system.admin("POST", "/configs", {"name": "Narrow first", "config": config, **home})["data"]["slug"]
    system.wait_current()
    sent = {"x-portkey-config": slug}

    def used():
        status, _, headers = system.chat(model="gpt-4o", **sent)
        return status, headers["x-portkey-last-used-option-index"]

    assert used() == (200, "config.targets[0]")
    # Workers tell each other what they counted a moment later: until then each lets one through.
    others = [(200, "config.targets[1]")] * 6
    wait_for(lambda: [used() for _ in others] == others, "the other provider answers", bound_s=10)
    assert [used() for _ in others] == others
    assert [system.chat(model="@narrow/gpt-4o")[0] for _ in others] == [429] * 6


def test_a_limit_of_the_organisation_holds_for_all_its_keys_and_ends_when_it_is_taken_back(shared):
    keys = [current_key(shared, f"of all {number}")["key"] for number in (1, 2)]
    shared.admin("PUT", "/admin/organisation", rate(3))
    try:
        wait_for(lambda: shared.chat(key=keys[0])[0] == 429, "the organisation's limit holds", bound_s=20)
        status, body, headers = shared.chat(key=keys[1])
        assert (status, headers["x-ratelimit-limit-requests"]) == (429, "3")
        assert body["message"].startswith("Rate limit exceeded: the organisation ")
        assert body["message"].endswith(" allows 3 requests per day.")
    finally:
        shared.admin("PUT", "/admin/organisation", {"rate_limits": None})
    wait_for(lambda: shared.chat(key=keys[0])[0] == 200, "there is no limit any more", bound_s=20)


def test_a_limit_of_an_integration_as_a_whole_holds_for_all_its_providers(shared):
    integration = shared.admin("GET", "/virtual-keys/demo")["integration_id"]
    home = {"workspace_id": shared.demo["workspace_id"]}
    shared.admin("POST", "/providers", {"name": "Sibling", "slug": "sibling", "integration_id": integration, **home})
    shared.admin("PUT", f"/integrations/{integration}", rate(2))
    try:
        wait_for(lambda: shared.chat(model="@demo/gpt-4o")[0] == 429, "the integration's limit holds", bound_s=20)
        status, body, _ = shared.chat(model="@sibling/gpt-4o")
        expected = "Rate limit exceeded: the account of @sibling allows 2 requests per day."
        assert (status, body["message"]) == (429, expected)
    finally:
        shared.admin("PUT", f"/integrations/{integration}", {"rate_limits": None})
    wait_for(lambda: shared.chat(model="@sibling/gpt-4o")[0] == 200, "there is no limit any more", bound_s=20)


def test_without_redis_a_gateway_learns_among_how_many_it_is_and_keeps_to_its_share(system):
    others = """
        INSERT INTO gateways_gatewayinstance (group_id, instance, first_seen_at, last_seen_at, report)
        SELECT group_id, 'other-' || number, now(), now(), '{"state": "ACTIVE"}'
        FROM gateways_gatewayinstance, generate_series(1, 9) AS number WHERE instance = %s RETURNING 1
    """
    gateway, known = system.programs["gateway"], system.state / "gateways"
    key = current_key(system, "of ten", **rate(100))["key"]
    system.wait_current()
    gateway.stop()
    try:
        assert len(system.query(others, system.report()["instance"])) == 9
        gateway.start()
        system.wait_ready()
        wait_for(lambda: known.read_text() == "10", "it knows of the others")
        done = 0
        while system.chat(key=key)[0] == 200:
            done += 1
        # Its workers tell each other what they counted a moment later.
        assert 10 <= done < 50
    finally:
        gateway.stop()
        system.query("DELETE FROM gateways_gatewayinstance WHERE instance LIKE %s RETURNING 1", "other-%")
        known.unlink()
        start_gateway(system)


def test_a_policy_counts_each_user_by_itself(system):
    system.admin("POST", "/policies/rate-limits", {
        "name": "Two a day", "type": "requests", "unit": "rpd", "value": 2, "group_by": [{"key": "metadata._user"}],
        "conditions": [{"key": "metadata.policy", "value": "two"}], "workspace_id": system.demo["workspace_id"],
    })  # fmt: skip

    def ask(user):
        return system.chat(**{"x-portkey-metadata": f'{{"policy": "two", "_user": "{user}"}}'})[0]

    wait_for(lambda: ask("ada") == 429, "the policy holds", bound_s=10)
    assert ask("bob") == 200
    assert system.chat()[0] == 200
