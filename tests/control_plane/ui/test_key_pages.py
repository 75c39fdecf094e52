"""Keys are shown masked, a new one once in full, and revoked only after asking."""

from uuid import uuid4

import pytest

from control_plane.core.models import AuditEvent
from control_plane.core.scopes import ORGANISATION_KEY
from control_plane.keys.models import ApiKey
from control_plane.orgs.services import add_workspace_user
from shared.crypto.tokens import mint_key
from tests.control_plane.factories import (
    Api,
    make_key,
    make_member,
    make_tenant,
    make_virtual_key,
    make_workspace,
)
from tests.control_plane.ui.page_kit import Page, owner_of, signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant():
    return make_tenant()


@pytest.fixture
def client(tenant):
    return owner_of(tenant)


@pytest.fixture
def member(tenant):
    member = make_member(tenant)
    add_workspace_user(tenant.actor, tenant.workspace, member.pk, "member")
    return signed_in(member)


def text_in(answer):
    """The text of the key that the answer shows."""
    return next(word for word in Page(answer).text.split() if word.startswith("gh-"))


def test_keys_are_listed_masked(tenant, client):
    made = make_key(tenant, name="Batch job")
    make_virtual_key(tenant, "Team account", key="sk-provider-0123456789")
    answer = client.get("/keys")
    text = Page(answer).text
    assert f"Batch job {made.row.masked} Workspace, service" in text
    assert "Team account" in text
    assert made.shown_once().encode() not in answer.content
    assert b"sk-provider-0123456789" not in answer.content


def test_other_organisations_keys_are_not_listed(client):
    stranger = make_tenant()
    make_key(stranger, name="Theirs")
    make_virtual_key(stranger, "Theirs too")
    assert "Theirs" not in Page(client.get("/keys")).text


def test_a_new_key_works_and_is_shown_once(tenant, client):
    answer = client.post("/keys/create", {"name": "CI", "workspace": str(tenant.workspace.pk)})
    key = text_in(answer)
    assert answer.status_code == 200
    assert Api(key).get("logs").status_code == 200
    assert key.encode() not in client.get("/keys").content


def test_a_new_keys_maker_is_in_the_audit_trail(tenant):
    user = make_member(tenant, "admin")
    signed_in(user).post("/keys/create", {"name": "CI", "workspace": str(tenant.workspace.pk)})
    row = ApiKey.objects.get(name="CI")
    event = AuditEvent.objects.get(resource_id=str(row.pk))
    assert (event.action, event.actor_kind, event.actor_name) == ("create", "user", user.email)


@pytest.mark.parametrize("given", [{}, {"name": ""}, {"name": "x" * 256}, {"name": "a\x00"}, {"workspace": "w"}])
def test_a_form_with_faults_makes_no_key_and_says_why(tenant, client, given):
    usual = {"name": "CI", "workspace": str(tenant.workspace.pk)} if given else {}
    answer = client.post("/keys/create", {**usual, **given})
    assert answer.status_code == 400
    assert [each for _, each in Page(answer).elements if each.get("role") == "alert"]
    assert not ApiKey.objects.filter(workspace=tenant.workspace).exists()


def test_a_key_cannot_be_made_in_another_organisations_workspace(client):
    stranger = make_tenant()
    assert client.post("/keys/create", {"name": "CI", "workspace": str(stranger.workspace.pk)}).status_code == 400
    assert not ApiKey.objects.filter(workspace=stranger.workspace).exists()


def test_making_a_key_needs_the_forms_token(tenant):
    client = signed_in(make_member(tenant, "owner"), enforce_csrf_checks=True)
    assert client.post("/keys/create", {"name": "CI", "workspace": str(tenant.workspace.pk)}).status_code == 403
    assert not ApiKey.objects.filter(name="CI").exists()


def test_revoking_asks_first_and_then_ends_the_key(tenant, client):
    made = make_key(tenant, name="Old")
    path = f"/keys/{made.row.pk}/revoke"
    assert "Revoke “Old”?" in Page(client.get(path)).text
    assert Api(made.shown_once()).get("logs").status_code == 200
    answer = client.post(path, follow=True)
    assert "The API key “Old” is revoked." in Page(answer).text
    assert Api(made.shown_once()).get("logs").status_code == 401


@pytest.mark.parametrize("method", ["get", "post"])
def test_another_organisations_key_is_not_found(client, method):
    row = make_key(make_tenant()).row
    assert getattr(client, method)(f"/keys/{row.pk}/revoke").status_code == 404
    assert ApiKey.objects.filter(pk=row.pk).exists()


@pytest.mark.parametrize("key_id", [str(uuid4()), "x", "%00"])
def test_a_key_that_is_not_there_is_not_found(client, key_id):
    assert client.get(f"/keys/{key_id}/revoke").status_code == 404


def test_a_member_sees_virtual_keys_but_neither_sees_nor_makes_nor_revokes_api_keys(tenant, member):
    row = make_key(tenant, name="Batch job").row
    make_virtual_key(tenant, "Team account")
    page = Page(member.get("/keys"))
    assert ("Team account" in page.text, "Batch job" in page.text) == (True, False)
    assert "/keys/create" not in page.links()
    given = {"name": "CI", "workspace": str(tenant.workspace.pk)}
    answers = [member.get("/keys/create"), member.post("/keys/create", given), member.post(f"/keys/{row.pk}/revoke")]
    assert [answer.status_code for answer in answers] == [403, 403, 403]
    assert ApiKey.objects.filter(workspace=tenant.workspace).count() == 1


def test_a_member_sees_nothing_of_workspaces_that_they_did_not_join(tenant, member):
    make_virtual_key(tenant, "Elsewhere", workspace=make_workspace(tenant))
    assert "Elsewhere" not in Page(member.get("/keys")).text


def test_an_organisations_admin_key_is_listed_without_a_workspace(tenant, client):
    row = ApiKey.objects.get(type=ORGANISATION_KEY, organisation=tenant.organisation)
    assert f"{row.masked} Organisation, service –" in Page(client.get("/keys")).text


def test_names_are_escaped(tenant, client):
    make_key(tenant, name="<script>x</script>")
    make_virtual_key(tenant, "<script>y</script>")
    assert b"<script" not in client.get("/keys").content


def test_a_pasted_key_is_named_and_can_be_revoked_and_is_not_shown_again(tenant, client):
    made = make_key(tenant, name="Batch job")
    answer = client.post("/keys/find", {"text": made.shown_once()})
    page = Page(answer)
    assert "It is “Batch job”" in page.text
    assert "The text works" in page.text
    assert f"/keys/{made.row.pk}/revoke" in page.links()
    assert made.shown_once() not in answer.content.decode()
    assert page.unbalanced == []


def test_a_pasted_key_that_was_rotated_away_is_said_not_to_work(tenant, client):
    other = mint_key(make_key(tenant).row.pk).text.reveal()
    assert "The text does not work" in Page(client.post("/keys/find", {"text": other})).text


def test_a_pasted_text_of_nobody_or_of_others_is_nothing(client):
    theirs = make_key(make_tenant("Other")).shown_once()
    for text in (theirs, "sk-something"):
        assert "no key of this organisation" in Page(client.post("/keys/find", {"text": text})).text
    assert client.post("/keys/find", {"text": ""}).status_code == 400


def test_who_may_not_list_keys_finds_none(tenant, member):
    answer = member.post("/keys/find", {"text": make_key(tenant).shown_once()})
    assert "no key of this organisation" in Page(answer).text
