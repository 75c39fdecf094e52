"""API keys in the Admin API."""

from uuid import uuid4

import pytest
from django.utils import timezone

from control_plane.budgets.models import Budget
from control_plane.core.scopes import ORGANISATION_KEY, WORKSPACE_USER_KEY
from control_plane.keys.models import ApiKey
from control_plane.keys.rotation import rotate_due
from shared.crypto.tokens import mint_key
from shared.money import NANO
from tests.control_plane.budgets.budget_kit import spend
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


@pytest.mark.parametrize("policy", [
    {"rotation_period": "weekly", "rotation_period_days": 3}, {"rotation_period": "daily"}, {"rotation_period_days": 0},
    {"rotation_period_days": 366}, {"rotation_period_days": 1, "key_transition_period_ms": 86_400_000},
    {"key_transition_period_ms": 1_800_000}, {"rotation_period": "weekly", "next_rotation_at": "2020-01-01T00:00:00Z"},
])  # fmt: skip
def test_a_policy_that_contradicts_itself_is_refused(api, policy):
    answer = api.post("api-keys/workspace/service", {"name": "k", "rotation_policy": policy})
    assert (answer.status_code, answer.json()["data"]["errorCode"]) == (400, "AB01")


def test_a_policy_is_shown_with_the_next_rotation_and_taken_back_with_null(api):
    given = {"rotation_period_days": 30, "key_transition_period_ms": 3_600_000}
    made = api.post("api-keys/workspace/service", {"name": "k", "rotation_policy": given}).json()
    shown = api.get(f"api-keys/{made['id']}").json()["rotation_policy"]
    assert shown.pop("next_rotation_at").endswith("T00:00:00Z")
    assert shown == given
    api.put(f"api-keys/{made['id']}", {"rotation_policy": None})
    assert api.get(f"api-keys/{made['id']}").json()["rotation_policy"] is None


def test_networks_and_models_of_a_key_are_kept_in_their_usual_form(api):
    given = {"allowed_ips": ["10.1.2.3", "2001:db8::/32", "10.1.2.9/8"], "allowed_models": ["gpt-4o*", "@main/*"]}
    made = api.post("api-keys/workspace/service", {"name": "k", **given}).json()
    shown = api.get(f"api-keys/{made['id']}").json()
    assert shown["allowed_ips"] == ["10.1.2.3/32", "2001:db8::/32", "10.0.0.0/8"]
    assert shown["allowed_models"] == given["allowed_models"]
    api.put(f"api-keys/{made['id']}", {"allowed_ips": None, "allowed_models": None})
    shown = api.get(f"api-keys/{made['id']}").json()
    assert (shown["allowed_ips"], shown["allowed_models"]) == (None, None)


@pytest.mark.parametrize("fault", [
    {"allowed_ips": ["10.0.0.300"]}, {"allowed_ips": "10.0.0.1"}, {"allowed_ips": ["example.com"]},
    {"allowed_models": ["a b"]}, {"allowed_models": [""]}, {"allowed_models": ["x"] * 201},
])  # fmt: skip
def test_networks_and_models_that_mean_nothing_are_refused(api, fault):
    assert api.post("api-keys/workspace/service", {"name": "k", **fault}).status_code == 400


def test_the_admin_api_keeps_to_a_key_s_networks_too(tenant):
    text = make_key(tenant, allowed_ips=["203.0.113.0/24"]).shown_once()
    assert Api(text).get("configs").status_code == 403
    allowed = Api(text).client.get("/v1/configs", REMOTE_ADDR="203.0.113.9")
    assert allowed.status_code == 200


def test_a_pasted_key_is_found_and_said_to_work_or_not(tenant, api):
    made = make_key(tenant)
    found = api.post("api-keys/lookup", {"key": made.shown_once()}).json()
    assert (found["id"], found["name"], found["is_current"]) == (str(made.row.pk), "key", True)
    assert made.shown_once() not in str(found)
    other = mint_key(made.row.pk).text.reveal()
    assert api.post("api-keys/lookup", {"key": other}).json()["is_current"] is False


def test_a_pasted_key_of_nobody_or_of_others_is_not_found(tenant, api):
    theirs = make_key(make_tenant())
    for text in (theirs.shown_once(), mint_key(uuid4()).text.reveal(), "sk-other"):
        assert api.post("api-keys/lookup", {"key": text}).status_code == 404
    assert api.post("api-keys/lookup", {}).status_code == 400


def test_looking_a_key_up_needs_the_scope_of_its_type(tenant):
    few = Api(make_key(tenant, ["workspace_user_api_keys.read"], key_type=ORGANISATION_KEY).shown_once())
    assert few.post("api-keys/lookup", {"key": make_key(tenant).shown_once()}).status_code == 403


def test_a_secret_that_waits_is_collected_by_the_api(tenant, api):
    made = make_key(tenant, rotation_policy={"rotation_period": "weekly"})
    ApiKey.objects.filter(pk=made.row.pk).update(rotate_at=timezone.now())
    assert api.get(f"api-keys/{made.row.pk}").json()["secret_waits"] is False
    rotate_due(timezone.now())
    assert api.get(f"api-keys/{made.row.pk}").json()["secret_waits"] is True
    text = api.post(f"api-keys/{made.row.pk}/collect").json()["key"]
    assert Api(text).get("configs").status_code == 200
    assert api.post(f"api-keys/{made.row.pk}/collect").status_code == 409


def test_what_was_used_up_is_shown_until_it_is_reset_or_the_limit_is_raised(tenant):
    api = Api(tenant.admin_key)
    row = make_key(tenant, usage_limits={"type": "cost", "credit_limit": 10}).row
    path = f"api-keys/{row.pk}"
    for change in ({"reset_usage": True}, {"usage_limits": {"type": "cost", "credit_limit": 20}}):
        spend(10 * NANO, "api_key")
        read = api.get(path).json()
        assert (read["status"], read["usage_status"], read["current_usage"]) == ("exhausted", "exhausted", 10)
        assert {each["status"] for each in api.get("api-keys").json()["data"]} == {"active", "exhausted"}
        told = api.put(path, change).json()
        assert (told["status"], told["usage_status"], told["reset_usage"]) == ("active", "active", 0)
    assert told["current_usage"] == 10
    spend(10 * NANO, "api_key")
    assert api.put(path, {"usage_limits": None}).json()["status"] == "active"
    assert "current_usage" not in api.get(path).json()
    api.delete(path)
    assert Budget.objects.get().limit is None


def test_a_key_that_has_nothing_left_still_administers(tenant):
    made = make_key(tenant, usage_limits={"credit_limit": 10})
    spend(10 * NANO, "api_key")
    assert Api(made.shown_once()).get("configs").status_code == 200
