"""Budgets and explanations as callers of the Admin API get them, each what they may know."""

import json
from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from control_plane.budgets.models import Budget, Holder, Lease
from control_plane.core.models import AuditEvent
from control_plane.orgs.services import add_workspace_user
from shared.money import NANO
from tests.control_plane.explain.explain_kit import (
    counter,
    key_and_provider,
    make_budget,
    rate_policy,
    ship,
    usage_policy,
)
from tests.control_plane.factories import Api, make_key, make_member, make_tenant, make_virtual_key, make_workspace
from tests.control_plane.ui.page_kit import signed_in

pytestmark = pytest.mark.django_db
SCOPES = ["policies.list", "policies.read", "policies.update"]


@pytest.fixture
def tenant():
    return make_tenant()


@pytest.fixture
def api(tenant):
    return Api(tenant.admin_key)


def of_workspace(tenant, workspace=None, **fields):
    home = workspace or tenant.workspace
    return make_budget(tenant, "workspace", home.pk, workspace=home, name=home.name, **fields)


def listed(api, **query):
    answer = api.get("budgets", **query).json()
    assert answer["total"] == len(answer["data"])
    return {row["id"] for row in answer["data"]}


def test_a_budget_is_shown_in_dollars_with_what_gateways_set_aside(tenant, api):
    row = of_workspace(tenant, spent=2_500_000_000, reserved=500_000_000, threshold=8 * NANO)
    told = api.get(f"budgets/{row.pk}").json()
    expected = {
        "id": str(row.pk), "object": "budget", "kind": "workspace", "owner_id": str(tenant.workspace.pk),
        "workspace_id": str(tenant.workspace.pk), "name": tenant.workspace.name, "value_key": None, "type": "cost",
        "credit_limit": 10, "current_usage": 2.5, "reserved": 0.5, "remaining": 7.5, "alert_threshold": 8,
        "status": "active", "window": 1, "next_usage_reset_at": None, "last_reset_at": None, "leases": [],
    }  # fmt: skip
    assert {name: told[name] for name in expected} == expected
    (in_list,) = api.get("budgets").json()["data"]
    assert in_list == {name: value for name, value in told.items() if name != "leases"}


def test_a_budget_of_tokens_is_shown_in_tokens_and_never_less_than_none_is_left(tenant, api):
    row = of_workspace(tenant, unit="tokens", dollars=1000, spent=1500)
    told = api.get(f"budgets/{row.pk}").json()
    assert (told["credit_limit"], told["current_usage"], told["remaining"]) == (1000, 1500, 0)


def lease(row, instance, *, window=1, **fields):
    holder = Holder.objects.create(id=uuid4(), group_id=uuid4(), instance=instance, last_at=timezone.now())
    return Lease.objects.create(budget=row, window=window, holder=holder, **fields)


def test_one_budget_says_which_gateways_hold_how_much(tenant, api):
    row = of_workspace(tenant)
    lease(row, "gw-1", granted=3 * NANO, reported=NANO, recorded=2 * NANO)
    lease(row, "gw-2", granted=5 * NANO, reported=NANO, is_open=False)
    lease(row, "gw-0", granted=9 * NANO, window=0)
    told = api.get(f"budgets/{row.pk}").json()["leases"]
    assert [(each["instance"], each["granted"], each["spent"], each["held"], each["is_open"]) for each in told] == [
        ("gw-2", 5, 1, 0, False), ("gw-1", 3, 2, 1, True),
    ]  # fmt: skip
    assert all(each["last_heard_at"] for each in told)


def test_a_workspaces_key_does_not_learn_the_names_of_gateways(tenant):
    row = of_workspace(tenant)
    lease(row, "gw-1", granted=3 * NANO)
    answer = Api(make_key(tenant, SCOPES).shown_once()).get(f"budgets/{row.pk}")
    (told,) = answer.json()["leases"]
    assert (told["instance"], told["run"], told["granted"]) == (None, None, 3)


