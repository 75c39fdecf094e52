"""Counters that are made when somebody first spends of them: those of tokens."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from uuid import uuid4

import pytest
from django.db import connection
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from control_plane.budgets.counters import counter_name, find_counters
from control_plane.budgets.leases import take_report
from control_plane.budgets.models import Budget
from control_plane.core import limits
from shared.token_budget import Terms, TokenBudget, terms_claimed
from shared.wire import BudgetAnswer, BudgetAsk, UsageReport
from tests.control_plane.factories import make_tenant

ADA, BOB = "a" * 32, "b" * 32
TERMS = Terms("tokens", 1000, 800, "weekly")

amounts = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from([1, 99, 100, 800, 1.5, "5", 10**15])
limits_said = st.fixed_dictionaries(
    {"credit_limit": amounts},
    optional={
        "type": st.sampled_from([None, "cost", "tokens", "requests", 5]),
        "alert_threshold": amounts,
        "periodic_reset": st.sampled_from([None, "weekly", "monthly", "daily", 7]),
        "periodic_reset_days": st.none() | st.integers(-1, 400) | st.sampled_from([7.0, 7.5, True, "7"]),
        "other": st.none() | st.just(1),
    },
)


@given(limits_said)
def test_a_token_may_say_of_its_limit_what_the_admin_api_takes_and_nothing_else(said):
    try:
        is_taken = terms_claimed(said) is not None
    except ValueError:
        is_taken = False
    assert is_taken == (not limits.usage_faults(said))


def token_of(tenant, subject=ADA, terms=TERMS, **changes):
    ids = {"organisation": str(tenant.organisation.pk), "workspace": str(tenant.workspace.pk), **changes}
    return BudgetAsk(token=TokenBudget(ids["organisation"], ids["workspace"], subject, terms).text(), want=10)


def found(*asks, of):
    counters = find_counters(asks, frozenset({str(of.organisation.pk)}))
    return [counters.get(counter_name(ask)) for ask in asks]


@pytest.mark.django_db
def test_a_token_has_a_counter_by_its_terms_from_its_first_call_on():
    tenant = make_tenant()
    (pk,) = found(token_of(tenant), of=tenant)
    made = Budget.objects.get(pk=pk)
    assert (made.kind, made.owner_id, made.workspace_id, made.organisation_id) == (
        "token", tenant.workspace.pk, tenant.workspace.pk, tenant.organisation.pk,
    )  # fmt: skip
    assert (made.unit, made.limit, made.threshold, made.periodic_reset, made.periodic_reset_days) == (
        "tokens", 1000, 800, "weekly", None,
    )  # fmt: skip
    assert made.next_reset_at == limits.next_reset(timezone.now(), "weekly", None, weekday=limits.SUNDAY)
    assert found(token_of(tenant), of=tenant) == [pk]


@pytest.mark.django_db
def test_each_person_and_each_terms_have_a_counter_of_their_own(django_assert_num_queries):
    tenant = make_tenant()
    asks = [
        token_of(tenant),
        token_of(tenant, BOB),
        token_of(tenant, terms=TERMS._replace(limit=2000)),
        token_of(tenant),
    ]
    first, second, third, again = found(*asks, of=tenant)
    assert first == again
    assert len({first, second, third}) == 3
    with django_assert_num_queries(2):
        assert found(*asks, of=tenant) == [first, second, third, first]


@pytest.mark.django_db
def test_a_token_of_a_workspace_or_an_organisation_that_is_not_served_has_none():
    tenant, other = make_tenant(), make_tenant()
    asks = [
        token_of(other), token_of(tenant, workspace=str(other.workspace.pk)), token_of(tenant, workspace=str(uuid4())),
        token_of(tenant, workspace="main"), BudgetAsk(token="nonsense"), BudgetAsk(token="a\x00b"),
        BudgetAsk(token=token_of(tenant).token.replace("1000", "1")),
    ]  # fmt: skip
    assert found(*asks, of=tenant) == [None] * len(asks)
    assert not Budget.objects.exists()


@pytest.mark.django_db
def test_a_token_that_cannot_be_counted_may_spend_nothing():
    tenant, other = make_tenant(), make_tenant()
    report = UsageReport("gw-1", uuid4().hex, 1, (token_of(tenant), token_of(other), BudgetAsk(policy=str(uuid4()))))
    answers = take_report(uuid4(), frozenset({str(tenant.organisation.pk)}), report).answers
    assert (answers[0].status, answers[0].limit, answers[0].ceiling >= 10) == ("ok", 1000, True)
    assert answers[1:] == (BudgetAnswer(status="short"), BudgetAnswer(status="gone"))


@pytest.mark.django_db(transaction=True)
def test_gateways_that_meet_the_same_tokens_at_once_share_their_counters():
    tenant = make_tenant()
    served, barrier = frozenset({str(tenant.organisation.pk)}), Barrier(4)
    asks = [token_of(tenant, f"{number:032x}") for number in range(40)]

    def report(number):
        try:
            barrier.wait(10)
            # Each names them in another order.
            told = tuple(asks if number % 2 else reversed(asks))
            answers = take_report(uuid4(), served, UsageReport(f"gw-{number}", uuid4().hex, 1, told)).answers
            return {answer.budget for answer in answers}
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        first, *others = pool.map(report, range(4))
    assert len(first) == 40
    assert others == [first] * 3
