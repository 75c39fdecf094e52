"""Totals of what a caller may see, by what they ask for."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from control_plane.core.errors import Invalid
from control_plane.keys.authentication import principal_of_key
from control_plane.keys.models import ApiKey
from control_plane.ledger.folding import fold
from control_plane.ledger.services import GROUPS, Totals, totals
from control_plane.orgs.services import add_workspace_user, principal_of_user
from tests.control_plane.factories import make_key, make_member, make_tenant, make_workspace
from tests.control_plane.ledger.ledger_kit import EVER, HOUR, this_hour
from tests.control_plane.logs.log_kit import US, Gateway, make_record

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant():
    return make_tenant()


def ship(tenant, *records):
    Gateway(tenant).send_records(*records)


def test_totals_are_whole_numbers_of_all_that_was_stored(tenant):
    ship(
        tenant,
        make_record(tenant, cost_nano=3, status=500),
        make_record(tenant, cost_nano=None, price_status="unpriced"),
    )
    fold()
    ship(tenant, make_record(tenant, cost_nano=2**63 - 1, usage_source="estimated"))
    (found,) = totals(tenant.actor, *EVER)
    assert found == Totals(
        {}, requests=3, errors=1, unpriced=1, estimated=1, tok_in=3600, tok_out=1020, tok_in_cache_read=0,
        tok_in_cache_write=0, tok_out_reasoning=0, cost_nano=2**63 + 2, saved_nano=0, lat_ms=2436, upstream_ms=2400,
        gw_us=7500,
    )  # fmt: skip
    assert type(found.cost_nano) is int


def test_nothing_used_is_a_total_of_zeros_and_no_groups(tenant):
    (found,) = totals(tenant.actor, *EVER)
    assert (found.requests, found.cost_nano) == (0, 0)
    assert totals(tenant.actor, *EVER, by=("model",)) == []


@pytest.mark.parametrize("folded", [True, False])
def test_groups_are_told_apart_and_in_order(tenant, folded):
    hour, at = this_hour()
    ship(
        tenant, make_record(tenant, ts_us=at, provider="b"), make_record(tenant, ts_us=at + 1, provider="a"),
        make_record(tenant, ts_us=at - 3600 * US, provider="a"), make_record(tenant, ts_us=at + 2, provider="a"),
    )  # fmt: skip
    if folded:
        fold()
    found = totals(tenant.actor, *EVER, by=("provider", "hour"))
    assert [(each.of["provider"], each.of["hour"], each.requests) for each in found] == [
        ("a", hour - HOUR, 1), ("a", hour, 2), ("b", hour, 1),
    ]  # fmt: skip


def test_a_day_is_one_of_utc(tenant):
    midnight = datetime(2026, 3, 2, tzinfo=UTC)
    at = int(midnight.timestamp()) * US
    ship(tenant, *(make_record(tenant, ts_us=at + hours * 3600 * US) for hours in (-1, 0, 23)))
    found = totals(tenant.actor, *EVER, by=("day",))
    assert [(each.of["day"], each.requests) for each in found] == [(midnight - timedelta(days=1), 1), (midnight, 2)]


def test_the_range_begins_with_its_start_and_ends_before_its_end(tenant):
    hour, at = this_hour()
    ship(tenant, *(make_record(tenant, ts_us=at + offset) for offset in (-1, 0, 3600 * US - 1, 3600 * US)))
    assert totals(tenant.actor, hour, hour + HOUR)[0].requests == 2
    elsewhere = hour.astimezone(timezone(timedelta(hours=5)))
    assert totals(tenant.actor, elsewhere, elsewhere + HOUR)[0].requests == 2


def test_filters_keep_what_has_one_of_the_values_none_among_them(tenant):
    ship(
        tenant,
        *(make_record(tenant, user_ref=user, provider=name) for user, name in [("a", "x"), ("b", "x"), (None, "y")]),
    )

    def requests(**filters):
        return totals(tenant.actor, *EVER, filters=filters)[0].requests

    assert requests(user_ref=["a"]) == 1
    assert requests(user_ref=["a", "b"], provider=["x"]) == 2
    assert requests(user_ref=["a", None]) == 2
    assert requests(user_ref=[]) == 0


def test_every_group_can_be_asked_for(tenant):
    ship(tenant, make_record(tenant))
    assert [totals(tenant.actor, *EVER, by=(name,))[0].requests for name in GROUPS] == [1] * len(GROUPS)
    assert totals(tenant.actor, *EVER, by=GROUPS)[0].requests == 1


HOUR_0 = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("start", "end", "asked"),
    [
        (HOUR_0, HOUR_0, {}), (HOUR_0 + HOUR, HOUR_0, {}), (HOUR_0 + timedelta(microseconds=1), HOUR_0 + HOUR, {}),
        (HOUR_0, HOUR_0 + timedelta(minutes=90), {}), (*EVER, {"by": ("digest",)}), (*EVER, {"by": ("organisation_id",)}),
        (*EVER, {"filters": {"organisation_id": ["x"]}}), (*EVER, {"filters": {"hour__gte": ["x"]}}),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_exactly_is_refused(tenant, start, end, asked):
    with pytest.raises(Invalid):
        totals(tenant.actor, start, end, **asked)


def test_another_organisations_totals_are_never_seen(tenant):
    other = make_tenant()
    ship(tenant, make_record(tenant))
    fold()
    ship(tenant, make_record(tenant))
    assert totals(other.actor, *EVER)[0].requests == 0
    assert totals(other.actor, *EVER, filters={"workspace_id": [tenant.workspace.pk]})[0].requests == 0
    assert totals(tenant.actor, *EVER)[0].requests == 2


def test_a_workspaces_caller_sees_the_totals_of_that_workspace(tenant):
    team = make_workspace(tenant)
    ship(tenant, make_record(tenant), make_record(tenant, ws=str(team.pk)), make_record(tenant, ws=str(team.pk)))
    principal = principal_of_key(make_key(tenant, ["analytics.view"], workspace=team).row)
    assert [each.of["workspace_id"] for each in totals(principal, *EVER, by=("workspace_id",))] == [team.pk]
    assert totals(principal, *EVER)[0].requests == 2


def test_a_workspace_counts_only_where_analytics_may_be_viewed(tenant):
    team = make_workspace(tenant)
    ship(tenant, make_record(tenant), make_record(tenant, ws=str(team.pk)))
    person = principal_of_user(make_member(tenant))
    scopes = {tenant.workspace.pk: frozenset({"logs.view"}), team.pk: frozenset({"analytics.view"})}
    person = replace(person, by_workspace=scopes, workspace_ids=frozenset(scopes))
    assert [each.of["workspace_id"] for each in totals(person, *EVER, by=("workspace_id",))] == [team.pk]


def test_whoever_sees_own_data_only_gets_the_totals_of_own_keys(tenant):
    user = make_member(tenant)
    add_workspace_user(tenant.actor, tenant.workspace, user.pk, "member")
    key = ApiKey.objects.create(
        organisation=tenant.organisation, workspace=tenant.workspace, type="workspace-user", name="mine", user=user,
        secret_hash="h", masked="m", scopes=[],
    )  # fmt: skip
    ship(tenant, make_record(tenant, api_key=str(key.pk), cost_nano=7), make_record(tenant))
    assert totals(principal_of_user(user), *EVER)[0].requests == 2
    tenant.organisation.access = {"membersViewAllData": False}
    tenant.organisation.save()
    (own,) = totals(principal_of_user(user), *EVER)
    assert (own.requests, own.cost_nano) == (1, 7)
    assert [each.of["api_key_id"] for each in totals(principal_of_user(user), *EVER, by=("api_key_id",))] == [key.pk]