def test_lists_are_narrowed(tenant, api):
    other = make_workspace(tenant, "Search team")
    first, second = of_workspace(tenant), of_workspace(tenant, other, spent=10 * NANO)
    third = make_budget(tenant, "organisation", tenant.organisation.pk, name="Acme")
    Budget.objects.filter(pk=second.pk).update(status="exhausted")
    ids = {name: str(row.pk) for name, row in (("first", first), ("second", second), ("third", third))}
    assert listed(api) == set(ids.values())
    assert listed(api, kind="organisation") == {ids["third"]}
    assert listed(api, status="exhausted") == {ids["second"]}
    assert listed(api, owner_id=str(other.pk)) == {ids["second"]}
    assert listed(api, workspace_id=other.slug) == {ids["second"]}
    assert listed(api, search="search") == {ids["second"]}


def test_a_group_is_found_by_its_value_and_what_is_said_of_all_groups_is_no_budget(tenant, api):
    made = counter(tenant, usage_policy(tenant), "metadata._user:ada", 70)
    assert listed(api) == {str(made)}
    assert listed(api, search="user:ADA") == {str(made)}
    (told,) = api.get("budgets").json()["data"]
    assert (told["value_key"], told["current_usage"], told["type"]) == ("metadata._user:ada", 70, "tokens")


def test_what_limits_nothing_any_more_is_not_shown(tenant, api):
    row = of_workspace(tenant)
    Budget.objects.update(limit=None)
    assert listed(api) == set()
    assert api.get(f"budgets/{row.pk}").status_code == 404


@pytest.mark.parametrize("query", [{"kind": "x"}, {"status": "x"}, {"owner_id": "x"}, {"workspace_id": "x"}])
def test_a_filter_that_is_none_is_refused(api, query):
    assert api.get("budgets", **query).status_code == 400


def test_a_workspaces_key_sees_the_budgets_of_its_workspace_only(tenant):
    mine = of_workspace(tenant)
    others = [
        of_workspace(tenant, make_workspace(tenant)), make_budget(tenant, "organisation", tenant.organisation.pk),
        of_workspace(make_tenant()),
    ]  # fmt: skip
    api = Api(make_key(tenant, SCOPES).shown_once())
    assert listed(api) == {str(mine.pk)}
    for row in others:
        assert api.get(f"budgets/{row.pk}").status_code == 404
        assert api.put(f"budgets/{row.pk}/reset").status_code == 404


def own_data_only(tenant):
    tenant.organisation.access = {"membersViewAllData": False}
    tenant.organisation.save()
    member = make_member(tenant)
    add_workspace_user(tenant.actor, tenant.workspace, member.pk, "member")
    return member, make_key(tenant, key_type="workspace-user", user_id=member.pk, name="mine").row


def test_who_sees_own_data_only_sees_the_budgets_of_own_keys(tenant):
    member, own = own_data_only(tenant)
    mine = make_budget(tenant, "api_key", own.pk, workspace=tenant.workspace)
    make_budget(tenant, "api_key", make_key(tenant).row.pk, workspace=tenant.workspace)
    of_workspace(tenant)
    told = signed_in(member).get("/v1/budgets").json()
    assert [row["id"] for row in told["data"]] == [str(mine.pk)]


def test_a_reset_begins_anew_and_is_written_down(tenant, api):
    row = of_workspace(tenant, spent=10 * NANO)
    Budget.objects.update(status="exhausted")
    answer = api.put(f"budgets/{row.pk}/reset")
    told = answer.json()
    assert (answer.status_code, told["current_usage"], told["status"], told["window"]) == (200, 0, "active", 2)
    assert told["last_reset_at"] is not None
    event = AuditEvent.objects.get(action="reset", resource_id=str(row.pk))
    assert event.organisation_id == tenant.organisation.pk


#: What a key must be allowed to change to reset the budget of each kind.
NEEDED = {
    "workspace": "workspaces.update", "api_key": "workspace_service_api_keys.update",
    "virtual_key": "providers.update", "policy": "policies.update", "token": "workspaces.update",
    "organisation": "organisation_settings.update", "user": "organisation_users.update",
    "integration": "organisation_integrations.update", "integration_workspace": "organisation_integrations.update",
}  # fmt: skip


