"""Which workspaces may use an integration."""

import pytest

from control_plane.catalog.access import accesses_json, count_workspaces, may_use, open_to, set_access, with_access
from control_plane.catalog.export import export
from control_plane.catalog.models import Integration, IntegrationAccess, VirtualKey
from control_plane.catalog.services import create_integration, create_provider
from control_plane.core.errors import Conflict, Invalid
from control_plane.core.models import AuditEvent, OutboxEvent
from shared.money import NANO
from tests.control_plane.budgets.budget_kit import spend
from tests.control_plane.factories import make_tenant, make_virtual_key, make_workspace

pytestmark = pytest.mark.django_db

USAGE = {"type": "cost", "credit_limit": 10}
RATES = [{"type": "requests", "unit": "rpm", "value": 5}]


@pytest.fixture
def tenant():
    return make_tenant()


@pytest.fixture
def team(tenant):
    return make_workspace(tenant)


@pytest.fixture
def account(tenant):
    return create_integration(tenant.actor, {"name": "Account", "ai_provider_id": "openai"})


def say(tenant, account, *entries, **given):
    set_access(tenant.actor, account, {"workspaces": list(entries), "create_default_provider": False, **given})
    return Integration.objects.get(pk=account.pk)


def of(workspace, *, enabled=True, **given):
    return {"id": workspace.slug, "enabled": enabled, **given}


def known(account, workspace):
    """What the list says of one workspace."""
    listed = accesses_json(Integration.objects.get(pk=account.pk))["workspaces"]
    (found,) = [each for each in listed if each["id"] == str(workspace.pk)]
    return found


def keys_of(tenant):
    """The slugs that gateways get."""
    return {row.slug for _, _, row in export(tenant.organisation)}


def test_a_new_integration_is_for_the_default_workspace_until_more_is_said(tenant, team, account):
    assert [may_use(account, each) for each in (tenant.workspace, team)] == [True, False]
    assert count_workspaces(account) == 1
    with pytest.raises(Invalid, match="has no access"):
        create_provider(tenant.actor, team, account, {"name": "p"})
    account = say(tenant, account, of(team))
    assert create_provider(tenant.actor, team, account, {"name": "p"}).workspace == team
    assert count_workspaces(account) == 2


def test_global_access_holds_for_workspaces_of_which_nothing_is_said(tenant, team, account):
    closed = make_workspace(tenant, "Closed")
    limits = {"enabled": True, "usage_limits": USAGE, "rate_limits": RATES}
    account = say(tenant, account, of(closed, enabled=False), global_workspace_access=limits)
    later = make_workspace(tenant, "Later")
    assert [may_use(account, each) for each in (team, later, closed)] == [True, True, False]
    assert count_workspaces(account) == 3
    shown = known(account, later)
    assert (shown["enabled"], shown["usage_limits"], shown["rate_limits"]) == (True, USAGE, RATES[0])
    assert not may_use(account, make_tenant().workspace)


def test_what_was_said_of_workspaces_is_forgotten_when_it_is_overridden(tenant, team, account):
    other = make_workspace(tenant, "Other")
    account = say(tenant, account, of(team, enabled=False), of(other, enabled=False))
    account = say(tenant, account, global_workspace_access={"enabled": True})
    assert [may_use(account, each) for each in (team, other)] == [False, False]
    override = {"global_workspace_access": {"enabled": True}, "override_existing_workspace_access": True}
    account = say(tenant, account, of(other, enabled=False), **override)
    assert [may_use(account, each) for each in (tenant.workspace, team, other)] == [True, True, False]


def test_who_loses_access_keeps_a_disabled_key_that_gateways_do_not_get(tenant, team, account):
    account = say(tenant, account, of(team))
    row = create_provider(tenant.actor, team, account, {"name": "p"})
    assert keys_of(tenant) == {"p"}
    OutboxEvent.objects.all().delete()
    say(tenant, account, of(team, enabled=False))
    found = with_access(VirtualKey.objects.all()).get(pk=row.pk)
    assert (found.status, found.has_access) == ("disabled", False)
    assert keys_of(tenant) == set()
    assert [event.sections for event in OutboxEvent.objects.all()] == [["virtual_keys"]]
    say(tenant, account, of(team))
    assert with_access(VirtualKey.objects.all()).get(pk=row.pk).status == "active"
    assert keys_of(tenant) == {"p"}


