"""What people do to their accounts is told to each of their organisations, and to no other."""

import pytest

from control_plane.accounts.events import tell
from control_plane.core.models import AuditEvent
from tests.control_plane.factories import make_member, make_tenant

pytestmark = pytest.mark.django_db


def test_each_organisation_of_a_person_is_told():
    first, second, stranger = (make_tenant() for _ in range(3))
    user = make_member(first)
    make_member(second, "owner", user.email)
    tell(user, "sign_in", user, after={"method": "password"})
    told = set(AuditEvent.objects.filter(action="sign_in").values_list("organisation_id", "actor_kind", "actor_name"))
    assert told == {(tenant.organisation.pk, "user", user.email) for tenant in (first, second)}
    assert stranger.organisation.pk not in {row[0] for row in told}


def test_what_was_done_to_a_person_is_not_their_doing():
    user = make_member(make_tenant())
    tell(user, "lock", user, after={"failures": 6}, by_system=True)
    event = AuditEvent.objects.get(action="lock")
    assert (event.actor_kind, event.after["user_id"]) == ("system", str(user.pk))
