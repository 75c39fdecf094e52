"""Health, and what is answered where."""

import pytest
from django.db import connection
from django.db.utils import OperationalError

from tests.control_plane.factories import Api


def test_the_process_says_that_it_lives_without_a_database():
    answer = Api().client.get("/healthz")
    assert (answer.status_code, answer.json()["status"]) == (200, "success")


@pytest.mark.django_db
def test_the_process_is_ready_when_the_database_answers():
    assert Api().client.get("/readyz").status_code == 200


@pytest.mark.django_db
def test_the_process_is_not_ready_without_the_database_and_tells_nothing_of_it(monkeypatch):
    def away():
        raise OperationalError("connection to server at 10.0.0.1 failed")

    monkeypatch.setattr(connection, "cursor", away)
    answer = Api().client.get("/readyz")
    assert answer.status_code == 503
    assert "10.0.0.1" not in answer.content.decode()


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_is_only_read(path):
    assert Api().client.post(path).status_code == 405


@pytest.mark.django_db
def test_every_answer_carries_the_content_security_policy():
    policy = Api().client.get("/healthz").headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy


def test_the_description_of_the_api_is_served_to_everyone():
    answer = Api().client.get("/v1/openapi.json")
    assert (answer.status_code, answer.json()["openapi"]) == (200, "3.1.0")
    assert answer.json()["paths"]["/configs"]["post"]["x-scopes"] == ["configs.create"]
