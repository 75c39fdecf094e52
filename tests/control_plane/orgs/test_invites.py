"""A link brings one person in, once."""

from datetime import timedelta

import pytest
from django.core import mail
from django.utils import timezone

from control_plane.accounts.services import find_or_create_user, set_password
from control_plane.core.errors import Conflict, Denied, Invalid
from control_plane.core.models import AuditEvent
from control_plane.core.scopes import ORGANISATION_KEY
from control_plane.keys.authentication import principal_of_key
from control_plane.orgs.invites import (
    accept_invite,
    account_of,
    cancel_invite,
    create_invite,
    peek_invite,
    pending_invite,
    resend_invite,
)
from control_plane.orgs.models import DepartedMember, Invite, Membership
from control_plane.orgs.services import delete_workspace
from tests.control_plane.factories import make_key, make_member, make_tenant, make_workspace

pytestmark = pytest.mark.django_db
NEW = "new@example.com"


@pytest.fixture
def tenant():
    return make_tenant()


def token_of(made):
    return made.link().rpartition("/")[2]


def joined(made):
    return accept_invite(made.row, find_or_create_user(made.row.email))


def test_a_link_is_found_by_its_token_which_is_not_stored(tenant):
    made = create_invite(tenant.actor, "New@Example.com", "member")
    assert peek_invite(token_of(made)) == made.row
    assert made.row.email == NEW
    assert token_of(made) not in str(Invite.objects.values().get())
    assert token_of(made) not in str(list(AuditEvent.objects.values()))


@pytest.mark.parametrize("token", ["", "x", "\x00", "\ud800", "ä" * 3000])
def test_any_other_text_is_no_link(tenant, token):
    create_invite(tenant.actor, NEW, "member")
    assert peek_invite(token) is None


def test_accepting_gives_roles_and_works_once(tenant):
    team = make_workspace(tenant)
    wanted = [{"id": team.slug, "role": "manager"}, {"id": str(tenant.workspace.pk), "role": "admin"}]
    made = create_invite(tenant.actor, NEW, "admin", workspaces=wanted)
    assert joined(made) == []
    user = find_or_create_user(NEW)
    assert Membership.objects.get(user=user).role == "admin"
    assert dict(user.workspace_memberships.values_list("workspace_id", "role")) == {
        team.pk: "manager",
        tenant.workspace.pk: "admin",
    }
    assert joined(made) is None
    assert peek_invite(token_of(made)) is None
    assert Invite.objects.get().status == "accepted"
    assert AuditEvent.objects.get(resource_type="invite", action="accept").actor_id == str(user.pk)


def test_an_invite_is_for_one_person_only(tenant):
    made = create_invite(tenant.actor, NEW, "member")
    with pytest.raises(Invalid):
        accept_invite(made.row, find_or_create_user("other@example.com"))


def test_a_workspace_that_is_gone_is_left_out(tenant):
    team = make_workspace(tenant)
    made = create_invite(tenant.actor, NEW, "member", workspaces=[{"id": team.slug, "role": "admin"}])
    delete_workspace(tenant.actor, team)
    assert joined(made) == []
    assert not find_or_create_user(NEW).workspace_memberships.exists()


def test_an_unknown_or_foreign_workspace_is_refused(tenant):
    for named in ("nothing", make_tenant().workspace.slug, "\x00"):
        with pytest.raises(Invalid):
            create_invite(tenant.actor, NEW, "member", workspaces=[{"id": named, "role": "admin"}])


def test_a_second_invite_waits_for_the_first(tenant):
    made = create_invite(tenant.actor, NEW, "member")
    with pytest.raises(Conflict):
        create_invite(tenant.actor, NEW, "member")
    cancel_invite(tenant.actor, made.row)
    cancel_invite(tenant.actor, made.row)
    again = create_invite(tenant.actor, NEW, "member")
    assert peek_invite(token_of(made)) is None
    assert pending_invite(tenant.organisation.pk, NEW) == again.row


def test_an_expired_invite_does_not_work_and_does_not_block(tenant):
    made = create_invite(tenant.actor, NEW, "member")
    Invite.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert (peek_invite(token_of(made)), pending_invite(tenant.organisation.pk, NEW), joined(made)) == (
        None,
        None,
        None,
    )
    create_invite(tenant.actor, NEW, "member")
    assert sorted(row.status for row in Invite.objects.all()) == ["cancelled", "pending"]


def test_resending_makes_a_new_link_and_ends_the_old_one(tenant):
    made = create_invite(tenant.actor, NEW, "member")
    Invite.objects.update(expires_at=timezone.now() - timedelta(days=1))
    again = resend_invite(tenant.actor, made.row)
    assert peek_invite(token_of(made)) is None
    assert peek_invite(token_of(again)) == made.row
    assert accept_invite(made.row, find_or_create_user(NEW)) is None


def test_what_was_accepted_is_neither_resent_nor_cancelled(tenant):
    made = create_invite(tenant.actor, NEW, "member")
    joined(made)
    for attempt in (resend_invite, cancel_invite):
        with pytest.raises(Conflict, match="accepted"):
            attempt(tenant.actor, made.row)


def test_a_member_is_not_invited(tenant):
    make_member(tenant, email=NEW)
    with pytest.raises(Conflict, match="member"):
        create_invite(tenant.actor, NEW, "member")


def test_a_key_with_few_scopes_invites_no_admin(tenant):
    few = principal_of_key(make_key(tenant, ["organisation_users.create"], key_type=ORGANISATION_KEY).row)
    with pytest.raises(Denied):
        create_invite(few, NEW, "admin")
    made = create_invite(few, NEW, "member")
    Invite.objects.update(role="admin")
    with pytest.raises(Denied):
        resend_invite(few, made.row)


def test_who_left_may_come_back_by_invite(tenant):
    user = find_or_create_user(NEW)
    DepartedMember.objects.create(organisation=tenant.organisation, user=user)
    joined(create_invite(tenant.actor, NEW, "member"))
    assert not DepartedMember.objects.exists()


def test_only_an_account_that_nobody_can_use_may_be_taken_over_by_a_link(tenant):
    invite = create_invite(tenant.actor, NEW, "member").row
    assert account_of(invite) is None
    user = find_or_create_user(NEW)
    assert account_of(invite) is None
    make_member(make_tenant(), email=NEW)
    assert account_of(invite) == user
    Membership.objects.all().delete()
    set_password(user, "a long enough passphrase")
    assert account_of(invite) == user


def test_the_link_goes_out_by_mail_where_there_is_a_server(tenant, settings, django_capture_on_commit_callbacks):
    settings.EMAIL_HOST = "mail.example.com"
    with django_capture_on_commit_callbacks(execute=True):
        made = create_invite(tenant.actor, NEW, "member")
    assert made.link() in mail.outbox[0].body
    assert mail.outbox[0].to == [NEW]
