"""Every limit of a call is found, and no other."""

import pytest

from control_plane.catalog.models import IntegrationAccess
from control_plane.explain.call import read_call
from control_plane.explain.limits import rules_of
from tests.control_plane.explain.explain_kit import counter, key_and_provider, make_budget, rate_policy, usage_policy
from tests.control_plane.factories import make_key, make_member, make_tenant, make_virtual_key, make_workspace

pytestmark = pytest.mark.django_db
RATES = [{"type": "requests", "unit": "rpm", "value": 5}]


@pytest.fixture
def tenant():
    return make_tenant()


def rules(tenant, **query):
    return rules_of(read_call(tenant.actor, query))


def named(found):
    return [(rule.what, rule.owner.level) for rule in found]


@pytest.fixture
def chain(tenant):
    """A key of a user and a provider, and the ids of all whose limits hold for calls with them, by kind."""
    member = make_member(tenant)
    key = make_key(tenant, key_type="workspace-user", user_id=member.pk).row
    saved = make_virtual_key(tenant, "Main", slug="main")
    return key, saved, {
        "organisation": tenant.organisation.pk, "workspace": tenant.workspace.pk, "user": member.pk, "api_key": key.pk,
        "integration": saved.integration_id, "integration_workspace": saved.integration_id, "virtual_key": saved.pk,
    }  # fmt: skip


def in_workspace(tenant, kind):
    is_wide = kind in {"organisation", "user", "integration"}
    return {} if is_wide else {"workspace": tenant.workspace}


def test_the_budgets_of_every_level_are_found(tenant, chain):
    key, _, owners = chain
    budgets = {kind: make_budget(tenant, kind, owner, **in_workspace(tenant, kind)) for kind, owner in owners.items()}
    found = rules(tenant, api_key=str(key.pk), model="@main/gpt-4o")
    assert {rule.owner.level: rule.budget for rule in found} == budgets
    assert {rule.why_not for rule in found} == {None}


def test_the_budgets_of_others_are_not_found(tenant, chain):
    key, saved, _ = chain
    other = make_workspace(tenant)
    make_budget(tenant, "workspace", other.pk, workspace=other)
    make_budget(tenant, "integration_workspace", saved.integration_id, workspace=other)
    make_budget(tenant, "api_key", make_key(tenant).row.pk, workspace=tenant.workspace)
    make_budget(make_tenant(), "workspace", tenant.workspace.pk)
    gone = make_budget(tenant, "organisation", tenant.organisation.pk)
    gone.limit = None
    gone.save()
    assert rules(tenant, api_key=str(key.pk), model="@main/gpt-4o") == []


def test_without_a_provider_no_limits_of_accounts_hold(tenant, chain):
    key, _, owners = chain
    for kind, owner in owners.items():
        make_budget(tenant, kind, owner, **in_workspace(tenant, kind))
    assert {rule.owner.level for rule in rules(tenant, api_key=str(key.pk))} == {
        "organisation", "workspace", "user", "api_key",
    }  # fmt: skip


def test_the_rates_of_every_level_are_found(tenant, chain):
    key, saved, _ = chain
    for row in (tenant.organisation, tenant.workspace, key, saved, saved.integration):
        row.rate_limits = RATES
        row.save()
    IntegrationAccess.objects.update_or_create(
        organisation=tenant.organisation, integration=saved.integration, workspace=tenant.workspace,
        defaults={"enabled": True, "rate_limits": [{"type": "tokens", "unit": "rpd", "value": 7}]},
    )  # fmt: skip
    found = rules(tenant, api_key=str(key.pk), model="@main/gpt-4o")
    assert sorted((rule.owner.level, rule.type, rule.unit, rule.value) for rule in found) == [
        ("api_key", "requests", "rpm", 5), ("integration", "requests", "rpm", 5),
        ("integration_workspace", "tokens", "rpd", 7), ("organisation", "requests", "rpm", 5),
        ("virtual_key", "requests", "rpm", 5), ("workspace", "requests", "rpm", 5),
    ]  # fmt: skip


def test_a_rate_of_none_is_no_limit(tenant):
    tenant.workspace.rate_limits = [{"type": "requests", "unit": "rpm", "value": 0}]
    tenant.workspace.save()
    assert rules(tenant) == []


def test_policies_that_do_not_hold_come_last_with_the_reason(tenant):
    key, _ = key_and_provider(tenant)
    rate_policy(tenant, value="support")
    usage_policy(tenant, value="support")
    holding = rate_policy(tenant, value="search")
    found = rules(tenant, api_key=str(key.pk), metadata='{"team": "search"}')
    assert [rule.why_not for rule in found] == [
        None, *["metadata.team is search, and the policy is for support"] * 2,
    ]  # fmt: skip
    assert (str(found[0].owner.id), found[0].value_key) == (str(holding.pk), f"api_key:{key.pk}")
    assert rules(tenant)[0].why_not == "the call has no metadata.team"


def test_a_group_has_a_counter_of_its_own_once_somebody_was_in_it(tenant):
    policy = usage_policy(tenant)
    counted = counter(tenant, policy, "metadata._user:ada", 70)
    counter(tenant, policy, "metadata._user:bob", 90)
    (ada,) = rules(tenant, metadata='{"team": "search", "_user": "ada"}')
    assert (ada.budget.pk, ada.is_begun, ada.value_key, ada.value) == (counted, True, "metadata._user:ada", 1000)
    (eve,) = rules(tenant, metadata='{"team": "search", "_user": "eve"}')
    assert (eve.is_begun, eve.budget.value_key, eve.value) == (False, "", 1000)


def test_policies_of_other_workspaces_and_archived_ones_are_not_there(tenant):
    rate_policy(tenant, workspace=make_workspace(tenant))
    rate_policy(tenant, status="archived")
    usage_policy(tenant, status="archived")
    rate_policy(make_tenant())
    assert named(rules(tenant, metadata='{"team": "search"}')) == []


def test_policies_of_the_workspace_and_of_all_hold_alike(tenant):
    rate_policy(tenant, workspace=tenant.workspace)
    rate_policy(tenant)
    assert named(rules(tenant, metadata='{"team": "search"}')) == [("rate", "policy")] * 2
