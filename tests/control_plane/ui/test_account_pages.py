"""People look after their own account, and prove themselves before they change what proves them."""

import pytest
from django.test import Client

from control_plane.accounts.models import RecoveryCode, SecondFactor, SignIn
from control_plane.accounts.second_factor import factor_of
from control_plane.core.models import AuditEvent
from control_plane.orgs.sign_in_rules import set_rules
from tests.control_plane.accounts.people_kit import PASSWORD, code_of, with_password, with_second_factor
from tests.control_plane.factories import make_member, make_tenant
from tests.control_plane.ui.page_kit import Page, signed_in

pytestmark = pytest.mark.django_db
WRONG = "not the passphrase"


@pytest.fixture
def tenant():
    return make_tenant()


@pytest.fixture
def user(tenant):
    return with_password(make_member(tenant, "owner", "ada@example.com"))


def come_in(user, **headers):
    client = Client(headers=headers)
    client.post("/login", {"email": user.email, "password": PASSWORD})
    return client


def test_every_browser_is_listed_and_can_be_signed_out(user):
    here, there = come_in(user, **{"user-agent": "Here 1"}), come_in(user, **{"user-agent": "There 2"})
    shown = Page(here.get("/account"))
    assert all(text in shown.text for text in ("Here 1", "There 2", "This browser", "127.0.0.1"))
    row = SignIn.objects.get(device="There 2")
    assert here.post(f"/account/sign-ins/{row.pk}/end")["location"] == "/account"
    assert [there.get("/account").status_code, here.get("/account").status_code] == [302, 200]


def test_all_other_browsers_are_signed_out_at_once(user):
    here, *others = [come_in(user) for _ in range(3)]
    here.post("/account/sign-ins/end")
    assert [client.get("/account").status_code for client in (here, *others)] == [200, 302, 302]


def test_nobody_ends_another_persons_sign_in(user, tenant):
    come_in(user)
    stranger = signed_in(make_member(tenant, "owner"))
    row = SignIn.objects.get(user=user)
    assert stranger.post(f"/account/sign-ins/{row.pk}/end").status_code == 404
    assert stranger.post("/account/sign-ins/nonsense/end").status_code == 404
    assert SignIn.objects.filter(pk=row.pk).exists()


def test_a_new_password_needs_the_old_one_and_ends_all_other_sign_ins(user):
    here, there = come_in(user), come_in(user)
    given = {"current": WRONG, "password": "another passphrase!", "again": "another passphrase!"}
    assert here.post("/account/password", given).status_code == 400
    assert here.post("/account/password", {**given, "current": PASSWORD})["location"] == "/account"
    assert [here.get("/account").status_code, there.get("/account").status_code] == [200, 302]
    user.refresh_from_db()
    assert user.check_password("another passphrase!")
    assert AuditEvent.objects.filter(after__password_changed=True, actor_kind="user").exists()


def test_a_weak_password_is_refused(user):
    given = {"current": PASSWORD, "password": "short", "again": "short"}
    assert come_in(user).post("/account/password", given).status_code == 400
    user.refresh_from_db()
    assert user.check_password(PASSWORD)


def test_enrolling_shows_a_qr_code_and_key_and_needs_code_and_password(user):
    client = come_in(user)
    shown = Page(client.get("/account/second-factor"))
    assert len(shown.all("svg")) == 1
    wrong = "000000" if code_of(user) != "000000" else "111111"
    for given in ({"code": code_of(user), "current": WRONG}, {"code": wrong, "current": PASSWORD}, {}):
        assert client.post("/account/second-factor", given).status_code == 400
    assert factor_of(user) is None
    answer = client.post("/account/second-factor", {"code": code_of(user), "current": PASSWORD})
    codes = [line for line in Page(answer).text.split() if line.count("-") == 3]
    assert (answer.status_code, len(codes)) == (200, 10)
    assert factor_of(user) is not None
    assert client.get("/account/second-factor")["location"] == "/account"


def test_guessing_the_password_at_an_open_browser_is_locked_out(user):
    client = come_in(user)
    given = {"code": "123456", "current": WRONG}
    assert [client.post("/account/second-factor", given).status_code for _ in range(7)] == [400] * 6 + [429]


def test_removing_needs_the_password(user):
    with_second_factor(user)
    client = signed_in(user)
    assert client.post("/account/second-factor/remove", {"current": WRONG}).status_code == 400
    assert factor_of(user) is not None
    assert client.post("/account/second-factor/remove", {"current": PASSWORD})["location"] == "/account"
    assert (SecondFactor.objects.count(), RecoveryCode.objects.count()) == (0, 0)


def test_new_recovery_codes_need_the_password_and_end_the_old_ones(user):
    old = with_second_factor(user)
    client = signed_in(user)
    assert client.post("/account/recovery-codes", {"current": WRONG}).status_code == 400
    shown = Page(client.post("/account/recovery-codes", {"current": PASSWORD})).text
    assert len([word for word in shown.split() if word.count("-") == 3]) == 10
    assert old[0] not in shown


def test_where_a_second_factor_is_demanded_nothing_opens_without_one(user, tenant):
    set_rules(tenant.actor, {"require_second_factor": True})
    client = come_in(user)
    assert client.get("/logs")["location"] == "/account/second-factor"
    assert "demands" in Page(client.get("/account/second-factor")).text
    client.post("/account/second-factor", {"code": code_of(user), "current": PASSWORD})
    assert client.get("/logs").status_code == 200
    assert client.post("/account/second-factor/remove", {"current": PASSWORD}).status_code == 403
    assert factor_of(user) is not None


def test_who_has_no_password_cannot_open_a_way_around_the_provider(tenant):
    client = signed_in(make_member(tenant))
    for path in ("/account/password", "/account/second-factor"):
        assert client.get(path).status_code == 403
    assert not SecondFactor.objects.exists()


@pytest.mark.parametrize("path", ["/account/second-factor/remove", "/account/recovery-codes"])
def test_without_a_second_factor_there_is_nothing_to_change(user, path):
    assert signed_in(user).get(path)["location"] == "/account"


def test_a_person_of_no_organisation_still_has_an_account(user):
    user.memberships.all().delete()
    assert signed_in(user).get("/account").status_code == 200
