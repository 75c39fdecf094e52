import time
import uuid

import pytest

from data_plane.pipeline.authenticate import UnknownKey, authenticate, check_denied, presented_key, require_scope
from shared.crypto.tokens import mint_key
from shared.errors import Forbidden, Unauthenticated
from tests.data_plane import kit

NOBODY = frozenset()


@pytest.mark.parametrize("headers", [
    {"x-portkey-api-key": kit.KEY_TEXT}, {"authorization": f"Bearer {kit.KEY_TEXT}"}, {"authorization": f"bearer {kit.KEY_TEXT} "},
    {"x-api-key": kit.KEY_TEXT}, {"x-portkey-api-key": kit.KEY_TEXT, "authorization": "Bearer OPENAI_API_KEY"},
])  # fmt: skip
def test_the_key_may_come_in_any_header_that_clients_use(headers):
    principal = authenticate(kit.call(headers, key=None), kit.snapshot(), NOBODY)
    assert (principal.key.id, principal.ws.id) == (str(kit.KEY_ID), kit.WS)


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": ""}, {"authorization": "Basic x"}, {"x-portkey-api-key": "sk-openai"}]
)
def test_without_a_key_of_ours_the_caller_is_unknown(headers):
    with pytest.raises(Unauthenticated):
        authenticate(kit.call(headers, key=None), kit.snapshot(), NOBODY)


def test_a_key_with_the_right_id_and_another_secret_is_refused():
    other = mint_key(kit.KEY_ID).text.reveal()
    with pytest.raises(Unauthenticated):
        authenticate(kit.call(key=other), kit.snapshot(), NOBODY)


def test_a_key_that_the_snapshot_lacks_may_be_newer_than_it():
    with pytest.raises(UnknownKey):
        authenticate(kit.call(key=mint_key(uuid.uuid4()).text.reveal()), kit.snapshot(), NOBODY)


def test_either_of_two_secrets_is_good_during_a_rotation():
    second = mint_key(kit.KEY_ID)
    snapshot = kit.snapshot(api_keys=[kit.api_key(hashes=(kit.KEY.secret_hash, second.secret_hash))])
    for text in (kit.KEY_TEXT, second.text.reveal()):
        assert authenticate(kit.call(key=text), snapshot, NOBODY).key.id == str(kit.KEY_ID)


def test_an_expired_key_is_refused():
    with pytest.raises(Unauthenticated, match="expired"):
        authenticate(kit.call(), kit.snapshot(api_keys=[kit.api_key(expires=time.time() - 1)]), NOBODY)


@pytest.mark.parametrize("denied", [f"k:{kit.KEY_ID}", f"ws:{kit.WS}", f"org:{kit.ORG}"])
def test_a_revocation_of_key_workspace_or_organisation_counts_at_once(denied):
    with pytest.raises(Unauthenticated, match="revoked"):
        authenticate(kit.call(), kit.snapshot(), frozenset({denied}))


def test_a_key_of_a_workspace_that_is_gone_is_refused():
    with pytest.raises(Unauthenticated):
        authenticate(kit.call(), kit.snapshot(workspaces=[]), NOBODY)


def test_a_missing_scope_is_named():
    principal = authenticate(kit.call(), kit.snapshot(api_keys=[kit.api_key(scopes=frozenset({"logs.view"}))]), NOBODY)
    with pytest.raises(Forbidden, match=r"completions\.write"):
        require_scope(principal, "completions.write")
    require_scope(principal, "completions.write", "logs.view")


def test_someone_who_was_not_revoked_is_left_alone():
    principal = authenticate(kit.call(), kit.snapshot(), NOBODY)
    check_denied(principal, frozenset({"k:other"}))
    with pytest.raises(Unauthenticated):
        check_denied(principal, frozenset({f"k:{kit.KEY_ID}"}))


def test_the_portkey_header_wins():
    assert presented_key({"x-portkey-api-key": "a", "authorization": "Bearer b", "x-api-key": "c"}) == "a"


@pytest.mark.parametrize("client", ["203.0.113.7", "203.0.113.255", "2001:db8::1"])
def test_a_key_is_good_from_the_networks_that_it_names(client):
    call = kit.call()
    call.client = client
    known = kit.snapshot(api_keys=[kit.api_key(ips=("203.0.113.0/24", "2001:db8::/32"))])
    assert authenticate(call, known, NOBODY).key.id == str(kit.KEY_ID)


@pytest.mark.parametrize("client", ["203.0.114.7", "::1", "", "unix:"])
def test_a_key_is_refused_from_elsewhere(client):
    call = kit.call()
    call.client = client
    with pytest.raises(Forbidden, match="address"):
        authenticate(call, kit.snapshot(api_keys=[kit.api_key(ips=("203.0.113.0/24",))]), NOBODY)


def test_without_its_secret_nobody_learns_which_networks_a_key_has():
    call = kit.call(key=mint_key(kit.KEY_ID).text.reveal())
    with pytest.raises(Unauthenticated):
        authenticate(call, kit.snapshot(api_keys=[kit.api_key(ips=("203.0.113.0/24",))]), NOBODY)
