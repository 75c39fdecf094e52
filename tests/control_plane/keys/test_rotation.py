"""New secrets, on demand and by policy."""

from datetime import timedelta

import pytest
from django.core import mail
from django.utils import timezone

from control_plane.core.errors import Conflict, Denied
from control_plane.core.models import AuditEvent, OutboxEvent
from control_plane.core.scopes import WORKSPACE_USER_KEY
from control_plane.keys.authentication import authenticate_key, principal_of_key
from control_plane.keys.models import ApiKey
from control_plane.keys.rotation import collect_api_key, rotate_api_key, rotate_due
from tests.control_plane.factories import make_key, make_member, make_tenant

pytestmark = pytest.mark.django_db
WEEKLY = {"rotation_period": "weekly", "key_transition_period_ms": 3_600_000}


@pytest.fixture
def tenant():
    return make_tenant()


def due(tenant, **given):
    made = make_key(tenant, rotation_policy=WEEKLY, **given)
    now = timezone.now()
    ApiKey.objects.filter(pk=made.row.pk).update(rotate_at=now - timedelta(seconds=1))
    return made, now


def test_a_key_without_a_policy_never_rotates_by_itself(tenant):
    row = make_key(tenant).row
    assert row.rotate_at is None
    assert rotate_due(timezone.now() + timedelta(days=1000)) == 0


def test_a_policy_says_when_a_key_rotates_first(tenant):
    begins = timezone.now() + timedelta(days=3)
    assert make_key(tenant, rotation_policy={**WEEKLY, "next_rotation_at": begins}).row.rotate_at == begins
    assert make_key(tenant, rotation_policy=WEEKLY).row.rotate_at > timezone.now()


def test_a_key_that_is_due_gets_a_new_secret_and_the_old_one_lasts_as_the_policy_says(tenant):
    old, now = due(tenant)
    assert rotate_due(now) == 1
    row = ApiKey.objects.get(pk=old.row.pk)
    assert (row.previous_hash, row.previous_expires_at) == (old.row.secret_hash, now + timedelta(hours=1))
    assert row.secret_hash != old.row.secret_hash
    assert row.rotate_at > now
    assert authenticate_key(old.shown_once()).pk == row.pk
    assert OutboxEvent.objects.filter(organisation=tenant.organisation, sections=["api_keys"]).count() >= 2


def test_a_key_rotates_once_however_often_it_is_asked(tenant):
    _, now = due(tenant)
    assert [rotate_due(now), rotate_due(now)] == [1, 0]


def test_the_new_secret_is_collected_once_and_works(tenant):
    old, now = due(tenant)
    rotate_due(now)
    made = collect_api_key(tenant.actor, old.row)
    assert authenticate_key(made.shown_once()).pk == old.row.pk
    assert made.shown_once() != old.shown_once()
    with pytest.raises(Conflict, match="waiting"):
        collect_api_key(tenant.actor, old.row)


def test_what_waits_is_sealed(tenant):
    old, now = due(tenant)
    rotate_due(now)
    row = ApiKey.objects.get(pk=old.row.pk)
    text = collect_api_key(tenant.actor, old.row).shown_once()
    assert row.ciphertext
    assert text not in row.ciphertext


def test_a_key_with_few_scopes_cannot_collect_its_way_to_more(tenant):
    old, now = due(tenant, scopes=["configs.create"])
    rotate_due(now)
    few = principal_of_key(make_key(tenant, ["workspace_service_api_keys.rotate"]).row)
    with pytest.raises(Denied, match=r"configs\.create"):
        collect_api_key(few, old.row)


@pytest.mark.parametrize("state", ["rotating", "expired"])
def test_a_key_that_is_being_rotated_or_has_expired_waits(tenant, state):
    old, now = due(tenant)
    if state == "rotating":
        rotate_api_key(tenant.actor, old.row)
        ApiKey.objects.filter(pk=old.row.pk).update(rotate_at=now - timedelta(seconds=1))
    else:
        ApiKey.objects.filter(pk=old.row.pk).update(expires_at=now)
    assert rotate_due(now) == 0


def test_a_rotation_by_hand_begins_the_period_anew_and_drops_what_waits(tenant):
    old, now = due(tenant)
    rotate_due(now)
    ApiKey.objects.filter(pk=old.row.pk).update(previous_hash="", previous_expires_at=None, rotate_at=now)
    row = rotate_api_key(tenant.actor, old.row).row
    assert (row.ciphertext, row.rotate_at > timezone.now()) == ("", True)
    assert row.previous_expires_at - timezone.now() > timedelta(minutes=59)


def test_the_trail_says_that_nobody_asked(tenant):
    old, now = due(tenant)
    rotate_due(now)
    event = AuditEvent.objects.filter(resource_id=str(old.row.pk), action="rotate").get()
    assert (event.actor_kind, event.after["rotation_mode"], event.after["old_masked"]) == (
        "system",
        "auto",
        old.row.masked,
    )


def test_owner_and_alert_addresses_are_told(tenant, settings, django_capture_on_commit_callbacks):
    settings.EMAIL_HOST = "mail.example.com"
    user = make_member(tenant)
    old, now = due(
        tenant, key_type=WORKSPACE_USER_KEY, user_id=user.pk, alert_emails=["ops@example.com"], scopes=["logs.view"]
    )
    with django_capture_on_commit_callbacks(execute=True):
        rotate_due(now)
    assert [message.to for message in mail.outbox] == [["ops@example.com"], [user.email]]
    text = collect_api_key(tenant.actor, old.row).shown_once()
    assert f"/v1/api-keys/{old.row.pk}/collect" in mail.outbox[0].body
    assert text not in mail.outbox[0].body
