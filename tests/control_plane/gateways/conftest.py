"""A folder for signing keys of each test's own, and the demo provider's address as one that may be used."""

import pytest


@pytest.fixture
def folder(tmp_path, settings):
    settings.SIGNING_DIR = tmp_path / "signing"
    return settings.SIGNING_DIR


@pytest.fixture
def trusted_hosts(settings):
    settings.TRUSTED_CUSTOM_HOSTS = ("127.0.0.1",)
