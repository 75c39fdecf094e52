"""A process that could not work does not start."""

import pytest
from cryptography.fernet import Fernet

from control_plane.core.checks import check_secrets, refuse_unusable_settings, setting_faults
from shared.env import SettingInvalid

GOOD = Fernet.generate_key().decode()


@pytest.mark.parametrize(
    ("secret_key", "fernet_keys", "named"),
    [
        ("", (GOOD,), ["GATEHOUSE_SECRET_KEY"]),
        ("short", (GOOD,), ["GATEHOUSE_SECRET_KEY"]),
        ("x" * 32, (), ["GATEHOUSE_FERNET_KEYS"]),
        ("x" * 32, (GOOD, "nonsense"), ["GATEHOUSE_FERNET_KEYS: key 2"]),
        ("", (), ["GATEHOUSE_SECRET_KEY", "GATEHOUSE_FERNET_KEYS"]),
        ("x" * 32, (GOOD,), []),
    ],
)
def test_every_unusable_setting_is_named(settings, secret_key, fernet_keys, named):
    settings.SECRET_KEY, settings.FERNET_KEYS = secret_key, fernet_keys
    faults = setting_faults()
    assert len(faults) == len(named)
    assert all(fault.startswith(name) for fault, name in zip(faults, named, strict=True))
    assert [error.msg for error in check_secrets()] == faults


def test_the_process_ends_with_one_sentence_and_without_the_value(settings):
    settings.FERNET_KEYS = ("half-a-secret",)
    with pytest.raises(SettingInvalid, match="GATEHOUSE_FERNET_KEYS") as raised:
        refuse_unusable_settings()
    assert "half-a-secret" not in str(raised.value)


def test_usable_settings_are_accepted():
    refuse_unusable_settings()
