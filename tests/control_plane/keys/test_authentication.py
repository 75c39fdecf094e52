"""Whose API key is this?"""

from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.exceptions import AuthenticationFailed

from control_plane.keys.authentication import authenticate_key, presented_key, principal_of_key
from control_plane.keys.models import ApiKey
from tests.control_plane.factories import Api, make_key, make_tenant


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({"x-portkey-api-key": "a"}, "a"),
        ({"x-portkey-api-key": "a", "authorization": "Bearer OPENAI_API_KEY"}, "a"),
        ({"x-portkey-api-key": "", "authorization": "Bearer b"}, "b"),
        ({"authorization": "bearer  b "}, "b"),
        ({"authorization": "Basic b"}, None),
        ({"authorization": "Bearer "}, None),
        ({"authorization": ""}, None),
        ({}, None),
    ],
)
def test_the_own_header_wins_and_bearer_counts_without_it(headers, key):
    assert presented_key(headers) == key


@pytest.mark.django_db
def test_a_key_works_in_either_header():
    tenant = make_tenant()
    placeholder = Api(tenant.admin_key, authorization="Bearer OPENAI_API_KEY")
    assert placeholder.get("configs").status_code == 200
    assert Api(authorization=f"Bearer {tenant.admin_key}").get("configs").status_code == 200


@pytest.mark.django_db
def test_every_wrong_key_gets_the_same_answer():
    tenant = make_tenant()
    key = make_key(tenant).shown_once()
    gone = make_key(tenant)
    gone.row.delete()
    other = make_key(tenant).shown_once()
    # The id of one key with the secret of another, checksum and all, is what a forger would try.
    spliced = other[:25] + key[25:]
    answers = [Api(text).get("configs") for text in ("x", "gh-" + "0" * 60, gone.shown_once(), spliced, key[:-1] + "!")]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.json()["data"]["message"] for answer in answers}) == 1
    assert answers[0].headers["www-authenticate"] == "Bearer"


@pytest.mark.django_db
def test_a_secret_that_does_not_match_its_row_is_refused():
    row = make_key(make_tenant())
    ApiKey.objects.filter(pk=row.row.pk).update(secret_hash="0" * 64)
    with pytest.raises(AuthenticationFailed):
        authenticate_key(row.shown_once())


@pytest.mark.django_db
def test_an_expired_key_is_refused_and_told_so():
    made = make_key(make_tenant())
    ApiKey.objects.filter(pk=made.row.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    answer = Api(made.shown_once()).get("configs")
    assert (answer.status_code, answer.json()["data"]["errorCode"]) == (401, "AB05")
    assert "expired" in answer.json()["error"]["message"]


@pytest.mark.django_db
def test_the_keys_of_an_inactive_organisation_are_refused():
    tenant = make_tenant()
    tenant.organisation.status = "archived"
    tenant.organisation.save()
    assert Api(tenant.admin_key).get("configs").status_code == 401


@pytest.mark.django_db
def test_the_last_use_is_noted_at_most_once_a_minute():
    made = make_key(make_tenant())
    authenticate_key(made.shown_once())
    first = ApiKey.objects.get(pk=made.row.pk).last_used_at
    authenticate_key(made.shown_once())
    assert ApiKey.objects.get(pk=made.row.pk).last_used_at == first
    ApiKey.objects.filter(pk=made.row.pk).update(last_used_at=first - timedelta(minutes=2))
    authenticate_key(made.shown_once())
    assert ApiKey.objects.get(pk=made.row.pk).last_used_at >= first


@pytest.mark.django_db
def test_a_workspace_key_reaches_its_workspace_only():
    tenant = make_tenant()
    principal = principal_of_key(make_key(tenant, ["logs.view"]).row)
    assert principal.workspace_ids == frozenset({tenant.workspace.pk})
    assert principal.scopes == {"logs.view"}
    assert principal_of_key(authenticate_key(tenant.admin_key)).workspace_ids is None