def resetting(tenant, *scopes):
    return Api(make_key(tenant, list(scopes), key_type="organisation-service").shown_once())


@pytest.mark.parametrize("kind", NEEDED)
def test_who_may_change_what_is_limited_may_reset_it_and_nobody_else(tenant, kind):
    owner = make_key(tenant).row.pk if kind == "api_key" else uuid4()
    row = make_budget(tenant, kind, owner, workspace=tenant.workspace, spent=NANO)
    others = sorted({scope for scope in NEEDED.values() if scope != NEEDED[kind]})
    refused = resetting(tenant, *others).put(f"budgets/{row.pk}/reset")
    assert (refused.status_code, NEEDED[kind] in refused.json()["error"]["message"]) == (403, True)
    assert Budget.objects.get(pk=row.pk).spent == NANO
    assert resetting(tenant, NEEDED[kind]).put(f"budgets/{row.pk}/reset").status_code == 200
    assert Budget.objects.get(pk=row.pk).spent == 0


def test_a_workspaces_own_integration_is_reset_by_who_may_change_it(tenant):
    saved = make_virtual_key(tenant)
    saved.integration.workspace = tenant.workspace
    saved.integration.save()
    row = make_budget(tenant, "integration", saved.integration_id, workspace=tenant.workspace)
    assert resetting(tenant, "organisation_integrations.update").put(f"budgets/{row.pk}/reset").status_code == 403
    assert resetting(tenant, "workspace_integrations.update").put(f"budgets/{row.pk}/reset").status_code == 200


def explained(api, **query):
    answer = api.get("limits/explain", **query)
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_an_explanation_tells_what_holds_how_much_is_left_and_what_binds(tenant, api):
    key, _ = key_and_provider(tenant, name="Batch")
    row = make_budget(
        tenant, "api_key", key.pk, workspace=tenant.workspace, spent=9 * NANO, reserved=NANO // 2, name="Batch"
    )
    of_workspace(tenant, dollars=100)
    rate_policy(tenant, value="support", name="Support", unit="rph")
    told = explained(api, api_key="Batch", model="@main/gpt-4o", metadata='{"team": "search"}')
    assert told["object"] == "limits_explanation"
    assert told["call"] == {
        "organisation_id": str(tenant.organisation.pk), "workspace_id": str(tenant.workspace.pk),
        "workspace": tenant.workspace.slug, "api_key": {"id": str(key.pk), "name": "Batch"}, "provider": "openai",
        "virtual_key": "main", "model": "gpt-4o", "config": None, "endpoint": "chat", "metadata": {"team": "search"},
    }  # fmt: skip
    of_key = next(each for each in told["limits"] if each["level"] == "api_key")
    assert of_key == {
        "what": "budget", "level": "api_key", "id": str(key.pk), "name": "Batch", "value_key": None,
        "budget_id": str(row.pk), "type": "cost", "unit": None, "applies": True, "why": None, "limit": 10, "used": 9,
        "reserved": 0.5, "left": 1, "left_share": 0.1, "resets_at": None, "pace_per_hour": 0, "exhausted_at": None,
        "status": "active", "withheld": False, "reason": None,
    }  # fmt: skip
    assert told["limits"][told["binds_first"]["place"]] == of_key
    assert (told["binds_first"]["level"], told["binds_first"]["why"]) == ("api_key", "the smallest part of it is left")
    policy = told["limits"][-1]
    assert (policy["name"], policy["applies"], policy["unit"], policy["used"]) == ("Support", False, "rph", None)
    assert policy["why"] == "metadata.team is search, and the policy is for support"
    assert told["price"]["status"] == "priced"
    assert told["price"]["input_per_million"] > 0
    assert any("Gateways count" in note for note in told["notes"])


def test_what_refuses_is_said_with_the_time_at_which_it_will(tenant, api):
    key = make_key(tenant).row
    make_budget(tenant, "api_key", key.pk, workspace=tenant.workspace, spent=9 * NANO)
    ship(tenant, {"api_key": str(key.pk), "cost_nano": NANO})
    told = explained(api, api_key=str(key.pk))
    (limit,) = told["limits"]
    assert 0.03 < limit["pace_per_hour"] <= 1 / 24 + 0.001
    assert "used up" in told["binds_first"]["why"]
    assert limit["exhausted_at"] > (timezone.now() + timedelta(hours=23)).isoformat()


