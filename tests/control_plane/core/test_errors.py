"""What callers see of a fault."""

import pytest
from django.db import IntegrityError, OperationalError
from django.http import Http404
from rest_framework import exceptions, status
from rest_framework.exceptions import ErrorDetail, NotFound, Throttled, ValidationError

from control_plane.core.errors import Conflict, Denied, Invalid, Missing, answer_exception, sentences
from shared.errors import InvalidConfig
from tests.control_plane.factories import Api


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Invalid("x"), (400, "AB01")),
        (ValidationError({"name": ["x"]}), (400, "AB01")),
        (InvalidConfig("x"), (400, "AB01")),
        (exceptions.AuthenticationFailed(), (401, "AB05")),
        (Denied(), (403, "AB03")),
        (Missing(), (404, "AB08")),
        (NotFound(), (404, "AB08")),
        (Http404(), (404, "AB08")),
        (exceptions.MethodNotAllowed("PATCH"), (405, "AB01")),
        (Conflict(), (409, "AB07")),
        (IntegrityError("duplicate key value"), (409, "AB07")),
        (Throttled(), (429, "AB06")),
        (RuntimeError("secret"), (500, "AB04")),
        (OperationalError("host 10.0.0.1"), (503, "AB04")),
    ],
)
def test_every_error_has_its_status_and_code(error, expected):
    answer = answer_exception(error, {})
    assert (answer.status_code, answer.data["data"]["errorCode"]) == expected
    assert answer.data["success"] is False
    assert answer.data["error"]["message"] == answer.data["data"]["message"]


@pytest.mark.parametrize("error", [RuntimeError("sk-secret"), OperationalError("10.0.0.1"), IntegrityError("key=x")])
def test_an_internal_never_reaches_the_caller(error):
    assert str(error) not in str(answer_exception(error, {}).data)


def test_every_fault_of_a_config_is_listed():
    answer = answer_exception(InvalidConfig("Invalid config passed", errors=["path: a", "path: b"]), {})
    assert answer.data["errors"] == ["path: a", "path: b"]


def test_faults_of_nested_fields_carry_their_path():
    detail = {"users": [{"id": [ErrorDetail("is bad")]}], "non_field_errors": ["both"]}
    assert sentences(detail) == ["users.id: is bad", "both"]


@pytest.mark.parametrize("path", ["nope", "configs/a/b", "admin", ""])
def test_a_route_that_does_not_exist_is_answered_in_json(path):
    answer = Api().get(path)
    assert answer.status_code == status.HTTP_404_NOT_FOUND
    assert answer.json()["data"]["errorCode"] == "AB08"
    assert answer.headers["x-portkey-trace-id"]


def test_a_request_that_django_refuses_is_answered_in_json(settings):
    settings.ALLOWED_HOSTS = ["elsewhere"]
    answer = Api().client.get("/v1/configs", headers={"host": "evil.example"})
    assert answer.status_code == status.HTTP_400_BAD_REQUEST
    assert answer.json()["data"]["errorCode"] == "AB01"
