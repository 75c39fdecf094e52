"""People come in by password or by a link that works once, and leave by POST."""

from datetime import timedelta

import pytest
from django.test import Client

from control_plane.accounts.models import Guesses, SignIn
from control_plane.accounts.services import create_setup_link, set_password
from tests.control_plane.accounts.people_kit import code_of, with_second_factor
from tests.control_plane.factories import make_member, make_tenant
from tests.control_plane.ui.page_kit import Page, signed_in

pytestmark = pytest.mark.django_db
PASSWORD = "a long enough passphrase"


@pytest.fixture
def user():
    user = make_member(make_tenant(), "owner", "ada@example.com")
    set_password(user, PASSWORD)
    return user


def sign_in(client, **given):
    return client.post("/login", {"email": "ada@example.com", "password": PASSWORD, **given})


def is_signed_in(client):
    return "_auth_user_id" in client.session


def test_the_right_password_signs_in_whatever_the_case_of_the_address(user):
    client = Client()
    answer = sign_in(client, email="ADA@Example.com")
    assert (answer.status_code, answer["location"], is_signed_in(client)) == (302, "/", True)


@pytest.mark.parametrize(
    "given",
    [{"password": "wrong"}, {"email": "nobody@example.com"}, {"email": "x"}, {"password": ""}, {"email": "a\x00@b.c"}],
)
def test_anything_else_does_not(user, given):
    client = Client()
    assert (sign_in(client, **given).status_code, is_signed_in(client)) == (400, False)


def test_a_wrong_password_and_an_unknown_address_are_told_alike(user):
    shown = [Page(sign_in(Client(), **given)).text for given in ({"password": "w"}, {"email": "nobody@example.com"})]
    assert shown[0] == shown[1]


def test_an_inactive_person_cannot_sign_in(user):
    user.is_active = False
    user.save()
    assert sign_in(Client()).status_code == 400


def test_signing_in_changes_the_session_so_that_a_planted_one_is_worthless(user):
    client = Client()
    client.session.save()
    session = client.session
    session["planted"] = 1
    session.save()
    client.cookies["sessionid"] = session.session_key
    sign_in(client)
    assert client.cookies["sessionid"].value != session.session_key


def test_a_form_without_its_token_is_refused(user):
    client = Client(enforce_csrf_checks=True)
    answer = sign_in(client)
    assert (answer.status_code, is_signed_in(client)) == (403, False)
    assert "The form is too old" in Page(answer).text


def test_a_form_with_its_token_is_taken(user):
    client = Client(enforce_csrf_checks=True)
    fields = {field["name"]: field.get("value", "") for field in Page(client.get("/login")).all("input")}
    assert sign_in(client, csrfmiddlewaretoken=fields["csrfmiddlewaretoken"]).status_code == 302


def test_signing_in_leads_where_the_person_wanted_to_go(user):
    assert sign_in(Client(), next="/logs?range=7d")["location"] == "/logs?range=7d"


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example/", "//evil.example/", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)",
        "http:///evil.example", "logs", "/\t/evil.example", "",
    ],
)  # fmt: skip
def test_signing_in_never_leads_to_another_site(user, wanted):
    assert sign_in(Client(), next=wanted)["location"] == "/"
    assert signed_in(user).get("/login", {"next": wanted})["location"] == "/"


def test_leaving_ends_the_session_and_needs_a_post(user):
    client = signed_in(user)
    assert client.get("/logout").status_code == 405
    assert is_signed_in(client)
    assert client.post("/logout")["location"] == "/login"
    assert not is_signed_in(client)


def test_leaving_needs_the_forms_token(user):
    client = signed_in(user, enforce_csrf_checks=True)
    assert client.post("/logout").status_code == 403
    assert is_signed_in(client)


def test_a_set_up_link_shows_whose_it_is_sets_a_password_and_signs_in(user):
    path = f"/setup/{create_setup_link(user).reveal()}"
    client = Client()
    assert "ada@example.com" in Page(client.get(path)).text
    answer = client.post(path, {"password": "another passphrase!", "again": "another passphrase!"})
    assert (answer["location"], is_signed_in(client)) == ("/", True)
    assert sign_in(Client(), password="another passphrase!").status_code == 302


def test_a_set_up_link_works_once(user):
    path = f"/setup/{create_setup_link(user).reveal()}"
    given = {"password": "another passphrase!", "again": "another passphrase!"}
    Client().post(path, given)
    again = Client()
    answers = [again.get(path), again.post(path, {"password": "third passphrase!!", "again": "third passphrase!!"})]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert "not valid" in Page(answers[0]).text
    assert sign_in(Client(), password="third passphrase!!").status_code == 400


def test_looking_at_a_set_up_link_does_not_use_it_up(user):
    path = f"/setup/{create_setup_link(user).reveal()}"
    assert [Client().get(path).status_code for _ in range(2)] == [200, 200]


@pytest.mark.parametrize("token", ["nothing", "%00", "x" * 3000])
def test_a_set_up_link_that_never_was_says_so(token):
    assert Client().get(f"/setup/{token}").status_code == 404


def test_a_set_up_link_that_is_too_old_says_so(user):
    path = f"/setup/{create_setup_link(user, lifetime=timedelta(seconds=-1)).reveal()}"
    assert Client().get(path).status_code == 404


@pytest.mark.parametrize(
    ("password", "again"),
    [("short", "short"), ("password123456", "password123456"), ("4839201748392", "4839201748392"),
     ("ada@example.com", "ada@example.com"), ("one long passphrase", "two long passphrase"), ("", "")],
)  # fmt: skip
def test_a_weak_or_mistyped_password_is_refused_and_the_link_stays_valid(user, password, again):
    path = f"/setup/{create_setup_link(user).reveal()}"
    client = Client()
    assert client.post(path, {"password": password, "again": again}).status_code == 400
    assert (is_signed_in(client), client.get(path).status_code) == (False, 200)


