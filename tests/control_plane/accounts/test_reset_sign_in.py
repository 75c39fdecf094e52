"""The operator lets somebody in again."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from control_plane.accounts import second_factor, throttle
from tests.control_plane.accounts.people_kit import PASSWORD, with_password, with_second_factor
from tests.control_plane.factories import make_member, make_tenant

pytestmark = pytest.mark.django_db


def reset(*arguments):
    out = StringIO()
    call_command("reset_sign_in", *arguments, stdout=out)
    return "/setup/" + out.getvalue().strip().rpartition("/")[2]


def test_a_person_who_lost_everything_comes_in_again():
    user = with_password(make_member(make_tenant(), "owner", "ada@example.com"))
    with_second_factor(user)
    for _ in range(6):
        throttle.of_password(user.email, user).begin()
    path = reset("ADA@example.com", "--second-factor")
    client = Client()
    given = {"password": "another passphrase!", "again": "another passphrase!"}
    assert client.post(path, given)["location"] == "/"
    assert client.get("/account").status_code == 200
    assert second_factor.factor_of(user) is None


def test_the_second_factor_stays_unless_asked_for():
    user = with_password(make_member(make_tenant(), "owner", "ada@example.com"))
    with_second_factor(user)
    reset("ada@example.com")
    assert second_factor.factor_of(user) is not None
    assert Client().post("/login", {"email": user.email, "password": PASSWORD})["location"].startswith("/login/code")


def test_nobody_is_told_so():
    with pytest.raises(CommandError):
        reset("nobody@example.com")
