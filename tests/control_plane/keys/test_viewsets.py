"""API keys in the Admin API."""

import pytest

from control_plane.core.scopes import ORGANISATION_KEY, WORKSPACE_USER_KEY
from control_plane.keys.models import ApiKey
from tests.control_plane.factories import Api, make_key, make_member, make_tenant, make_workspace

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant():
    return make_tenant()


@pytest.fixture
def api(tenant):
    return Api(tenant.admin_key)


@pytest.mark.parametrize("path", ["api-keys/organisation/user", "api-keys/other/service", "api-keys"])
def test_a_type_that_does_not_exist_is_a_404(api, path):
    assert api.post(path, {"name": "k"}).status_code == 404


def test_the_text_of_a_key_is_shown_once(api):
    made = api.post("api-keys/workspace/service", {"name": "k"}).json()
    assert Api(made["key"]).get("configs").status_code == 200
    assert made["key"] not in api.get(f"api-keys/{made['id']}").content.decode()
    assert made["key"] not in api.get("api-keys").content.decode()


def test_without_scopes_a_key_gets_those_of_its_type(api):
    made = api.post("api-keys/workspace/service", {"name": "k", "scopes": []}).json()
    assert "completions.write" in api.get(f"api-keys/{made['id']}").json()["scopes"]


@pytest.mark.parametrize(
    "fault",
    [{"scopes": ["nope"]}, {"scopes": "x"}, {"scopes": [{}]}, {"expires_at": "2020-01-01T00:00:00Z"},
     {"defaults": {"metadata": {"a": 1}}}, {"defaults": {"config_id": "pc-none"}}, {"workspace_id": "ws-none"},
     {"rotation_policy": {"key_transition_period_ms": 5}}, {"alert_emails": ["x"]}],
)  # fmt: skip
def test_a_field_that_cannot_be_used_is_a_400(api, fault):
    before = ApiKey.objects.count()
    answer = api.post("api-keys/workspace/service", {"name": "k", **fault})
    assert (answer.status_code, answer.json()["data"]["errorCode"]) == (400, "AB01")
    assert ApiKey.objects.count() == before


def test_each_type_has_its_own_scopes(tenant):
    scopes = [f"workspace_user_api_keys.{verb}" for verb in ("create", "read", "update", "delete", "list", "rotate")]
    scopes.append("logs.view")
    few = Api(make_key(tenant, scopes, key_type=ORGANISATION_KEY).shown_once())
    user = make_member(tenant)
    mine = few.post("api-keys/workspace/user", {"name": "k", "user_id": str(user.pk), "scopes": ["logs.view"]}).json()
    other = make_key(tenant).row.pk
    assert [row["id"] for row in few.get("api-keys").json()["data"]] == [mine["id"]]
    for answer in (
        few.get(f"api-keys/{other}"),
        few.put(f"api-keys/{other}", {"name": "x"}),
        few.delete(f"api-keys/{other}"),
        few.post(f"api-keys/{other}/rotate"),
        few.post("api-keys/workspace/service", {"name": "k"}),
        few.post("api-keys/organisation/service", {"name": "k"}),
    ):
        assert answer.status_code == 403
    assert few.post(f"api-keys/{mine['id']}/rotate").status_code == 200


def test_a_workspace_key_sees_the_keys_of_its_workspace(tenant):
    team = make_workspace(tenant)
    mine = make_key(tenant, workspace=team)
    make_key(tenant)
    api = Api(mine.shown_once())
    assert [row["id"] for row in api.get("api-keys").json()["data"]] == [str(mine.row.pk)]


def test_keys_of_users_cannot_administer_keys(tenant):
    made = make_key(tenant, key_type=WORKSPACE_USER_KEY, user_id=make_member(tenant).pk)
    assert Api(made.shown_once()).get("api-keys").status_code == 403


def test_a_rotation_answers_the_new_key_and_when_the_old_one_ends(api):
    made = api.post("api-keys/workspace/service", {"name": "k"}).json()
    rotated = api.post(f"api-keys/{made['id']}/rotate", {"key_transition_period_ms": 1_800_000}).json()
    assert rotated["key"] != made["key"]
    assert rotated["key_transition_expires_at"].endswith("Z")
    assert api.post(f"api-keys/{made['id']}/rotate").status_code == 409
    assert api.post(f"api-keys/{made['id']}/rotate", {"key_transition_period_ms": 5}).status_code == 400


def test_a_deleted_key_opens_nothing_any_more(api):
    made = api.post("api-keys/workspace/service", {"name": "k"}).json()
    api.delete(f"api-keys/{made['id']}")
    assert Api(made["key"]).get("configs").status_code == 401
