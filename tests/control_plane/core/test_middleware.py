"""Ids of answers."""

from ipaddress import ip_network

import pytest
from django.http import HttpResponse

from control_plane.core.audit import CURRENT_CALL
from control_plane.core.middleware import RequestIds
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


@pytest.mark.parametrize(
    ("trusted", "peer", "said", "seen"),
    [
        ((), "10.0.0.1", "203.0.113.7", "10.0.0.1"),
        (("10.0.0.0/8",), "10.0.0.1", "203.0.113.7", "203.0.113.7"),
        (("10.0.0.0/8",), "10.0.0.1", "198.51.100.1, 203.0.113.7, 10.0.0.2", "203.0.113.7"),
        (("10.0.0.0/8",), "192.0.2.1", "203.0.113.7", "192.0.2.1"),
        (("10.0.0.0/8",), "10.0.0.1", "", "10.0.0.1"),
        (("10.0.0.0/8",), "10.0.0.1", "nonsense", "10.0.0.1"),
        (("10.0.0.0/8",), "10.0.0.1", "10.0.0.3", "10.0.0.3"),
        (("fe80::/10",), "fe80::1%eth0", "2001:db8::7", "2001:db8::7"),
        (("10.0.0.1/32",), "unix:", "203.0.113.7", None),
    ],
)
def test_who_calls_is_believed_of_trusted_proxies_alone(settings, rf, trusted, peer, said, seen):
    settings.TRUSTED_PROXIES = tuple(ip_network(each) for each in trusted)
    found = []
    served = RequestIds(lambda request: found.append(CURRENT_CALL.get().client_ip) or HttpResponse())
    served(rf.get("/v1/configs", headers={"x-forwarded-for": said}, REMOTE_ADDR=peer))
    assert found == [seen]
