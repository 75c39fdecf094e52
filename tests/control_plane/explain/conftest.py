"""Tables made in a test's transaction are gone after it; the process must not remember them."""

import pytest


@pytest.fixture(autouse=True)
def _forget_days(monkeypatch):
    from control_plane.logs import ingest

    monkeypatch.setattr(ingest, "_KNOWN_DAYS", set())