def test_no_page_repeats_a_password_that_was_typed(user):
    path = f"/setup/{create_setup_link(user).reveal()}"
    answer = Client().post(path, {"password": "one long passphrase", "again": "two long passphrase"})
    assert b"long passphrase" not in answer.content


def test_the_address_is_asked_first_and_then_the_password(user):
    client = Client()
    first = Page(client.get("/login", {"next": "/keys"}))
    assert [field.get("name") for field in first.all("input") if field.get("type") != "hidden"] == ["email"]
    second = client.post("/login", {"email": "ada@example.com", "next": "/keys"})
    fields = {field.get("name"): field.get("value") for field in Page(second).all("input")}
    assert (second.status_code, fields["email"], fields["next"], "password" in fields) == (
        200,
        "ada@example.com",
        "/keys",
        True,
    )
    assert client.post("/login", {"email": "nonsense"}).status_code == 400


def test_an_unknown_address_is_asked_for_a_password_just_so(user):
    known, unknown = (
        Page(Client().post("/login", {"email": email})).text for email in ("ada@example.com", "no@example.com")
    )
    assert known == unknown


def test_guessing_is_locked_out_and_even_the_right_password_waits(user):
    for _ in range(6):
        assert sign_in(Client(), password="wrong").status_code == 400
    client = Client()
    answer = sign_in(client)
    assert (answer.status_code, is_signed_in(client)) == (429, False)
    assert "Too many tries" in Page(answer).text


def test_guessing_at_nobody_is_answered_just_so(user):
    known, unknown = (
        [Page(sign_in(Client(), email=email, password="wrong")).text for _ in range(8)]
        for email in ("ada@example.com", "no@example.com")
    )
    assert known == unknown


def test_a_wrong_password_costs_as_much_work_as_an_unknown_address(user, monkeypatch):
    from django.contrib.auth.hashers import MD5PasswordHasher
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    hashed = []
    encode = MD5PasswordHasher.encode
    monkeypatch.setattr(MD5PasswordHasher, "encode", lambda *given: hashed.append(1) or encode(*given))
    work = []
    for email in ("ada@example.com", "nobody@example.com", "fresh@example.com"):
        hashed.clear()
        if email.startswith("fresh"):
            make_member(make_tenant(), email=email)
        with CaptureQueriesContext(connection) as queries:
            sign_in(Client(), email=email, password="wrong")
        work.append((len(hashed), [query["sql"].split()[0] for query in queries]))
    assert work[0] == work[1] == work[2]


def test_a_right_password_takes_the_failures_back(user):
    for _ in range(5):
        sign_in(Client(), password="wrong")
    assert sign_in(Client()).status_code == 302
    assert not Guesses.objects.filter(user=user).exists()


def test_the_second_factor_is_asked_for_before_anything_opens(user):
    with_second_factor(user)
    client = Client()
    answer = sign_in(client, next="/keys")
    assert (answer["location"], is_signed_in(client)) == ("/login/code?next=%2Fkeys", False)
    assert client.get("/keys")["location"].startswith("/login")
    answer = client.post("/login/code", {"code": code_of(user), "next": "/keys"})
    assert (answer["location"], is_signed_in(client)) == ("/keys", True)
    assert SignIn.objects.get().method == "code"


def test_a_code_that_was_used_does_not_sign_in_again(user):
    with_second_factor(user)
    code, clients = code_of(user), [Client(), Client()]
    for client in clients:
        sign_in(client)
    answers = [client.post("/login/code", {"code": code}) for client in clients]
    assert [answer.status_code for answer in answers] == [302, 400]
    assert code.encode() not in answers[1].content or "not right" in Page(answers[1]).text


def test_a_recovery_code_signs_in_once(user):
    codes = with_second_factor(user)
    clients = [Client(), Client()]
    for client in clients:
        sign_in(client)
    answers = [client.post("/login/code", {"code": codes[0]}) for client in clients]
    assert [answer.status_code for answer in answers] == [302, 400]


def test_guessing_codes_is_locked_out(user):
    with_second_factor(user)
    client = Client()
    sign_in(client)
    wrong = "000000" if code_of(user) != "000000" else "111111"
    assert [client.post("/login/code", {"code": wrong}).status_code for _ in range(7)] == [400] * 6 + [429]
    assert client.post("/login/code", {"code": code_of(user)}).status_code == 429


def test_the_second_step_needs_the_first(user):
    with_second_factor(user)
    client = Client()
    for answer in (client.get("/login/code"), client.post("/login/code", {"code": code_of(user)})):
        assert (answer.status_code, answer["location"]) == (302, "/login?next=%2F")
    assert not is_signed_in(client)


def test_half_a_sign_in_ends_with_the_password_that_made_it(user):
    with_second_factor(user)
    client = Client()
    sign_in(client)
    set_password(user, "another long passphrase")
    assert client.post("/login/code", {"code": code_of(user)})["location"].startswith("/login?")
    assert not is_signed_in(client)


def test_half_a_sign_in_does_not_wait_for_ever(user, monkeypatch):
    with_second_factor(user)
    client = Client()
    sign_in(client)
    monkeypatch.setattr("control_plane.ui.sign_in.HALF_WAY_S", -1)
    assert client.get("/login/code")["location"].startswith("/login?")


def test_a_set_up_link_does_not_go_around_the_second_factor(user):
    with_second_factor(user)
    client = Client()
    path = f"/setup/{create_setup_link(user).reveal()}"
    answer = client.post(path, {"password": "another passphrase!", "again": "another passphrase!"})
    assert (answer["location"], is_signed_in(client)) == ("/login/code?next=%2F", False)
