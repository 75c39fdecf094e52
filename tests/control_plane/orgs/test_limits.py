"""How much an organisation, a workspace and a person may use."""

import pytest

from control_plane.budgets.models import Budget
from control_plane.core.models import AuditEvent, OutboxEvent
from control_plane.core.scopes import WORKSPACE_USER_KEY
from control_plane.keys.export import export as export_keys
from control_plane.orgs.export import export
from shared.money import NANO
from shared.schema.limits import BudgetRow, RateRow, UnpricedRule
from tests.control_plane.budgets.budget_kit import spend
from tests.control_plane.factories import Api, make_key, make_member, make_tenant

pytestmark = pytest.mark.django_db
LIMIT = {"type": "cost", "credit_limit": 100, "periodic_reset": "monthly"}
RATE = {"type": "tokens", "unit": "rph", "value": 5000}


@pytest.fixture
def tenant():
    return make_tenant()


@pytest.fixture
def api(tenant):
    return Api(tenant.admin_key)


def rows_of(tenant):
    tenant.organisation.refresh_from_db()
    return {section: row for section, _, row in export(tenant.organisation)}


def test_an_organisation_has_limits(tenant, api):
    told = api.put("admin/organisation", {"usage_limits": LIMIT, "rate_limits": [RATE]}).json()
    assert (told["usage_limits"], told["rate_limits"], told["current_usage"]) == (LIMIT, [RATE], 0)
    assert OutboxEvent.objects.latest("pk").sections == ["orgs"]
    spend(100 * NANO, "organisation")
    told = api.get("admin/organisation").json()
    assert (told["current_usage"], told["usage_status"]) == (100, "exhausted")
    budget = Budget.objects.get()
    row = rows_of(tenant)["orgs"]
    assert (row.budgets, row.rates) == (
        (BudgetRow(str(budget.pk), "organisation", "cost"),),
        (RateRow("tokens", "rph", 5000),),
    )
    told = api.put("admin/organisation", {"reset_usage": True}).json()
    assert (told["current_usage"], told["usage_status"], told["usage_limits"]) == (0, "active", LIMIT)
    told = api.put("admin/organisation", {"usage_limits": None, "rate_limits": None}).json()
    assert (told["usage_limits"], told["rate_limits"], "current_usage" in told) == (None, [], False)
    assert rows_of(tenant)["orgs"].budgets == ()


def test_rules_of_calls_under_a_budget_are_as_they_are_by_default_until_something_is_said(tenant, api):
    usual = {
        "unpriced": {"rule": "dearest", "input_per_million": 15, "output_per_million": 75}, "assumed_output_tokens": 4096,
    }  # fmt: skip
    assert api.get("admin/organisation").json()["budget_rules"] == usual
    assert rows_of(tenant)["orgs"].unpriced == UnpricedRule()
    said = {"unpriced": {"rule": "fixed", "input_per_million": 0.15}, "assumed_output_tokens": 900}
    told = api.put("admin/organisation", {"budget_rules": said}).json()["budget_rules"]
    fixed = {"rule": "fixed", "input_per_million": 0.15, "output_per_million": 75}
    assert told == {"unpriced": fixed, "assumed_output_tokens": 900}
    row = rows_of(tenant)["orgs"]
    assert (row.unpriced, row.assumed_output) == (UnpricedRule("fixed", 150_000_000, 75 * NANO), 900)
    assert api.put("admin/organisation", {"name": "n"}).json()["budget_rules"] == told
    assert api.put("admin/organisation", {"budget_rules": None}).json()["budget_rules"] == usual


@pytest.mark.parametrize(
    "rules",
    [{"unpriced": {"rule": "free"}}, {"unpriced": {"input_per_million": -1}}, {"unpriced": {"output_per_million": "1"}},
     {"unpriced": {"input_per_million": 10**7}}, {"assumed_output_tokens": 0}, {"assumed_output_tokens": 10**8}, []],
)  # fmt: skip
def test_rules_that_cannot_be_are_refused(tenant, api, rules):
    assert api.put("admin/organisation", {"budget_rules": rules}).status_code == 400
    tenant.organisation.refresh_from_db()
    assert tenant.organisation.budget_rules == {}