def test_a_model_without_a_price_is_told_with_the_rule_that_holds(tenant, api):
    key_and_provider(tenant)
    price = explained(api, model="@main/nobody-knows-this")["price"]
    assert (price["status"], price["input_per_million"], price["unpriced_rule"]["rule"]) == (
        "unpriced", None, "dearest",
    )  # fmt: skip


def test_of_what_is_not_the_callers_only_the_refusal_is_told(tenant):
    made = make_key(tenant, SCOPES)
    make_budget(tenant, "organisation", tenant.organisation.pk, dollars=77, spent=77 * NANO, status="exhausted")
    of_workspace(tenant)
    rate_policy(tenant, value="nobody", name="Hidden policy")
    answer = Api(made.shown_once()).get("limits/explain").json()
    hidden, mine = answer["limits"]
    assert (hidden["level"], hidden["withheld"], hidden["status"]) == ("organisation", True, "exhausted")
    figures = ("id", "name", "budget_id", "limit", "used", "left", "left_share", "resets_at", "exhausted_at")
    assert {hidden[name] for name in figures} == {None}
    assert (mine["level"], mine["withheld"], mine["limit"]) == ("workspace", False, 10)
    assert answer["binds_first"]["level"] == "organisation"
    assert "77" not in json.dumps(hidden)


def test_who_sees_own_data_only_learns_how_much_is_left_of_own_keys_and_of_nothing_else(tenant):
    member, own = own_data_only(tenant)
    make_budget(tenant, "api_key", own.pk, workspace=tenant.workspace)
    of_workspace(tenant)
    told = signed_in(member).get("/v1/limits/explain", {"api_key": "mine"}).json()
    assert {each["level"]: each["withheld"] for each in told["limits"]} == {"api_key": False, "workspace": True}


@pytest.mark.parametrize("query", [{"api_key": "gone"}, {"at": "x"}, {"model": "@gone/x"}, {"workspace_id": "gone"}])
def test_a_question_about_what_is_not_there_is_a_400(api, query):
    answer = api.get("limits/explain", **query)
    assert (answer.status_code, answer.json()["success"]) == (400, False)


def test_another_organisations_key_is_not_there(tenant):
    key = make_key(tenant).row
    assert Api(make_tenant().admin_key).get("limits/explain", api_key=str(key.pk)).status_code == 400


def test_nothing_can_be_changed_where_limits_are_explained(api):
    assert api.put("limits/explain", {}).status_code == 405
    assert api.post("limits/explain", {}).status_code == 405


def test_a_list_makes_as_many_queries_however_many_budgets_there_are(tenant, api, django_assert_num_queries):
    of_workspace(tenant)
    listed(api)
    with django_assert_num_queries(3):
        listed(api)
    for _ in range(5):
        of_workspace(tenant, make_workspace(tenant))
    with django_assert_num_queries(3):
        listed(api)


def test_one_budget_takes_as_many_queries_however_many_gateways_hold_of_it(tenant, api, django_assert_num_queries):
    row = of_workspace(tenant)
    for number in range(2):
        lease(row, f"gw-{number}", granted=1)
    api.get(f"budgets/{row.pk}")
    with django_assert_num_queries(3):
        assert len(api.get(f"budgets/{row.pk}").json()["leases"]) == 2


def test_an_explanation_takes_as_many_queries_however_much_is_recorded(tenant, api, django_assert_num_queries):
    key, _ = key_and_provider(tenant)
    key.rate_limits = [{"type": "requests", "unit": "rpm", "value": 100}]
    key.save()
    of_workspace(tenant)
    rate_policy(tenant)
    query = {"api_key": str(key.pk), "model": "@main/gpt-4o", "metadata": '{"team": "search"}'}
    explained(api, **query)
    for records in (1, 30):
        ship(tenant, *[{"api_key": str(key.pk)}] * records)
        with django_assert_num_queries(15):
            explained(api, **query)
