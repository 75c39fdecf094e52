"""How provider credentials are kept."""

from io import StringIO

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command

from control_plane.vault.models import VaultSecret
from control_plane.vault.services import (
    SecretUnreadable,
    current_key_id,
    open_secret,
    replace_secret,
    rotate_batch,
    secret_stored,
    store_secret,
)
from shared.redact import Secret
from tests.control_plane.factories import make_tenant

pytestmark = pytest.mark.django_db

PLAIN = "sk-vault-0123456789"
OLD, NEW = (Fernet.generate_key().decode() for _ in range(2))


@pytest.fixture
def organisation():
    return make_tenant().organisation


def opened(row):
    key, hosts, _ = open_secret(row)
    return key.reveal(), hosts


def test_what_is_stored_can_be_opened_and_is_not_plain(organisation):
    row = store_secret(organisation, Secret(PLAIN), ["api.openai.com"])
    row.refresh_from_db()
    assert opened(row) == (PLAIN, ("api.openai.com",))
    assert PLAIN not in row.ciphertext
    assert row.masked == "sk-****6789"


def test_further_secrets_of_an_account_are_kept_beside_its_key(organisation):
    row = store_secret(organisation, Secret(""), ["a"], {"aws_secret_access_key": Secret(PLAIN)})
    row.refresh_from_db()
    found = open_secret(row)
    assert (found.key.reveal(), found.settings["aws_secret_access_key"].reveal()) == ("", PLAIN)
    assert PLAIN not in row.ciphertext
    assert row.masked == "sk-****6789"


def test_a_new_value_is_a_new_version(organisation):
    row = store_secret(organisation, Secret(PLAIN), ["a"])
    replaced = replace_secret(row, Secret("second-0123456"), ["b"])
    assert (replaced.pk, replaced.version, opened(replaced)) == (row.pk, 2, ("second-0123456", ("b",)))


def test_a_ciphertext_of_another_row_is_refused(organisation):
    row, other = (store_secret(organisation, Secret(PLAIN), ["a"]) for _ in range(2))
    row.ciphertext = other.ciphertext
    with pytest.raises(SecretUnreadable, match="another row"):
        open_secret(row)


def test_an_old_ciphertext_put_back_is_refused(organisation):
    row = store_secret(organisation, Secret(PLAIN), ["a"])
    old = row.ciphertext
    row = replace_secret(row, Secret("second-0123456"), ["a"])
    row.ciphertext = old
    with pytest.raises(SecretUnreadable):
        open_secret(row)


def test_without_its_key_a_secret_stays_closed(organisation, settings):
    row = store_secret(organisation, Secret(PLAIN), ["a"])
    settings.FERNET_KEYS = (NEW,)
    with pytest.raises(SecretUnreadable) as raised:
        open_secret(row)
    assert PLAIN not in str(raised.value)


def test_whoever_seals_is_told_inside_the_transaction(organisation):
    heard = []

    def listen(sender, *, vault_secret, opened, **rest):
        heard.append((vault_secret.version, opened.key.reveal(), opened.hosts))

    secret_stored.connect(listen)
    try:
        row = store_secret(organisation, Secret(PLAIN), ["a"])
        replace_secret(row, Secret("second"), ["b"])
    finally:
        secret_stored.disconnect(listen)
    assert heard == [(1, PLAIN, ("a",)), (2, "second", ("b",))]


def test_a_sealer_that_fails_undoes_the_change(organisation):
    def fail(sender, **rest):
        raise RuntimeError("no")

    secret_stored.connect(fail)
    try:
        with pytest.raises(RuntimeError):
            store_secret(organisation, Secret(PLAIN), ["a"])
    finally:
        secret_stored.disconnect(fail)
    assert not VaultSecret.objects.exists()


@pytest.fixture
def three_old(organisation, settings):
    settings.FERNET_KEYS = (OLD,)
    for _ in range(3):
        store_secret(organisation, Secret(PLAIN), ["a"])
    settings.FERNET_KEYS = (NEW, OLD)


def test_rotation_goes_on_where_it_was_interrupted(three_old, settings):
    assert [rotate_batch(2), rotate_batch(2), rotate_batch(2)] == [2, 1, 0]
    settings.FERNET_KEYS = (NEW,)
    assert {opened(row) for row in VaultSecret.objects.all()} == {(PLAIN, ("a",))}
    assert {row.version for row in VaultSecret.objects.all()} == {1}


def test_the_command_says_how_much_was_done(three_old):
    out = StringIO()
    call_command("rotate_fernet_keys", batch=2, stdout=out)
    assert "done: 3 re-encrypted" in out.getvalue()
    assert set(VaultSecret.objects.values_list("key_id", flat=True)) == {current_key_id()}


def test_the_command_stops_when_the_old_key_is_missing(three_old, settings):
    settings.FERNET_KEYS = (NEW,)
    with pytest.raises(CommandError, match="GATEHOUSE_FERNET_KEYS"):
        call_command("rotate_fernet_keys", stdout=StringIO())


def test_the_name_of_a_key_tells_nothing_of_it(settings):
    assert current_key_id() not in "".join(settings.FERNET_KEYS)
    assert len(current_key_id()) == 16
