"""A revoked key is refused within two seconds."""

import time
from datetime import UTC, datetime, timedelta

from tests.system.system_kit import wait_for


def test_fifty_revocations_are_each_in_force_within_two_seconds(system):
    keys = [system.new_key(f"revoked-{number}") for number in range(50)]
    for key in keys:
        assert system.chat(key=key["key"])[0] == 200
    took = []
    for key in keys:
        system.admin("DELETE", f"/api-keys/{key['id']}")
        began = time.monotonic()
        # Both workers must refuse; a few refusals in a row reach both.
        wait_for(
            lambda key=key: all(system.chat(key=key["key"])[0] == 401 for _ in range(4)),
            "the key is refused",
            bound_s=10,
            every_s=0.005,
        )
        took.append(time.monotonic() - began)
    took.sort()
    assert took[48] <= 2.0, took[-5:]
    status, body, _ = system.chat(key=keys[0]["key"])
    assert (status, body["error"]["code"]) == (401, "invalid_api_key")


def test_a_key_that_expires_is_refused_from_that_moment(system):
    soon = (datetime.now(UTC) + timedelta(seconds=3)).isoformat()
    key = system.new_key("short-lived", expires_at=soon)
    assert system.chat(key=key["key"])[0] == 200
    wait_for(lambda: system.chat(key=key["key"])[0] == 401, "an expired key is refused", bound_s=10)
