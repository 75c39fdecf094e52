"""Budgets of integrations and virtual keys."""

import pytest

from control_plane.budgets.models import Budget
from control_plane.catalog.access import set_access
from control_plane.catalog.export import export
from control_plane.catalog.models import Integration
from control_plane.catalog.services import (
    create_integration,
    create_provider,
    delete_integration,
    delete_virtual_key,
    update_integration,
)
from control_plane.orgs.services import delete_workspace
from shared.money import NANO
from shared.schema.limits import BudgetRow, RateRow
from tests.control_plane.budgets.budget_kit import spend
from tests.control_plane.factories import make_tenant, make_virtual_key, make_workspace

pytestmark = pytest.mark.django_db
USAGE = {"type": "cost", "credit_limit": 10}
RATE = {"type": "requests", "unit": "rpm", "value": 5}


@pytest.fixture
def tenant():
    return make_tenant()


@pytest.fixture
def account(tenant):
    return create_integration(tenant.actor, {"name": "Account", "ai_provider_id": "openai"})


def say(tenant, account, *entries, **given):
    set_access(tenant.actor, account, {"workspaces": list(entries), "create_default_provider": False, **given})
    return Integration.objects.get(pk=account.pk)


def limits_of(account):
    """What each workspace may use of an integration, in dollars, by its name."""
    rows = Budget.objects.filter(kind="integration_workspace", owner_id=account.pk, limit__isnull=False)
    return {row.workspace.name: row.limit // NANO for row in rows.select_related("workspace")}


def test_what_holds_for_all_workspaces_is_a_budget_for_each_also_for_later_ones(tenant, account):
    team = make_workspace(tenant, "Team")
    account = say(tenant, account, global_workspace_access={"enabled": True, "usage_limits": USAGE})
    home = tenant.workspace.name
    assert limits_of(account) == {"Team": 10}  # what was said of the default workspace by itself has no limit
    make_workspace(tenant, "Later")
    assert limits_of(account) == {"Team": 10, "Later": 10}
    spend(4 * NANO, "integration_workspace", workspace=team)
    assert set(Budget.objects.values_list("workspace__name", "spent")) == {("Team", 4 * NANO), ("Later", 0)}
    account = say(
        tenant, account, {"id": str(team.pk), "enabled": True, "usage_limits": {"credit_limit": 30}},
        {"id": str(tenant.workspace.pk), "enabled": True, "usage_limits": {"credit_limit": 40}},
        global_workspace_access={"enabled": True, "usage_limits": {"type": "cost", "credit_limit": 20}},
    )  # fmt: skip
    assert limits_of(account) == {"Team": 30, "Later": 20, home: 40}
    assert Budget.objects.get(workspace=team).spent == 4 * NANO
    account = say(tenant, account, global_workspace_access={"enabled": False})
    assert limits_of(account) == {"Team": 30, home: 40}
    make_workspace(tenant, "Last")
    assert "Last" not in limits_of(account)


def test_a_new_workspace_of_another_organisation_gets_no_budget(tenant, account):
    say(tenant, account, global_workspace_access={"enabled": True, "usage_limits": USAGE})
    other = make_tenant()
    make_workspace(other, "Theirs")
    assert not Budget.objects.filter(organisation=other.organisation).exists()


def test_an_integration_of_one_workspace_is_limited_there(tenant):
    team = make_workspace(tenant, "Team")
    own = create_integration(tenant.actor, {"name": "own", "ai_provider_id": "openai"}, workspace=team)
    own = say(tenant, own, {"id": str(team.pk), "enabled": True, "usage_limits": USAGE})
    assert limits_of(own) == {"Team": 10}


def test_a_name_that_changes_is_the_name_of_its_budgets(tenant, account):
    account = say(tenant, account, global_workspace_access={"enabled": True, "usage_limits": USAGE})
    make_workspace(tenant, "Team")
    update_integration(tenant.actor, account, {"name": "Renamed", "usage_limits": USAGE})
    assert set(Budget.objects.values_list("kind", "name")) == {
        ("integration", "Renamed"), ("integration_workspace", "Renamed in Team"),
    }  # fmt: skip


def test_gateways_get_the_budgets_of_a_virtual_key_its_integration_and_that_in_its_workspace(tenant, account):
    update_integration(tenant.actor, account, {"usage_limits": USAGE, "rate_limits": [RATE]})
    team = make_workspace(tenant, "Team")
    limit = {"id": str(team.pk), "enabled": True, "usage_limits": {"type": "tokens", "credit_limit": 500}}
    account = say(tenant, account, limit)
    limited = {"name": "limited", "usage_limits": USAGE}
    virtual_key = create_provider(tenant.actor, team, account, limited)
    create_provider(tenant.actor, tenant.workspace, account, {"name": "free"})
    make_virtual_key(make_tenant(), usage_limits=USAGE)
    ids = {row.kind: str(row.pk) for row in Budget.objects.filter(organisation=tenant.organisation)}
    of_all = BudgetRow(ids["integration"], "integration", "cost")
    found = {row.slug: row for _, _, row in export(tenant.organisation)}
    assert found[virtual_key.slug].budgets == (
        BudgetRow(ids["virtual_key"], "virtual_key", "cost"),
        BudgetRow(ids["integration_workspace"], "integration_workspace", "tokens"),
        of_all,
    )
    assert found["free"].budgets == (of_all,)
    assert found["free"].integration_rates == (RateRow("requests", "rpm", 5),)


def test_what_is_deleted_has_no_limit_any_more(tenant, account):
    row = make_virtual_key(tenant, usage_limits=USAGE)
    delete_virtual_key(tenant.actor, row)
    assert Budget.objects.get(kind="virtual_key").limit is None
    account = say(tenant, account, {"id": str(tenant.workspace.pk), "enabled": True, "usage_limits": USAGE})
    update_integration(tenant.actor, account, {"usage_limits": USAGE})
    create_provider(tenant.actor, tenant.workspace, account, {"name": "p", "usage_limits": USAGE})
    delete_integration(tenant.actor, account)
    assert set(Budget.objects.values_list("kind", "limit")) == {
        ("virtual_key", None), ("integration", None), ("integration_workspace", None),
    }  # fmt: skip


def test_the_budgets_of_a_workspace_go_with_it(tenant, account):
    team = make_workspace(tenant, "Team")
    say(tenant, account, {"id": str(team.pk), "enabled": True, "usage_limits": USAGE})
    delete_workspace(tenant.actor, team)
    assert not Budget.objects.exists()
