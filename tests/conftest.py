"""What all tests share: settings of the control plane that a real process must be given."""

import pytest


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
