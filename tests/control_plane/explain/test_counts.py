"""What is counted is what was recorded, whichever way it is looked up."""

import random
from datetime import UTC, date, datetime, timedelta

import pytest
from django.db.models import Q

from control_plane.explain import counts
from control_plane.explain.call import read_call
from control_plane.explain.counts import Span, Used, counts_of, matched, needs_records, records_since
from control_plane.explain.limits import Owner, rules_of
from control_plane.explain.windows import hour_at, window_of
from control_plane.ledger.folding import fold
from control_plane.logs.models import LogFloor
from tests.control_plane.explain.explain_kit import HOUR, key_and_provider, rate_policy, ship, us
from tests.control_plane.factories import make_tenant, make_workspace

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant():
    return make_tenant()


def owner(level="organisation", **of):
    condition = Q(**of)
    return Owner(level=level, id=None, name="", workspace_id=None, records=condition, totals=condition)


def counted(tenant, start, end, **of):
    call = read_call(tenant.actor, {})
    span = Span("organisation", start, end)
    return counts_of(call, {"organisation": owner(**of)}, [span])[span]


@pytest.mark.parametrize("folded", [True, False])
def test_a_span_counts_what_a_sum_over_its_records_counts(tenant, folded):
    dice, now = random.Random(7), datetime.now(UTC)
    moments = [now - timedelta(seconds=dice.uniform(1, 5 * 3600)) for _ in range(60)]
    ship(tenant, *({"ts_us": us(at), "cost_nano": 3, "tok_in": 5, "tok_out": 2} for at in moments))
    if folded:
        fold()
    for _ in range(20):
        start, end = sorted(now - timedelta(seconds=dice.uniform(0, 5 * 3600)) for _ in range(2))
        within = sum(start <= at < end for at in moments)
        assert counted(tenant, start, end) == Used(3 * within, 7 * within, within)
    assert counted(tenant, now - 6 * HOUR, now).requests == 60


def test_several_spans_are_counted_apart(tenant):
    now = datetime.now(UTC)
    other = make_workspace(tenant)
    ship(tenant, {}, {"ws": str(other.pk)}, {"ws": str(other.pk), "ts_us": us(now - 30 * HOUR)})
    call = read_call(tenant.actor, {})
    now = call.now
    owners = {"organisation": owner(), "workspace": owner("workspace", workspace_id=other.pk)}
    spans = [Span(level, now - hours * HOUR, now) for level in owners for hours in (2, 48)]
    assert [used.requests for used in counts_of(call, owners, spans).values()] == [2, 3, 1, 2]


def test_whole_hours_of_all_owners_are_one_query(tenant, django_assert_num_queries):
    hour = hour_at(datetime.now(UTC))
    ship(tenant, *({"ts_us": us(hour - number * HOUR)} for number in range(5)))
    call = read_call(tenant.actor, {})
    owners = {level: owner(level) for level in ("organisation", "workspace", "api_key")}
    spans = [Span(level, hour - hours * HOUR, hour + HOUR) for level in owners for hours in (1, 24, 168)]
    with django_assert_num_queries(1):
        found = counts_of(call, owners, spans)
    assert [used.requests for used in found.values()] == [2, 5, 5] * 3


def test_other_organisations_records_do_not_count(tenant):
    other = make_tenant()
    ship(other, {}, {})
    now = datetime.now(UTC)
    assert counted(tenant, now - HOUR, now) == Used()
    assert counted(tenant, now - HOUR / 60, now) == Used()
    assert counted(other, now - 2 * HOUR, now).requests == 2


def test_whether_records_are_needed_is_known_before(tenant):
    hour = hour_at(datetime.now(UTC))
    now = hour + HOUR / 2
    assert not needs_records(Span("x", hour - HOUR, hour), now)
    assert not needs_records(Span("x", hour - HOUR, now), now)
    assert needs_records(Span("x", hour - HOUR / 2, hour), now)
    assert needs_records(Span("x", hour - HOUR, hour - HOUR / 2), now)


def test_since_when_records_are_whole_is_a_midnight():
    assert records_since() is None
    LogFloor.objects.create(day=date(2026, 3, 2))
    assert records_since() == datetime(2026, 3, 2, tzinfo=UTC)


def policy_counts(tenant, **query):
    call = read_call(tenant.actor, query)
    wanted = [(rule, *window_of(rule.unit, call.now)) for rule in rules_of(call)]
    return matched(call, wanted)


def test_a_policy_counts_the_records_that_it_matches_in_the_same_group(tenant):
    key, _ = key_and_provider(tenant)
    rate_policy(tenant, unit="rph", group="metadata._user")
    mine = {"api_key": str(key.pk), "metadata": {"team": "search", "_user": "ada"}}
    ship(
        tenant, mine, mine, {**mine, "metadata": {"team": "search", "_user": "bob"}}, {**mine, "metadata": {}},
        {**mine, "ts_us": us(datetime.now(UTC) - HOUR)},
    )  # fmt: skip
    found = policy_counts(tenant, api_key=str(key.pk), metadata='{"team": "search", "_user": "ada"}')
    assert found == {0: Used(0, 2 * 1540, 2)}


@pytest.mark.parametrize(
    ("condition", "value"),
    [("model", "@main/*"), ("model", "gpt-4o"), ("provider", "openai"), ("virtual_key", "main"), ("config", "pc-1"),
     ("endpoint_type", "chatComplete"), ("workspace_id", "SLUG")],
)  # fmt: skip
def test_records_have_the_facts_that_policies_ask_about(tenant, condition, value):
    key_and_provider(tenant)
    value = tenant.workspace.slug if value == "SLUG" else value
    rate_policy(tenant, key=condition, value=value, unit="rph", group="workspace_id")
    record = {"model_requested": "@main/gpt-4o", "virtual_key": "main", "config": "pc-1"}
    other = {"model_requested": "@x/y", "virtual_key": "x", "config": "pc-2", "provider": "z", "endpoint": "embed",
             "ws": str(make_workspace(tenant).pk)}  # fmt: skip
    ship(tenant, record, other)
    call = read_call(tenant.actor, {"model": "@main/gpt-4o"})
    (rule,) = rules_of(call)
    ((_, used),) = matched(call, [(rule, *window_of("rph", call.now))]).items()
    # What a call lacks, such as this one a config, it has no counter for; its records have one.
    assert used.requests == 1 if rule.why_not is None else rule.why_not.startswith(f"the call has no {condition}")


def test_what_cannot_be_gone_through_is_not_known(tenant, monkeypatch):
    rate_policy(tenant, unit="rph")
    rate_policy(tenant, unit="rpd")
    ship(tenant, *[{}] * 3)
    monkeypatch.setattr(counts, "MOST_MATCHED", 2)
    assert policy_counts(tenant, metadata='{"team": "search"}') == {0: None, 1: None}
    monkeypatch.setattr(counts, "MOST_MATCHED", 3)
    assert policy_counts(tenant, metadata='{"team": "search"}') == {0: Used(), 1: None}
