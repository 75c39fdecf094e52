"""Calls that are sent twice."""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from control_plane.configs.models import Config
from control_plane.core import idempotency
from control_plane.core.models import AuditEvent, IdempotentAnswer
from control_plane.core.tasks import forget_old_answers
from tests.control_plane.factories import Api, make_key, make_tenant

pytestmark = pytest.mark.django_db

BODY = {"name": "primary", "config": {"virtual_key": "team-openai"}}


@pytest.fixture
def tenant():
    return make_tenant()


@pytest.fixture
def api(tenant):
    return Api(tenant.admin_key, **{"idempotency-key": "once"})


def expire():
    IdempotentAnswer.objects.update(expires_at=timezone.now() - timedelta(seconds=1))


def test_a_call_that_is_repeated_is_done_once_and_answered_again(tenant, api):
    first, second = api.post("configs", BODY), api.post("configs", {"config": BODY["config"], "name": "primary"})
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json() == second.json()
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    assert Config.objects.filter(organisation=tenant.organisation).count() == 1
    assert AuditEvent.objects.filter(resource_type="config").count() == 1


@pytest.mark.parametrize(("path", "body"), [("configs", {**BODY, "name": "other"}), ("integrations", BODY)])
def test_another_call_under_the_same_key_is_a_422(api, path, body):
    api.post("configs", BODY)
    answer = api.post(path, body)
    assert (answer.status_code, answer.json()["data"]["errorCode"]) == (422, "AB01")


def test_a_running_call_is_not_done_beside_itself(tenant, api):
    caller = ("api_key", api.get("api-keys").json()["data"][0]["id"], str(tenant.organisation.pk), "once")
    digest = idempotency._digest(*(part.encode() for part in caller))
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute(
                "SELECT pg_advisory_lock(%s)", [int.from_bytes(bytes.fromhex(digest)[:8], "big", signed=True)]
            )
        answer = api.post("configs", BODY)
    finally:
        other.close()
    assert (answer.status_code, answer.json()["data"]["errorCode"]) == (409, "AB07")
    assert not Config.objects.exists()


def test_a_call_that_failed_may_be_repeated(api):
    assert api.post("configs", {"name": "x", "config": {"nonsense": 1}}).status_code == 400
    assert api.post("configs", BODY).status_code == 200


def test_callers_do_not_share_keys(tenant, api):
    other = Api(make_key(tenant, ["configs.create"]).shown_once(), **{"idempotency-key": "once"})
    assert api.post("configs", BODY).json()["id"] != other.post("configs", {**BODY, "name": "b"}).json()["id"]


def test_a_new_api_key_is_answered_again_and_kept_in_no_plain_text(api):
    first = api.post("api-keys/workspace/service", {"name": "k"}).json()
    assert api.post("api-keys/workspace/service", {"name": "k"}).json() == first
    with connection.cursor() as cursor:
        cursor.execute("SELECT row::text FROM core_idempotentanswer AS row")
        (kept,) = cursor.fetchone()
    assert first["key"] not in kept
    assert first["id"] not in kept


def test_who_may_no_longer_call_is_not_answered_again(tenant):
    made = make_key(tenant, ["configs.create"])
    api = Api(made.shown_once(), **{"idempotency-key": "once"})
    assert api.post("configs", BODY).status_code == 200
    made.row.scopes = ["configs.list"]
    made.row.save()
    assert api.post("configs", BODY).status_code == 403


def test_after_a_day_a_key_is_new(api):
    api.post("configs", BODY)
    expire()
    again = api.post("configs", {**BODY, "name": "second"})
    assert again.status_code == 200
    assert IdempotentAnswer.objects.count() == 1


def test_answers_are_swept_after_a_day(api, monkeypatch):
    monkeypatch.setattr(idempotency, "SWEEP_BATCH", 2)
    for number in range(3):
        api.client.post(
            "/v1/configs", {**BODY, "name": f"{number}"}, "application/json", headers={"idempotency-key": f"{number}"}
        )
    assert forget_old_answers() == 0
    expire()
    assert forget_old_answers() == 3
    assert not IdempotentAnswer.objects.exists()


def test_answers_that_are_kept_are_bounded(api, monkeypatch):
    monkeypatch.setattr(idempotency, "MOST_KEPT", 0)
    assert api.post("configs", BODY).status_code == 429
    assert not Config.objects.exists()


@pytest.mark.parametrize("key", ["", "x" * 256, "ключ", "a\tb"])
def test_a_key_that_cannot_be_is_a_400(tenant, key):
    assert Api(tenant.admin_key, **{"idempotency-key": key}).post("configs", BODY).status_code == 400


def test_a_question_that_changes_nothing_keeps_nothing(api):
    api.post("configs/simulate", {"config": BODY["config"], "request": {}})
    assert not IdempotentAnswer.objects.exists()
