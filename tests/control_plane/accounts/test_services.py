"""How people come in."""

from datetime import timedelta

import pytest
from django.contrib.auth import authenticate
from django.db import IntegrityError, transaction

from control_plane.accounts.models import SetupLink, User
from control_plane.accounts.services import (
    create_setup_link,
    find_or_create_user,
    peek_setup_token,
    redeem_setup_token,
    set_password,
    setup_url,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def user():
    return find_or_create_user("Owner@Example.com")


def test_a_link_works_once(user):
    token = create_setup_link(user).reveal()
    assert peek_setup_token(token) == user
    assert redeem_setup_token(token) == user
    assert redeem_setup_token(token) is None
    assert peek_setup_token(token) is None


def test_an_expired_link_does_not_work(user):
    token = create_setup_link(user, lifetime=timedelta(seconds=-1)).reveal()
    assert peek_setup_token(token) is None
    assert redeem_setup_token(token) is None


def test_a_new_link_ends_the_one_before(user):
    old, new = create_setup_link(user).reveal(), create_setup_link(user).reveal()
    assert redeem_setup_token(old) is None
    assert redeem_setup_token(new) == user


def test_the_link_of_an_inactive_person_does_not_work(user):
    token = create_setup_link(user).reveal()
    User.objects.update(is_active=False)
    assert peek_setup_token(token) is None
    assert redeem_setup_token(token) is None


@pytest.mark.parametrize("token", ["", "nonsense", "\x00", "ä" * 500, "\ud800"])
def test_any_other_text_is_no_link(user, token):
    create_setup_link(user)
    assert peek_setup_token(token) is None
    assert redeem_setup_token(token) is None


def test_the_database_holds_nothing_that_opens_an_account(user):
    token = create_setup_link(user).reveal()
    assert token not in str(SetupLink.objects.values().get())


def test_the_link_leads_to_the_public_address(user, settings):
    settings.PUBLIC_URL = "https://gate.example"
    token = create_setup_link(user)
    assert setup_url(token) == f"https://gate.example/setup/{token.reveal()}"


def test_nobody_signs_in_before_choosing_a_password(user):
    assert not user.has_usable_password()
    assert authenticate(username=user.email, password="") is None


def test_a_person_signs_in_whatever_the_case_of_the_address(user):
    set_password(user, "correct horse battery")
    assert authenticate(username="OWNER@example.COM", password="correct horse battery") == user
    assert authenticate(username="owner@example.com", password="wrong") is None


def test_one_address_is_one_person(user):
    assert find_or_create_user(" owner@EXAMPLE.com ") == user
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.create(email="Owner@example.com")
