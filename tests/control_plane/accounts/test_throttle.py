"""Who guesses waits, longer each time, whether or not there is such an account."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from control_plane.accounts import throttle
from control_plane.accounts.models import Guesses
from control_plane.core.audit import CURRENT_CALL, CallFacts
from control_plane.core.models import AuditEvent
from tests.control_plane.factories import make_member, make_tenant

pytestmark = pytest.mark.django_db


@pytest.fixture
def user():
    return make_member(make_tenant(), "owner", "ada@example.com")


@pytest.fixture
def calling_from():
    tokens = []

    def call(address):
        tokens.append(CURRENT_CALL.set(CallFacts(client_ip=address)))

    yield call
    for token in reversed(tokens):
        CURRENT_CALL.reset(token)


def fail(user=None, times=1, email="ada@example.com"):
    return [throttle.of_password(email, user).begin() for _ in range(times)]


def later(seconds):
    """Let time pass for all counts."""
    for row in Guesses.objects.all():
        row.last_at -= timedelta(seconds=seconds)
        row.locked_until = row.locked_until and row.locked_until - timedelta(seconds=seconds)
        row.save()


@pytest.mark.parametrize(
    ("failures", "seconds"), [(0, 0), (5, 0), (6, 1), (7, 2), (10, 16), (15, 512), (16, 900), (10_000, 900)]
)
def test_locks_double_up_to_a_quarter_of_an_hour(failures, seconds):
    assert throttle.lock_after(failures, throttle.ACCOUNT) == timedelta(seconds=seconds)


def test_five_failures_are_free_and_the_sixth_locks(user):
    assert fail(user, 6) == [0] * 6
    assert fail(user) == [1]


def test_what_is_refused_unseen_is_not_counted(user):
    fail(user, 9)
    assert fail(user) == [1]
    assert Guesses.objects.get().failures == 6


def test_after_the_lock_one_try_is_free_and_the_next_lock_is_longer(user):
    fail(user, 6)
    for seconds in (2, 4, 8):
        later(seconds - 1)
        assert fail(user) == [0]
        assert fail(user) == [seconds]


def test_an_address_without_an_account_is_locked_just_so(user):
    assert fail(user, 8) == fail(None, 8, "nobody@example.com")
    assert list(Guesses.objects.values_list("failures", flat=True)) == [6, 6]


def test_a_success_resets(user):
    fail(user, 5)
    attempt = throttle.of_password(user.email, user)
    assert attempt.begin() == 0
    attempt.succeeded()
    assert fail(user, 5) == [0] * 5


def test_the_case_of_an_address_is_no_way_around(user):
    fail(user, 6)
    assert fail(user, email=" ADA@example.com ") == [1]


def test_a_quiet_day_forgets(user):
    fail(user, 9)
    later(25 * 3600)
    assert fail(user, 5) == [0] * 5


def test_one_address_that_guesses_at_many_accounts_is_locked(calling_from):
    calling_from("203.0.113.9")
    assert [fail(email=f"p{number}@example.com")[0] for number in range(51)] == [0] * 51
    assert fail(email="fresh@example.com") == [1]
    calling_from("203.0.113.10")
    assert fail(email="fresh@example.com") == [0]


def test_signing_in_to_ones_own_account_does_not_free_an_address_to_guess(user, calling_from):
    calling_from("203.0.113.9")
    for number in range(40):
        fail(email=f"p{number}@example.com")
    attempt = throttle.of_password(user.email, user)
    attempt.begin()
    attempt.succeeded()
    assert Guesses.objects.get(failures=40)


def test_the_table_names_nobody(user):
    fail(user)
    assert "ada" not in str(Guesses.objects.values_list("subject").get())


def test_the_trail_tells_owners_of_a_lock_once(user, calling_from):
    calling_from("203.0.113.9")
    fail(user, 5)
    assert throttle.report_locks() == 0
    fail(user)
    fail(None, 6, "nobody@example.com")
    assert [throttle.report_locks(), throttle.report_locks()] == [1, 0]
    event = AuditEvent.objects.get(action="lock")
    assert (event.actor_kind, event.resource_type, event.resource_id) == ("system", "user", str(user.pk))
    assert (event.after["failures"], event.after["from"]) == (6, "203.0.113.9")


def test_a_lock_that_ends_in_success_is_told_too(user):
    fail(user, 6)
    later(2)
    attempt = throttle.of_password(user.email, user)
    assert attempt.begin() == 0
    attempt.succeeded()
    assert AuditEvent.objects.filter(action="lock").count() == 1


def test_old_counts_are_deleted(user):
    fail(user, 3)
    assert throttle.forget_old(timezone.now()) == 0
    later(25 * 3600)
    assert throttle.forget_old(timezone.now()) == 1


@pytest.mark.django_db(transaction=True)
def test_guessing_many_times_at_once_shares_one_count():
    def guess(_number):
        try:
            return throttle.of_password("nobody@example.com", None).begin()
        finally:
            connection.close()

    with ThreadPoolExecutor(12) as pool:
        waits = list(pool.map(guess, range(24)))
    assert waits.count(0) == 6
    assert Guesses.objects.get().failures == 6
