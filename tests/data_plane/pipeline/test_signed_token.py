import time
from functools import cache

import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from data_plane.pipeline.authenticate import authenticate, is_known, require_scope
from data_plane.pipeline.signed_token import MAX_TOKEN_CHARS, UnknownTokenKey, subject_of
from shared.errors import Forbidden, Unauthenticated
from shared.schema.limits import RateRow
from shared.schema.rows import OrgRow, TokenKey, TokenKeysRow, WorkspaceRow
from tests.data_plane import kit

NOBODY = frozenset()


@cache
def private(name, bits):
    return rsa.generate_private_key(65537, bits)


def token_key(kid="k1", name="first", bits=2048):
    said = jwt.algorithms.RSAAlgorithm.to_jwk(private(name, bits).public_key(), as_dict=True)
    return TokenKey(kid, said["n"], said["e"])


def snapshot(*keys, **sections):
    return kit.snapshot(token_keys=[TokenKeysRow(kit.ORG, keys or (token_key(),))], **sections)


def claims(**changes):
    usual = {
        "organisation_id": kit.ORG, "workspace_slug": "ws-main", "scopes": ["completions.write"], "exp": time.time() + 60,
        "sub": "u-1",
    }  # fmt: skip
    return {name: value for name, value in {**usual, **changes}.items() if value is not None}


def token(said=None, *, key=None, kid="k1", algorithm="RS256", **headers):
    named = {"kid": kid} if kid is not None else {}
    return jwt.encode(said or claims(), key or private("first", 2048), algorithm, headers={**named, **headers})


def ask(text, known=None):
    return authenticate(kit.call({"authorization": f"Bearer {text}"}, key=None), known or snapshot(), NOBODY)


def test_a_signed_token_stands_for_a_key_of_its_workspace():
    said = claims(defaults={"config_id": "pc-main", "metadata": {"team": "a", "number": 1}}, email_id="ada@example.com")
    caller = ask(token(said))
    assert (caller.org.id, caller.ws.id, caller.key.org, caller.key.ws) == (kit.ORG, kit.WS, kit.ORG, kit.WS)
    assert (caller.key.user, caller.key.config, caller.key.metadata) == ("ada@example.com", "pc-main", {"team": "a"})
    require_scope(caller, "completions.write")


def test_a_token_carries_limits_that_can_be_kept_or_is_refused():
    limit = {"type": "requests", "unit": "rpm", "value": 5}
    assert ask(token(claims(rate_limits=[limit]))).key.rates == (RateRow("requests", "rpm", 5),)
    for fault in ([{**limit, "unit": "rpx"}], [{**limit, "value": -1}], [{"type": "requests"}], "5", [7]):
        with pytest.raises(Unauthenticated, match="rate_limits"):
            ask(token(claims(rate_limits=fault)))


def test_a_token_carries_a_budget_that_can_be_kept_or_is_refused():
    limit = {"type": "tokens", "credit_limit": 500, "periodic_reset": "weekly"}
    ((key, kind, unit),) = map(msgspec.structs.astuple, ask(token(claims(usage_limits=limit))).key.budgets)
    assert (key, kind, unit) == (f"t:{kit.ORG}/{kit.WS}/{subject_of('u-1')}/tokens/500/weekly", "token", "tokens")
    assert ask(token(claims(usage_limits=[]))).key.budgets == ask(token()).key.budgets == ()
    for fault in ({**limit, "credit_limit": 99}, {**limit, "type": "requests"}, {}, "500", [limit, limit]):
        with pytest.raises(Unauthenticated, match="usage_limits"):
            ask(token(claims(usage_limits=fault)))


def test_the_tokens_of_one_person_share_a_budget_and_those_of_two_do_not():
    def budget(**said):
        return ask(token(claims(usage_limits={"credit_limit": 5}, **said))).key.budgets[0].id

    assert budget(jti="1") == budget(jti="2", exp=time.time() + 99)
    assert len({budget(sub=name) for name in ("ada", "bob", None, "\ud800")}) == 4


@pytest.mark.parametrize("header", ["x-portkey-api-key", "x-api-key"])
def test_a_token_may_come_in_any_header_that_a_key_may(header):
    call = kit.call({header: token()}, key=None)
    assert authenticate(call, snapshot(), NOBODY).ws.id == kit.WS


@pytest.mark.parametrize(("said", "scopes"), [
    ({"scopes": ["portkey.completions.write", "logs.write"]}, {"completions.write", "logs.write"}),
    ({"scopes": None, "scope": "portkey.completions.write prompts.render"}, {"completions.write", "prompts.render"}),
    ({"scopes": None}, set()), ({"scopes": {"completions.write": True}}, set()), ({"scopes": [1, None]}, set()),
])  # fmt: skip
def test_scopes_may_be_a_list_or_a_text(said, scopes):
    assert ask(token(claims(**said))).key.scopes == scopes


def test_a_token_without_the_scope_may_not_call_a_model():
    with pytest.raises(Forbidden, match=r"completions\.write"):
        require_scope(ask(token(claims(scopes=["logs.write"]))), "completions.write")


