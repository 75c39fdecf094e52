"""A folder for signing keys of each test's own."""

import pytest


@pytest.fixture
def folder(tmp_path, settings):
    settings.SIGNING_DIR = tmp_path / "signing"
    return settings.SIGNING_DIR
