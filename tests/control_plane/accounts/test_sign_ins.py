"""Every browser is a row, and ends with it."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from control_plane.accounts import sign_ins
from control_plane.accounts.models import SignIn
from control_plane.accounts.services import forget_password, set_password
from control_plane.core.models import AuditEvent
from tests.control_plane.factories import Api, make_member, make_tenant
from tests.control_plane.ui.page_kit import signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def user():
    return make_member(make_tenant(), "owner", "ada@example.com")


def is_in(client):
    return client.get("/account").status_code == 200


def test_a_browser_is_remembered_with_address_and_device(user):
    client = Client(headers={"user-agent": "Firefox 140"})
    set_password(user, "a long enough passphrase")
    client.post("/login", {"email": user.email, "password": "a long enough passphrase"})
    row = SignIn.objects.get()
    assert (row.user, row.method, row.address, row.device) == (user, "password", "127.0.0.1", "Firefox 140")
    event = AuditEvent.objects.get(action="sign_in")
    assert (event.actor_id, event.after["address"]) == (str(user.pk), "127.0.0.1")


def test_a_browser_whose_row_is_gone_is_a_stranger_at_once(user):
    client, other = signed_in(user), signed_in(user)
    sign_ins.end(SignIn.objects.latest("created_at"))
    assert [is_in(client), is_in(other)] == [True, False]


def test_a_sign_in_of_another_person_does_not_count(user):
    client = signed_in(user)
    SignIn.objects.update(user=make_member(make_tenant()))
    assert not is_in(client)


def test_all_but_this_one_are_ended(user):
    client, other = signed_in(user), signed_in(user)
    here = SignIn.objects.earliest("created_at")
    assert sign_ins.end_all(user, but=here) == 1
    assert [is_in(client), is_in(other)] == [True, False]
    assert sign_ins.end_all(user) == 1
    assert not is_in(client)


def test_signing_out_ends_the_row(user):
    client = signed_in(user)
    client.post("/logout")
    assert not SignIn.objects.exists()


def test_a_new_password_ends_all_sign_ins(user):
    client = signed_in(user)
    set_password(user, "another long passphrase")
    assert not is_in(client)


def test_who_loses_the_password_is_signed_out_and_the_trail_says_so(user):
    client = signed_in(user)
    forget_password(user)
    assert not is_in(client)
    assert AuditEvent.objects.filter(after__password_removed=True, actor_kind="system").count() == 1


def test_being_seen_is_noted_at_most_once_a_minute(user):
    client = signed_in(user)
    before = SignIn.objects.get().last_seen_at
    client.get("/account")
    assert SignIn.objects.get().last_seen_at == before
    SignIn.objects.update(last_seen_at=timezone.now() - timedelta(minutes=2))
    client.get("/account")
    assert SignIn.objects.get().last_seen_at > before


def test_rows_outlive_their_session_by_nothing(user, settings):
    signed_in(user)
    assert sign_ins.forget_old() == 0
    SignIn.objects.update(created_at=timezone.now() - timedelta(seconds=settings.SESSION_COOKIE_AGE + 1))
    assert not sign_ins.of_user(user).exists()
    assert sign_ins.forget_old() == 1


def test_the_admin_api_looks_no_session_up(user, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert Api().get("configs").status_code == 401
