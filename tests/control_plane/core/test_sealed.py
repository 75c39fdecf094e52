"""Secrets that are no provider's: sealed to their row, and found again by rotation."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from control_plane.accounts.models import SecondFactor
from control_plane.accounts.services import find_or_create_user
from control_plane.core.sealed import SecretUnreadable, current_key_id, rotate_sealed
from shared.redact import Secret

pytestmark = pytest.mark.django_db
NEW = "bmV3LW5ldy1uZXctbmV3LW5ldy1uZXctbmV3LW5ldy0="
OLD = "b2xkLW9sZC1vbGQtb2xkLW9sZC1vbGQtb2xkLW9sZC0="


def sealed(email="a@example.com", text="JBSWY3DPEHPK3PXP"):
    row = SecondFactor(user=find_or_create_user(email))
    row.seal(Secret(text))
    row.save()
    return row


def test_a_secret_is_read_back_and_not_in_the_row():
    row = sealed()
    assert row.opened().reveal() == "JBSWY3DPEHPK3PXP"
    assert "JBSWY3DPEHPK3PXP" not in str(SecondFactor.objects.values().get())


def test_a_row_without_a_secret_opens_to_nothing():
    assert not SecondFactor.objects.create(user=find_or_create_user("a@example.com")).opened()


def test_the_ciphertext_of_another_row_is_refused():
    first, second = sealed(), sealed("b@example.com", "KRSXG5CTMVRXEZLU")
    SecondFactor.objects.filter(pk=first.pk).update(ciphertext=second.ciphertext)
    first.refresh_from_db()
    with pytest.raises(SecretUnreadable, match="another row"):
        first.opened()


def test_a_ciphertext_of_an_unknown_key_is_refused(settings):
    row = sealed()
    settings.FERNET_KEYS = (NEW,)
    with pytest.raises(SecretUnreadable, match="configured keys"):
        row.opened()


def test_rotation_finds_every_kind_and_ends(settings):
    settings.FERNET_KEYS = (OLD,)
    sealed(), sealed("b@example.com"), sealed("c@example.com")
    settings.FERNET_KEYS = (NEW, OLD)
    assert [rotate_sealed(2), rotate_sealed(2), rotate_sealed(2)] == [2, 1, 0]
    settings.FERNET_KEYS = (NEW,)
    assert {row.opened().reveal() for row in SecondFactor.objects.all()} == {"JBSWY3DPEHPK3PXP"}
    assert set(SecondFactor.objects.values_list("key_id", flat=True)) == {current_key_id()}


def test_the_command_rotates_these_too_and_says_when_a_key_is_missing(settings):
    settings.FERNET_KEYS = (OLD,)
    sealed()
    settings.FERNET_KEYS = (NEW,)
    with pytest.raises(CommandError, match="GATEHOUSE_FERNET_KEYS"):
        call_command("rotate_fernet_keys", stdout=StringIO())
    settings.FERNET_KEYS = (NEW, OLD)
    out = StringIO()
    call_command("rotate_fernet_keys", stdout=out)
    assert "done: 1 re-encrypted" in out.getvalue()
