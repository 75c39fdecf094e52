"""Strategies through both planes and the real SDKs: what is saved is routed, and why is told."""

import json
import re
import socket
import threading
import urllib.request
from contextlib import contextmanager

import openai
import portkey_ai
import pytest

from tests.system.system_kit import fetch, wait_for

CHAT = [{"role": "user", "content": "Hello there"}]


@pytest.fixture
def portkey(system):
    """Makes Portkey clients of the gateway, and closes their connections at the end."""
    made = []

    def make(**arguments):
        made.append(portkey_ai.Portkey(api_key=system.key, base_url=f"{system.gateway}/v1", **arguments))
        return made[-1]

    yield make
    for each in made:
        each._client.close()
        each.openai_client.close()


@contextmanager
def hanging_up():
    """Yield (port, connections) of a server that hangs up on everybody."""
    seen = []
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()

        def accept():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                seen.append(1)
                connection.close()

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield server.getsockname()[1], seen
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def provider(system, name, url):
    made = {
        "name": name,
        "provider": "openai",
        "key": "demo-key",
        "workspace_id": system.demo["workspace_id"],
        "custom_host": url,
    }
    return "@" + system.admin("POST", "/virtual-keys", made)["slug"]


def saved(system, name, config):
    made = {"name": name, "config": config, "workspace_id": system.demo["workspace_id"]}
    slug = system.admin("POST", "/configs", made)["slug"]
    system.wait_current()
    return slug


def explained(system, record_id):
    """Return the explanation of a request as soon as its record is stored."""

    def asked():
        status, body, _ = fetch(f"{system.control}/v1/logs/{record_id}/explain", key=system.admin_key)
        return body if status == 200 else None

    return wait_for(asked, "the decision is told")


CONDITIONAL = {
    "strategy": {
        "mode": "conditional",
        "conditions": [
            {"query": {"metadata.plan": {"$in": ["paid", "trial"]}, "params.temperature": {"$lt": 1}}, "then": "good"},
            {"query": {"url.pathname": {"$regex": "embeddings$"}}, "then": "good"},
        ],
        "default": "cheap",
    },
    "targets": [
        {"name": "cheap", "override_params": {"model": "@demo/gpt-4o-mini"}},
        {"name": "good", "override_params": {"model": "@demo/gpt-4o"}},
    ],
}


@pytest.mark.parametrize(("metadata", "temperature", "model", "index"), [
    ({"plan": "paid"}, 0.5, "gpt-4o", "config.targets[1]"), ({"plan": "paid"}, 2, "gpt-4o-mini", "config.targets[0]"),
    ({"plan": "free"}, 0.5, "gpt-4o-mini", "config.targets[0]"),
])  # fmt: skip
def test_the_portkey_sdk_routes_by_its_metadata_under_a_saved_config(
    system, portkey, metadata, temperature, model, index
):
    client = portkey(config=saved(system, "By plan", CONDITIONAL), metadata=metadata, trace_id="trace-of-mine")
    answer = client.chat.completions.create(model="any", messages=CHAT, temperature=temperature)
    headers = answer.get_headers()
    assert (answer.model, headers["last-used-option-index"], headers["trace-id"]) == (model, index, "trace-of-mine")
    told = explained(system, headers["decision-id"])
    condition = next(step for step in told["steps"] if step["step"] == "condition")
    assert (condition["chose"], condition["facts"]["metadata.plan"]) == (index, metadata["plan"])
    assert str(answer.model) in told["summary"]


def test_the_openai_sdk_falls_back_and_streams_under_an_inline_config(system):
    with hanging_up() as (port, seen):
        bad = provider(system, "Bad", f"http://127.0.0.1:{port}/v1")
        system.wait_current()
        config = {"strategy": {"mode": "fallback"}, "targets": [{"provider": bad}, {"provider": "@demo"}]}
        with openai.OpenAI(
            base_url=f"{system.gateway}/v1", api_key=system.key, max_retries=0,
            default_headers={"x-portkey-config": json.dumps(config)},
        ) as client, client.chat.completions.create(model="gpt-4o", messages=CHAT, stream=True) as stream:  # fmt: skip
            chunks = list(stream)
            headers = stream.response.headers
        assert "Hello there" in "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
        assert (headers["x-portkey-last-used-option-index"], len(seen)) == ("config.targets[1]", 1)
        steps = explained(system, headers["x-portkey-decision-id"])["steps"]
    assert [step["facts"]["status"] for step in steps if step["step"] == "attempt"] == [502, 200]


def breakers_open(system):
    """Return in how many workers the breaker is open."""
    with_text = re.search(rb"^gatehouse_breakers_open (\d+)", metrics(system), re.MULTILINE)
    return int(float(with_text[1])) if with_text else 0


def metrics(system):
    with urllib.request.urlopen(f"{system.gateway}/metrics", timeout=10) as answer:
        return answer.read()


def test_one_failure_opens_the_breaker_of_every_worker(system):
    with hanging_up() as (port, seen):
        bad = provider(system, "Worse", f"http://127.0.0.1:{port}/v1")
        slug = saved(system, "Breaker", {
            "strategy": {"mode": "fallback", "cb_config": {"failure_threshold": 1, "cooldown_interval": 600_000}},
            "targets": [{"provider": bad}, {"provider": "@demo"}],
        })  # fmt: skip
        chat = {"x-portkey-config": slug}
        assert system.chat(model="gpt-4o", **chat)[0] == 200
        wait_for(lambda: breakers_open(system) == 2, "both workers know")
        for _ in range(20):
            status, _, headers = system.chat(model="gpt-4o", **chat)
            assert (status, headers["x-portkey-last-used-option-index"]) == (200, "config.targets[1]")
        assert len(seen) == 1
        steps = explained(system, headers["x-portkey-decision-id"])["steps"]
    (skipped,) = next(step for step in steps if step["step"] == "breaker")["rejected"]
    assert skipped == {"what": "config.targets[0]", "why": "its circuit breaker is open"}


def test_a_user_sticks_to_a_target_in_every_worker(system):
    targets = [{"override_params": {"model": f"@demo/{model}"}} for model in ("gpt-4o", "gpt-4o-mini")]
    slug = saved(system, "Sticky", {
        "strategy": {"mode": "loadbalance", "sticky": {"enabled": True, "hash_fields": ["metadata.user"], "ttl": 3600}}, "targets": targets,
    })  # fmt: skip
    models = {}
    for user in range(12):
        for _ in range(4):
            headers = {"x-portkey-config": slug, "x-portkey-metadata": json.dumps({"user": str(user)})}
            models.setdefault(user, set()).add(system.chat(model="x", **headers)[1]["model"])
    assert {len(seen) for seen in models.values()} == {1}
    assert len(set.union(*models.values())) == 2


def test_a_simulation_says_what_the_gateway_then_does(system):
    slug = saved(system, "Simulated", CONDITIONAL)
    request = {"metadata": {"plan": "trial"}, "body": {"model": "any", "messages": CHAT, "temperature": 0}}
    simulated = system.admin("POST", "/configs/simulate", {"config": slug, "request": request})
    headers = {"x-portkey-config": slug, "x-portkey-metadata": '{"plan":"trial"}'}
    body = {"model": "any", "messages": CHAT, "temperature": 0}
    status, _, answered = fetch(f"{system.gateway}/v1/chat/completions", key=system.key, body=body, headers=headers)
    assert (status, answered["x-portkey-last-used-option-index"]) == (simulated["status"], simulated["target"])
    what_if = {"config": slug, "request": request, "answers": {"good": 429}}
    assert system.admin("POST", "/configs/simulate", what_if)["status"] == 429
