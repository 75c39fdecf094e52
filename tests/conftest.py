"""What all tests share: settings of the control plane that a real process must be given."""

import re

import pytest
from hypothesis import HealthCheck, settings

# How fast this machine is says nothing about what is tested; the first text drawn builds the tables of Unicode.
settings.register_profile("noisy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("noisy")


@pytest.fixture(scope="session", autouse=True)
def control_plane_settings():
    """Secrets made for tests, and password hashing that costs nothing."""
    from django.test import override_settings

    with override_settings(
        SECRET_KEY="only-for-tests-only-for-tests-only-for-tests",
        FERNET_KEYS=("dGVzdHRlc3R0ZXN0dGVzdHRlc3R0ZXN0dGVzdHRlc3Q=",),
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    ):
        yield


#: What a test module makes anew whenever it is imported: ids and keys.
_RANDOM = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-|gh-\w{24}")


def pytest_make_parametrize_id(val, argname):
    """Name a parameter that is random by its place: processes that share the tests must call them the same."""
    return argname if isinstance(val, str) and _RANDOM.search(val) else None
