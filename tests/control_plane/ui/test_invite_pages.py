"""An invited person comes in with a new account, or by signing in to the one they have."""

import pytest
from django.test import Client

from control_plane.accounts.models import SignIn, User
from control_plane.orgs.invites import create_invite
from control_plane.orgs.models import Invite, Membership
from tests.control_plane.accounts.people_kit import PASSWORD, with_password
from tests.control_plane.factories import Api, make_member, make_tenant
from tests.control_plane.ui.page_kit import Page, signed_in

pytestmark = pytest.mark.django_db
NEW = "new@example.com"
GIVEN = {"first_name": "New", "last_name": "Person", "password": PASSWORD, "again": PASSWORD}


@pytest.fixture
def tenant():
    return make_tenant()


def path_of(tenant, **given):
    link = create_invite(tenant.actor, NEW, "member", **given).link()
    return f"/invite/{link.rpartition('/')[2]}"


def test_a_new_person_chooses_a_password_and_is_in(tenant):
    path, client = path_of(tenant, workspaces=[{"id": tenant.workspace.slug, "role": "member"}]), Client()
    shown = Page(client.get(path)).text
    assert tenant.organisation.name in shown
    assert NEW in shown
    assert client.post(path, GIVEN)["location"] == "/"
    assert client.get("/logs").status_code == 200
    user = User.objects.get(email=NEW)
    assert (user.full_name, user.check_password(PASSWORD), SignIn.objects.get().method) == ("New Person", True, "link")
    assert client.get(path).status_code == 404


@pytest.mark.parametrize(
    "given",
    [{"again": "other long passphrase"}, {"password": "short", "again": "short"}, {"password": NEW, "again": NEW}],
)
def test_a_password_that_cannot_be_leaves_the_invite_open(tenant, given):
    path, client = path_of(tenant), Client()
    answer = client.post(path, {**GIVEN, **given})
    assert (answer.status_code, User.objects.filter(email=NEW).exists()) == (400, False)
    assert PASSWORD.encode() not in answer.content
    assert client.get(path).status_code == 200


def test_the_keys_of_an_invite_are_shown_once(tenant):
    wanted = [{"id": tenant.workspace.slug, "role": "member"}]
    client = Client()
    answer = client.post(path_of(tenant, workspaces=wanted, key_scopes=["logs.list"]), GIVEN)
    key = next(word for word in Page(answer).text.split() if word.startswith("gh-"))
    assert Api(key).get("logs").status_code == 200


def test_who_has_an_account_must_sign_in_to_it(tenant):
    user = with_password(make_member(make_tenant(), email=NEW))
    path, client = path_of(tenant), Client()
    shown = Page(client.get(path))
    assert f"/login?next={path.replace('/', '%2F')}" in shown.links()
    assert client.post(path, GIVEN).status_code == 403
    assert Membership.objects.filter(user=user).count() == 1
    client.post("/login", {"email": NEW, "password": PASSWORD})
    assert client.post(path)["location"] == "/"
    assert Membership.objects.filter(user=user).count() == 2


def test_an_account_without_a_password_elsewhere_is_not_taken_over_by_a_link(tenant):
    user = make_member(make_tenant(), email=NEW)
    assert Client().post(path_of(tenant), GIVEN).status_code == 403
    user.refresh_from_db()
    assert not user.has_usable_password()


def test_another_person_does_not_accept_it(tenant):
    path = path_of(tenant)
    client = signed_in(make_member(make_tenant(), email="other@example.com"))
    assert "other@example.com" in Page(client.get(path)).text
    assert client.post(path, GIVEN).status_code == 403
    assert Invite.objects.get().status == "pending"


@pytest.mark.parametrize("token", ["nothing", "%00", "x" * 3000])
def test_a_link_that_never_was_says_so(token):
    answer = Client().get(f"/invite/{token}")
    assert (answer.status_code, "not valid" in Page(answer).text) == (404, True)


def test_an_invite_of_an_archived_organisation_does_not_work(tenant):
    path = path_of(tenant)
    tenant.organisation.status = "archived"
    tenant.organisation.save()
    assert Client().get(path).status_code == 404