def test_a_workspace_has_a_limit(tenant, api):
    made = api.post("admin/workspaces", {"name": "Team", "usage_limits": [LIMIT]}).json()
    path = f"admin/workspaces/{made['id']}"
    assert (made["usage_limits"], made["current_usage"]) == ([LIMIT], 0)
    budget = Budget.objects.get()
    assert (budget.kind, str(budget.owner_id), str(budget.workspace_id)) == ("workspace", made["id"], made["id"])
    spend(60 * NANO, "workspace")
    read = api.get(path).json()
    assert (read["current_usage"], read["usage_status"]) == (60, "active")
    listed = {row["id"]: row.get("current_usage") for row in api.get("admin/workspaces").json()["data"]}
    assert listed == {made["id"]: 60, str(tenant.workspace.pk): None}
    lower = {**LIMIT, "credit_limit": 50}
    assert api.put(path, {"usage_limits": lower}).json()["usage_status"] == "exhausted"
    assert rows_of(tenant)["workspaces"].budgets == (BudgetRow(str(budget.pk), "workspace", "cost"),)
    assert api.put(path, {"reset_usage": True}).json()["current_usage"] == 0
    assert api.delete(path).status_code == 200
    assert not Budget.objects.exists()


def test_a_person_has_a_limit_of_all_their_keys_together(tenant, api):
    user = make_member(tenant)
    path = f"admin/users/{user.pk}"
    mine = make_key(tenant, key_type=WORKSPACE_USER_KEY, user_id=user.pk, usage_limits={"credit_limit": 5}).row
    other = make_key(tenant).row
    assert api.put(path, {"usage_limits": LIMIT}).json() == {}
    assert OutboxEvent.objects.latest("pk").sections == ["api_keys"]
    assert AuditEvent.objects.filter(resource_id=str(user.pk)).latest("at").after == {"usage_limits": LIMIT}
    spend(3 * NANO, "user")
    read = api.get(path).json()
    assert (read["role"], read["usage_limits"], read["current_usage"]) == ("member", LIMIT, 3)
    assert {row["id"]: row["current_usage"] for row in api.get("admin/users").json()["data"]} == {str(user.pk): 3}
    ids = {row.kind: str(row.pk) for row in Budget.objects.all()}
    found = {row.id: row.budgets for _, _, row in export_keys(tenant.organisation)}
    assert found == {
        str(mine.pk): (BudgetRow(ids["api_key"], "api_key", "cost"), BudgetRow(ids["user"], "user", "cost")),
        str(other.pk): (),
    }
    assert api.put(path, {"reset_usage": True, "role": "admin"}).json() == {}
    read = api.get(path).json()
    assert (read["role"], read["current_usage"]) == ("admin", 0)
    assert api.delete(path).status_code == 200
    assert Budget.objects.get(kind="user").limit is None


def test_the_limit_of_a_person_is_the_organisations_own(tenant, api):
    other, user = make_tenant(), make_member(tenant)
    make_member(other, email=user.email)
    api.put(f"admin/users/{user.pk}", {"usage_limits": LIMIT})
    theirs = Api(other.admin_key)
    read = theirs.get(f"admin/users/{user.pk}").json()
    assert (read["usage_limits"], "current_usage" in read) == (None, False)
    make_key(other, key_type=WORKSPACE_USER_KEY, user_id=user.pk)
    assert [row.budgets for _, _, row in export_keys(other.organisation)] == [()]
    assert theirs.put(f"admin/users/{user.pk}", {"usage_limits": {**LIMIT, "credit_limit": 7}}).status_code == 200
    assert set(Budget.objects.values_list("organisation_id", "limit")) == {
        (tenant.organisation.pk, 100 * NANO), (other.organisation.pk, 7 * NANO),
    }  # fmt: skip
