"""What callers see of a budget."""

from datetime import UTC, datetime

import pytest

from control_plane.budgets.services import reset_due, set_budget
from control_plane.budgets.usage import (
    budget_of,
    is_exhausted,
    last_reset_of,
    limits_json,
    next_reset_of,
    set_used,
    usage_json,
    with_usage,
)
from control_plane.keys.models import ApiKey
from shared.money import NANO
from tests.control_plane.budgets.budget_kit import spend
from tests.control_plane.factories import make_key, make_tenant

pytestmark = pytest.mark.django_db
LIMIT = {"credit_limit": 10, "periodic_reset": "weekly", "next_usage_reset_at": "2099-01-04T00:00:00Z"}


def test_rows_know_their_own_budgets_in_the_query_that_reads_them(django_assert_num_queries):
    tenant = make_tenant()
    keys = [make_key(tenant, usage_limits={"credit_limit": 10}).row for _ in range(3)]
    make_key(tenant)
    spend(10 * NANO, "api_key", owner_id=keys[0].pk)
    spend(NANO // 2, "api_key", owner_id=keys[1].pk)
    with django_assert_num_queries(1):
        rows = list(with_usage(ApiKey.objects.filter(workspace=tenant.workspace).order_by("pk"), "api_key"))
        shown = [usage_json(row).get("current_usage") for row in rows]
    assert shown == [10, 0.5, 0, None]
    assert [is_exhausted(row) for row in rows] == [True, False, False, False]


def test_another_organisations_budget_of_the_same_owner_is_not_seen():
    tenant, other = make_tenant(), make_tenant()
    row = make_key(tenant).row
    set_budget(
        "api_key", row.pk, organisation_id=other.organisation.pk, workspace_id=None, name="", limits={"credit_limit": 1}
    )
    assert usage_json(with_usage(ApiKey.objects.all(), "api_key").get(pk=row.pk)) == {}
    assert budget_of(tenant.organisation.pk, "api_key", row.pk) is None


def test_a_row_shows_alike_what_was_read_and_what_was_just_changed():
    tenant = make_tenant()
    made = make_key(tenant, usage_limits=LIMIT).row
    spend(NANO, "api_key")
    read = with_usage(ApiKey.objects.all(), "api_key").get(pk=made.pk)
    set_used(made, budget_of(tenant.organisation.pk, "api_key", made.pk))
    assert usage_json(made) == usage_json(read)
    assert usage_json(read) == {
        "current_usage": 1, "usage_status": "active", "is_threshold_alerts_sent": False,
        "is_exhausted_alerts_sent": False, "next_usage_reset_at": "2099-01-04T00:00:00Z", "last_usage_reset_at": None,
    }  # fmt: skip
    assert (next_reset_of(made), last_reset_of(made)) == ("2099-01-04T00:00:00Z", None)


def test_a_row_of_which_nothing_was_read_shows_nothing():
    row = make_key(make_tenant()).row
    assert (usage_json(row), next_reset_of(row), last_reset_of(row), is_exhausted(row)) == ({}, None, None, False)
    set_used(row, None)
    assert usage_json(row) == {}


def test_the_reset_that_is_shown_with_a_limit_is_the_next_one():
    made = make_key(make_tenant(), usage_limits=LIMIT).row
    assert limits_json(made) == LIMIT
    assert reset_due(datetime(2099, 1, 4, tzinfo=UTC)) == 1
    read = with_usage(ApiKey.objects.all(), "api_key").get(pk=made.pk)
    assert limits_json(read) == {**LIMIT, "next_usage_reset_at": "2099-01-11T00:00:00Z"}
    assert limits_json(ApiKey(usage_limits=None)) is None
