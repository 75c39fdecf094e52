"""A vendor that no release knows, added through the Admin API and used at once."""

import json
import urllib.request

from tests.fakes.acme_host import ANSWER, KEY, acme_host
from tests.system.system_kit import fetch, wait_for

DIALECT = {
    "name": "Acme Models",
    "slug": "acme-models",
    "auth": {"header": "x-acme-key", "prefix": ""},
    "headers": {"x-acme-region": "eu"},
    "endpoints": {"chat": {"path": "/chat"}, "embed": {"parameters": {"drop": ["encoding_format"]}}},
    "parameters": {
        "rename": {"max_tokens": "max_output_tokens", "max_completion_tokens": "max_output_tokens"},
        "drop": ["user"],
        "defaults": {"safe_mode": True},
        "refuse": ["logprobs"],
    },
}
ASKED = {"model": "@acme/large", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 9, "user": "u"}


def streamed(system, body):
    """Return the words of a streamed chat and its usage."""
    data = json.dumps({**body, "stream": True, "stream_options": {"include_usage": True}}).encode()
    headers = {"authorization": f"Bearer {system.key}", "content-type": "application/json"}
    with urllib.request.urlopen(
        urllib.request.Request(f"{system.gateway}/v1/chat/completions", data=data, headers=headers), timeout=20
    ) as answer:
        lines = answer.read().decode().splitlines()
    assert lines[-2] == "data: [DONE]"
    events = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    words = [choice["delta"].get("content") or "" for event in events for choice in event["choices"]]
    return " ".join(filter(None, words)), events[-1]["usage"]["total_tokens"]


def test_a_vendor_that_no_release_knows_is_added_used_and_changed_without_one(system):
    with acme_host() as (base_url, seen):
        system.admin("POST", "/custom-providers", {**DIALECT, "base_url": base_url})
        account = {
            "name": "Acme account",
            "ai_provider_id": "acme-models",
            "key": KEY,
            "create_default_provider": False,
        }
        integration = system.admin("POST", "/integrations", account)["slug"]
        made = {
            "name": "Acme",
            "slug": "acme",
            "integration_id": integration,
            "workspace_id": system.demo["workspace_id"],
        }
        system.admin("POST", "/providers", made)

        def call(path, body, **headers):
            return fetch(f"{system.gateway}/v1{path}", key=system.key, body=body, headers=headers)

        status, answer, headers = call("/chat/completions", ASKED)
        assert (status, answer["choices"][0]["message"]["content"], answer["provider"]) == (200, ANSWER, "acme-models")
        assert headers["x-portkey-provider"] == "acme-models"
        plain = {"model": "large", "messages": ASKED["messages"], "max_output_tokens": 9, "safe_mode": True}
        assert (seen[-1][0], seen[-1][2]) == ("/v1/chat", plain)
        assert streamed(system, ASKED) == (ANSWER, 5)

        asked = {"model": "@acme/embedder", "input": "hi", "encoding_format": "float"}
        status, answer, _ = call("/embeddings", asked)
        assert (status, answer["data"][0]["embedding"]) == (200, [0.5, 0.25])

        told = {"model": "@acme/large", "max_tokens": 9, "messages": ASKED["messages"]}
        status, answer, _ = call("/messages", told, **{"anthropic-version": "2023-06-01"})
        assert (status, answer["content"][0]["text"]) == (200, ANSWER)

        before = len(seen)
        status, answer, _ = call("/chat/completions", {**ASKED, "logprobs": True})
        assert (status, answer["error"]["param"], len(seen)) == (400, "logprobs", before)
        assert "acme-models" in answer["error"]["message"]

        own = {"x-portkey-api-key": system.key, "x-portkey-provider": "acme-models"}
        url, asked = f"{system.gateway}/v1/chat/completions", {**ASKED, "model": "large"}
        assert fetch(url, key=KEY, body=asked, headers=own)[0] == 200
        assert fetch(url, key="wrong-key", body=asked, headers=own)[0] == 401

        # What the host now calls otherwise is changed where it is said, and holds for the next requests.
        system.admin("PUT", "/custom-providers/acme-models", {"parameters": {"drop": ["user", "max_tokens"]}})
        wait_for(
            lambda: call("/chat/completions", ASKED)[0] == 200 and len(seen[-1][2]) == 2, "the new map is in force"
        )
        assert seen[-1][2] == {"model": "large", "messages": ASKED["messages"]}

        status, answer, _ = fetch(
            f"{system.control}/v1/custom-providers/acme-models", key=system.admin_key, method="DELETE"
        )
        assert (status, integration in answer["error"]["message"]) == (409, True)
