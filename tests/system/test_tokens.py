"""Tokens of an organisation's own identity provider, through both planes."""

import time

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.system.system_kit import wait_for

PROPAGATION_WAIT_S = 1.0
KEY = rsa.generate_private_key(65537, 2048)


def token(system, **changes):
    organisation, workspace = system.query("SELECT organisation_id, slug FROM orgs_workspace WHERE is_default")[0]
    said = {
        "organisation_id": str(organisation), "workspace_slug": workspace, "scopes": ["completions.write"],
        "exp": time.time() + 600, "email_id": "ada@example.com",
    }  # fmt: skip
    return jwt.encode({**said, **changes}, KEY, "RS256", headers={"kid": "main"})


def test_a_token_works_while_its_key_is_published_and_is_refused_soon_after(system):
    said = jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key(), as_dict=True)
    mine = token(system)
    assert system.chat(key=mine)[0] == 401
    told = system.admin("PUT", "/admin/organisation/jwks", {"jwks": {"keys": [{**said, "kid": "main"}]}})
    assert [key["kid"] for key in told["keys"]] == ["main"]
    # The caller waits for the revision that brings the key, as for a key made a moment ago.
    wait_for(lambda: system.chat(key=mine)[0] == 200, "a token is good", bound_s=5)
    assert system.chat(key=token(system, exp=time.time() - 1))[0] == 401
    assert system.chat(key=token(system, scopes=["logs.write"]))[0] == 403
    assert system.chat(key=token(system, workspace_slug="ws-none"))[0] == 403
    assert system.admin("DELETE", "/admin/organisation/jwks")["keys"] == []
    began = time.monotonic()
    wait_for(lambda: system.chat(key=mine)[0] == 401, "the token is refused", bound_s=10)
    # A call whose key is not known waits a second for a revision that may bring it.
    assert time.monotonic() - began <= 2.0 + PROPAGATION_WAIT_S
