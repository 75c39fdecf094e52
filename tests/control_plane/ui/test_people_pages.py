"""Owners and admins see who belongs, invite, change roles and remove."""

import re

import pytest

from control_plane.orgs.invites import create_invite
from control_plane.orgs.models import Invite, Membership
from tests.control_plane.factories import make_member, make_tenant
from tests.control_plane.ui.page_kit import Page, signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant():
    return make_tenant()


@pytest.fixture
def owner(tenant):
    return make_member(tenant, "owner", "ada@example.com")


@pytest.fixture
def client(owner):
    return signed_in(owner)


def link_in(answer):
    return re.search(r"http://[^\s<]+/invite/[\w-]+", Page(answer).text)[0]


def invite(client, tenant, **given):
    body = {"email": "new@example.com", "role": "member", "workspace": "", "workspace_role": "member", **given}
    return client.post("/people/invite", body)


def test_members_and_open_invites_are_listed(client, tenant):
    make_member(tenant, "member", "bob@example.com")
    create_invite(tenant.actor, "new@example.com", "admin")
    make_member(make_tenant(), "member", "stranger@example.com")
    text = Page(client.get("/people")).text
    assert all(word in text for word in ("ada@example.com", "bob@example.com", "new@example.com", "Pending"))
    assert "stranger@example.com" not in text


def test_an_invite_shows_its_link_once(client, tenant):
    answer = invite(client, tenant, workspace=str(tenant.workspace.pk), workspace_role="manager")
    assert client.get(link_in(answer)).status_code == 200
    assert Invite.objects.get().workspaces == [{"id": str(tenant.workspace.pk), "role": "manager"}]
    assert link_in(answer) not in client.get("/people").content.decode()


@pytest.mark.parametrize("given", [{"email": "x"}, {"email": "ada@example.com"}, {"role": "owner"}, {"workspace": "x"}])
def test_an_invite_that_cannot_be_is_told_why_beside_the_field(client, tenant, given):
    answer = invite(client, tenant, **given)
    assert answer.status_code in {400, 409}
    assert [each for each in Page(answer).all("div") if each.get("class") == "fault"]
    assert not Invite.objects.exists()


def test_an_invite_is_sent_again_and_cancelled(client, tenant):
    first = link_in(invite(client, tenant))
    row = Invite.objects.get()
    second = link_in(client.post(f"/people/invites/{row.pk}/resend"))
    assert [client.get(link).status_code for link in (first, second)] == [404, 200]
    assert client.post(f"/people/invites/{row.pk}/cancel")["location"] == "/people"
    assert client.get(second).status_code == 404
    assert client.post(f"/people/invites/{row.pk}/resend").status_code == 409


def test_roles_change_and_owners_are_guarded(client, tenant, owner):
    bob = make_member(tenant)
    assert client.post(f"/people/{bob.pk}/role", {"role": "admin"})["location"] == "/people"
    admin = signed_in(bob)
    refused = admin.post(f"/people/{owner.pk}/role", {"role": "member"})
    assert (refused.status_code, "Only an owner" in Page(refused).text) == (403, True)
    assert admin.post(f"/people/{owner.pk}/remove").status_code == 403
    assert "Only an owner" in Page(admin.get(f"/people/{owner.pk}/remove")).text
    assert client.post(f"/people/{owner.pk}/role", {"role": "member"}).status_code == 400
    assert set(Membership.objects.values_list("role", flat=True)) == {"owner", "admin"}


def test_who_is_removed_is_gone(client, tenant):
    bob = make_member(tenant)
    browser = signed_in(bob)
    assert client.get(f"/people/{bob.pk}/remove").status_code == 200
    assert client.post(f"/people/{bob.pk}/remove")["location"] == "/people"
    assert browser.get("/logs")["location"].startswith("/login")


def test_members_neither_see_nor_change_people(tenant, owner):
    client = signed_in(make_member(tenant))
    paths = ["/people", "/people/invite", f"/people/{owner.pk}/role", f"/people/{owner.pk}/remove", "/people/sign-in"]
    assert [client.get(path).status_code for path in paths] == [403] * 5


@pytest.mark.parametrize("path", ["/people/{}/role", "/people/{}/remove"])
@pytest.mark.parametrize("who", ["stranger", "nonsense"])
def test_who_does_not_belong_is_not_found(client, path, who):
    named = make_member(make_tenant()).pk if who == "stranger" else "x"
    assert client.get(path.format(named)).status_code == 404


def test_another_organisations_invite_is_not_found(client):
    row = create_invite(make_tenant().actor, "new@example.com", "member").row
    assert client.post(f"/people/invites/{row.pk}/cancel").status_code == 404
    assert client.post("/people/invites/x/resend").status_code == 404
