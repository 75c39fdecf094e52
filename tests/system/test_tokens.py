"""Tokens of an organisation's own identity provider, through both planes."""

import time
from concurrent.futures import ThreadPoolExecutor

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.system.system_kit import fetch, wait_for

PROPAGATION_WAIT_S = 1.0


def made_key():
    return rsa.generate_private_key(65537, 2048)


def publish_key(system, key):
    said = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return system.admin("PUT", "/admin/organisation/jwks", {"jwks": {"keys": [{**said, "kid": "main"}]}})


def token(system, key, **changes):
    organisation, workspace = system.query("SELECT organisation_id, slug FROM orgs_workspace WHERE is_default")[0]
    said = {
        "organisation_id": str(organisation), "workspace_slug": workspace, "scopes": ["completions.write"],
        "exp": time.time() + 600, "email_id": "ada@example.com",
    }  # fmt: skip
    return jwt.encode({**said, **changes}, key, "RS256", headers={"kid": "main"})


def test_a_token_works_while_its_key_is_published_and_is_refused_soon_after(system):
    key = made_key()
    mine = token(system, key)
    assert system.chat(key=mine)[0] == 401
    told = publish_key(system, key)
    assert [each["kid"] for each in told["keys"]] == ["main"]
    # The caller waits for the revision that brings the key, as for a key made a moment ago.
    wait_for(lambda: system.chat(key=mine)[0] == 200, "a token is good", bound_s=5)
    assert system.chat(key=token(system, key, exp=time.time() - 1))[0] == 401
    assert system.chat(key=token(system, key, scopes=["logs.write"]))[0] == 403
    assert system.chat(key=token(system, key, workspace_slug="ws-none"))[0] == 403
    assert system.admin("DELETE", "/admin/organisation/jwks")["keys"] == []
    began = time.monotonic()
    wait_for(lambda: system.chat(key=mine)[0] == 401, "the token is refused", bound_s=10)
    # A call whose key is not known waits a second for a revision that may bring it.
    assert time.monotonic() - began <= 2.0 + PROPAGATION_WAIT_S


def test_the_tokens_of_one_person_share_a_budget_that_is_spent_and_not_overspent(system):
    key = made_key()
    publish_key(system, key)

    def call(limit=1000, **changes):
        said = {"usage_limits": {"type": "tokens", "credit_limit": limit}, "jti": str(time.time_ns()), **changes}
        mine = token(system, key, **said)
        body = {"model": "@demo/gpt-4o", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 20}
        return fetch(f"{system.gateway}/v1/chat/completions", key=mine, body=body)

    wait_for(lambda: call(email_id="bob@example.com")[0] == 200, "a token is good", bound_s=5)
    # Each call has a token of its own, and the two at a time go through whichever worker takes them.
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: call(), range(250)))
    assert {status for status, _, _ in answers} == {200, 412}
    status, answer, _ = call()
    assert (status, answer["error"]["type"], answer["error"]["code"]) == (412, "token_exhaust_error", "04")
    assert answer["message"].startswith("Portkey Error: Usage limit exceeded: this token allows 1000 tokens")
    assert call(email_id="bob@example.com")[0] == 200
    assert call(limit=99)[0] == 401

    spent = "SELECT value_key, spent FROM budgets_budget WHERE kind = 'token' ORDER BY spent DESC"
    used = sum(answer["usage"]["total_tokens"] for status, answer, _ in answers if status == 200)
    wait_for(lambda: system.query(spent)[0][1] == used, "the control plane knows what was spent")
    assert 1000 - 60 <= used <= 1000
    keys = [row[0] for row in system.query(spent)]
    assert len(keys) == 2
    assert all(key.endswith("/tokens/1000/never") for key in keys)
    system.admin("DELETE", "/admin/organisation/jwks")
