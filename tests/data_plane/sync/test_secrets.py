import pytest

from data_plane.sync.secrets import TTL_S, SecretOpener
from shared.bundle.model import Identity
from shared.crypto.sealing import SealedTo, generate_sealing_key
from shared.errors import Quarantined
from tests.data_plane import kit


def test_a_sealed_credential_opens_with_its_allowed_hosts():
    opened = kit.opener().open(kit.sealed_row())
    assert (opened.key.reveal(), opened.hosts) == (kit.PROVIDER_KEY, ("api.openai.com",))
    assert kit.PROVIDER_KEY not in repr(opened)


@pytest.mark.parametrize("row", [
    kit.sealed_row(bound_to=SealedTo("other", kit.GROUP, "secret-1", 1)), kit.sealed_row(bound_to=SealedTo(kit.ORG, "other", "secret-1", 1)),
    kit.sealed_row(bound_to=SealedTo(kit.ORG, kit.GROUP, "secret-2", 1)), kit.sealed_row(bound_to=SealedTo(kit.ORG, kit.GROUP, "secret-1", 2)),
])  # fmt: skip
def test_a_credential_moved_to_another_row_group_or_version_is_quarantined(row):
    with pytest.raises(Quarantined):
        kit.opener().open(row)


def test_a_credential_for_a_key_we_do_not_hold_is_quarantined():
    with pytest.raises(Quarantined, match="does not hold"):
        SecretOpener(kit.IDENTITY, {"other": generate_sealing_key()[0]}).open(kit.sealed_row())


@pytest.mark.parametrize("sealed", ["", "!!!", "AAAA"])
def test_garbage_is_quarantined(sealed):
    row = kit.sealed_row()
    with pytest.raises(Quarantined):
        kit.opener().open(type(row)(row.id, row.org, row.version, row.kid, sealed))


def test_an_opened_credential_is_kept_for_minutes_only():
    now = [0.0]
    opener = SecretOpener(kit.IDENTITY, {kit.KID: kit.PRIVATE}, clock=lambda: now[0])
    row = kit.sealed_row()
    first = opener.open(row)
    assert opener.open(row) is first
    now[0] = TTL_S
    assert opener.open(row) is not first


def test_another_group_opens_nothing():
    with pytest.raises(Quarantined):
        SecretOpener(Identity(kit.ORG, "group-2"), {kit.KID: kit.PRIVATE}).open(kit.sealed_row())