@pytest.mark.parametrize(
    ("said", "user"),
    [
        ({"email_id": "a@b.c", "uid": "u"}, "a@b.c"),
        ({"uid": "u"}, "u-1"),
        ({"sub": None, "uid": "u"}, "u"),
        ({"sub": None}, None),
    ],
)
def test_the_user_is_named_by_the_nearest_claim(said, user):
    assert ask(token(claims(**said))).key.user == user


@pytest.mark.parametrize("said", [
    {"portkey_oid": kit.ORG, "organisation_id": None}, {"portkey_workspace": "ws-main", "workspace_slug": None},
    {"workspace_slug": kit.WS},
])  # fmt: skip
def test_organisation_and_workspace_go_by_either_name(said):
    assert ask(token(claims(**said))).ws.id == kit.WS


@pytest.mark.parametrize("said", [
    {"exp": None}, {"exp": time.time() - 1}, {"exp": "soon"}, {"exp": True}, {"nbf": time.time() + 3600}, {"nbf": "later"},
    {"organisation_id": None}, {"organisation_id": "org-2"}, {"organisation_id": 7}, {"workspace_slug": None},
])  # fmt: skip
def test_a_token_that_is_not_good_is_refused(said):
    with pytest.raises(Unauthenticated):
        ask(token(claims(**said)))


def test_a_token_expires_though_it_was_good_a_moment_ago(monkeypatch):
    text, known = token(), snapshot()
    ask(text, known)
    later = time.time() + 61
    monkeypatch.setattr(time, "time", lambda: later)
    with pytest.raises(Unauthenticated, match="expired"):
        ask(text, known)


def test_a_workspace_of_nobody_or_of_another_organisation_is_forbidden():
    other = [OrgRow(kit.ORG, "Demo"), OrgRow("org-2", "Other")]
    rows = [WorkspaceRow(kit.WS, kit.ORG, "ws-main", "Main"), WorkspaceRow("ws-2", "org-2", "ws-other", "Other")]
    known = snapshot(orgs=other, workspaces=rows)
    for name in ("ws-none", "ws-other", "ws-2"):
        with pytest.raises(Forbidden):
            ask(token(claims(workspace_slug=name)), known)


def test_a_token_of_another_key_is_refused():
    with pytest.raises(Unauthenticated, match="not valid"):
        ask(token(key=private("second", 2048)))


def test_a_key_that_the_snapshot_lacks_may_be_newer_than_it():
    with pytest.raises(UnknownTokenKey):
        ask(token(kid="k2"))
    with pytest.raises(UnknownTokenKey):
        ask(token(), kit.snapshot())


@pytest.mark.parametrize("text", [
    lambda: token(kid=None),
    lambda: token(key="x" * 64, algorithm="HS256"), lambda: jwt.encode(claims(), None, "none", headers={"kid": "k1"}),
    lambda: token(algorithm="RS512"), lambda: token(algorithm="PS256"), lambda: "eyJhbGciOiJSUzI1NiJ9.e30.e30", lambda: "eyJ..",
    lambda: token(claims(filler="x" * MAX_TOKEN_CHARS)),
])  # fmt: skip
def test_what_is_written_or_signed_otherwise_is_refused(text):
    with pytest.raises(Unauthenticated):
        ask(text())


def test_the_public_key_is_no_secret_to_sign_with():
    pem = token_key().n
    with pytest.raises(Unauthenticated):
        ask(token(key=pem, algorithm="HS256"))


def test_a_short_key_proves_nothing():
    with pytest.raises(Unauthenticated, match="shorter"):
        ask(token(), snapshot(token_key("k1", "short", 1024)))


def test_a_changed_token_is_refused_though_the_true_one_was_seen():
    text, known = token(), snapshot()
    ask(text, known)
    head, body, signature = text.split(".")
    forged = jwt.utils.base64url_encode(
        msgspec.json.encode(claims(scopes=["completions.write", "logs.write"]))
    ).decode()
    for changed in (f"{head}.{forged}.{signature}", f"{head}.{body}.{signature[:-4]}AAAA"):
        with pytest.raises(Unauthenticated):
            ask(changed, known)


def test_a_key_that_was_taken_away_is_refused_at_once():
    text = token()
    caller = ask(text, snapshot())
    without = snapshot(token_key("k2", "second"))
    assert is_known(caller, snapshot())
    assert not is_known(caller, without)
    with pytest.raises(UnknownTokenKey):
        ask(text, without)


def test_a_key_that_was_replaced_under_its_name_refuses_what_the_old_one_signed():
    text = token()
    ask(text, snapshot())
    with pytest.raises(Unauthenticated):
        ask(text, snapshot(token_key("k1", "second")))


@pytest.mark.parametrize("denied", [f"ws:{kit.WS}", f"org:{kit.ORG}"])
def test_a_revocation_of_workspace_or_organisation_counts_for_tokens(denied):
    with pytest.raises(Unauthenticated, match="revoked"):
        authenticate(kit.call({"authorization": f"Bearer {token()}"}, key=None), snapshot(), frozenset({denied}))


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60), st.text(max_size=60))
def test_whatever_is_written_like_a_token_is_refused_and_nothing_worse(body, signature):
    with pytest.raises(Unauthenticated):
        ask(f"eyJ{body.replace('.', '')}.{body.replace('.', '')}.{signature.replace('.', '')}", _EMPTY)


_EMPTY = kit.snapshot()
