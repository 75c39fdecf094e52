"""Ids of answers."""

import pytest

from control_plane.core.audit import CURRENT_CALL
from tests.control_plane.factories import Api


def test_ids_are_ours_and_new_for_each_request():
    api = Api(**{"x-portkey-trace-id": "chosen"})
    seen = {api.client.get("/healthz").headers["x-portkey-trace-id"] for _ in range(2)}
    assert len(seen) == 2
    assert "chosen" not in seen


def test_nothing_of_a_request_is_left_behind():
    Api().client.get("/healthz")
    assert CURRENT_CALL.get().request_id == ""


@pytest.mark.django_db
def test_a_page_answers_with_ids_too():
    assert Api().client.get("/no/such/page").headers["x-portkey-request-id"]