def test_global_access_that_ends_disables_every_key_that_lived_by_it(tenant, team, account):
    account = say(tenant, account, global_workspace_access={"enabled": True})
    create_provider(tenant.actor, team, account, {"name": "p"})
    create_provider(tenant.actor, tenant.workspace, account, {"name": "q"})
    say(tenant, account, global_workspace_access={"enabled": False})
    assert keys_of(tenant) == {"q"}


def test_who_gains_access_gets_a_provider_once_unless_that_is_declined(tenant, team, account):
    declined, named = make_workspace(tenant, "Declined"), make_workspace(tenant, "Named")
    given = {
        "workspaces": [of(declined, create_default_provider=False), of(named, default_provider_slug="mine"), of(team)],
        "default_provider_slug": "usual",
    }
    set_access(tenant.actor, account, given)
    made = {(row.workspace_id, row.slug) for row in VirtualKey.objects.all()}
    assert made == {(named.pk, "mine"), (team.pk, "usual")}
    assert AuditEvent.objects.filter(resource_type="virtualkey", action="create").count() == 2
    set_access(tenant.actor, account, given)
    assert VirtualKey.objects.count() == 2


def test_a_slug_that_is_taken_gives_access_to_nobody(tenant, team, account):
    make_virtual_key(tenant, slug="mine", workspace=team)
    with pytest.raises(Conflict):
        set_access(tenant.actor, account, {"workspaces": [of(team, default_provider_slug="mine")]})
    assert not may_use(account, team)


def test_limits_of_a_workspace_stay_until_others_are_named(tenant, team, account):
    account = say(tenant, account, of(team, usage_limits=USAGE, rate_limits=RATES))
    account = say(tenant, account, of(team))
    assert (known(account, team)["usage_limits"], known(account, team)["rate_limits"]) == (USAGE, RATES[0])
    account = say(tenant, account, of(team, usage_limits=None, rate_limits=None))
    assert (known(account, team)["usage_limits"], known(account, team)["rate_limits"]) == (None, None)


def test_usage_that_is_reset_counts_from_then_on(tenant, team, account):
    account = say(tenant, account, of(team, usage_limits=USAGE), of(tenant.workspace, usage_limits=USAGE))
    spend(7 * NANO, "integration_workspace")
    assert known(account, team)["current_usage"] == 7
    account = say(tenant, account, of(team, reset_usage=True))
    assert (known(account, team)["current_usage"], known(account, tenant.workspace)["current_usage"]) == (0, 7)
    assert AuditEvent.objects.get(resource_type="budget").action == "reset"


def test_an_integration_of_one_workspace_is_for_that_one_alone(tenant, team):
    account = create_integration(tenant.actor, {"name": "a", "ai_provider_id": "openai"}, workspace=team)
    assert (may_use(account, team), may_use(account, tenant.workspace), count_workspaces(account)) == (True, False, 1)
    for given in ({"workspaces": [of(tenant.workspace)]}, {"workspaces": [of(team, enabled=False)]},
                  {"global_workspace_access": {"enabled": True}}):  # fmt: skip
        with pytest.raises(Invalid, match="one workspace"):
            set_access(tenant.actor, account, given)
    say(tenant, account, of(team, usage_limits=USAGE))
    assert known(account, team)["usage_limits"] == USAGE


def test_a_workspace_that_is_named_twice_or_is_not_there_is_refused(tenant, team, account):
    foreign = make_tenant().workspace
    for entries in ([of(team), {"id": str(team.pk), "enabled": False}], [of(foreign)]):
        with pytest.raises(Invalid):
            say(tenant, account, *entries)
    assert IntegrationAccess.objects.filter(integration=account).count() == 1


def test_a_workspace_finds_what_it_may_use(tenant, team, account):
    own = create_integration(tenant.actor, {"name": "own", "ai_provider_id": "openai"}, workspace=team)
    shared = create_integration(tenant.actor, {"name": "shared", "ai_provider_id": "openai"})
    say(tenant, shared, of(tenant.workspace, enabled=False), global_workspace_access={"enabled": True})
    create_integration(make_tenant().actor, {"name": "foreign", "ai_provider_id": "openai"})
    assert set(open_to(team)) == {own, shared}
    assert set(open_to(tenant.workspace)) == {account}


def test_a_change_of_access_leaves_what_was_and_what_is_in_the_trail(tenant, team, account):
    say(tenant, account, of(team))
    event = AuditEvent.objects.filter(resource_type="integration", action="update").get()
    told = [
        {each["slug"] for each in state["workspaces"]["workspaces"] if each["enabled"]}
        for state in (event.before, event.after)
    ]
    assert told == [{tenant.workspace.slug}, {tenant.workspace.slug, team.slug}]
