"""Reading bodies."""

import pytest

from tests.control_plane.factories import Api, make_key, make_tenant

pytestmark = pytest.mark.django_db


@pytest.fixture
def api():
    return Api(make_tenant().admin_key)


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "application/x-www-form-urlencoded"])
def test_a_body_is_read_as_json_whatever_it_is_called(api, content_type):
    answer = api.client.generic("POST", "/v1/admin/workspaces", b'{"name": "x"}', content_type=content_type)
    assert (answer.status_code, answer.json()["name"]) == (200, "x")


def test_an_empty_body_without_a_content_type_is_no_fault_by_itself():
    tenant = make_tenant()
    key = make_key(tenant)
    answer = Api(tenant.admin_key).client.generic("POST", f"/v1/api-keys/{key.row.pk}/rotate")
    assert answer.status_code == 200


def test_a_malformed_body_on_delete_is_not_even_read(api):
    slug = api.post("admin/workspaces", {"name": "x"}).json()["slug"]
    answer = api.client.generic("DELETE", f"/v1/admin/workspaces/{slug}", b"{", content_type="application/json")
    assert (answer.status_code, answer.json()) == (200, {})


def test_a_body_over_the_limit_is_refused(api, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    answer = api.post("admin/workspaces", {"name": "x" * 100})
    assert (answer.status_code, answer.json()["data"]["errorCode"]) == (400, "AB01")


@pytest.mark.parametrize("depth", [65, 900, 50_000])
def test_a_body_nested_too_deep_is_refused(api, depth):
    raw = b'{"name": "x", "defaults": ' + b"[" * depth + b"]" * depth + b"}"
    assert api.client.generic("POST", "/v1/admin/workspaces", raw, content_type="application/json").status_code == 400


def test_answers_are_json_whatever_is_accepted(api):
    answer = api.client.get("/v1/configs", headers={"accept": "text/html"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
