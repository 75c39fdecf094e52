"""Background work on API keys."""

from datetime import timedelta

import pytest
from django.utils import timezone

from control_plane.keys.models import ApiKey
from control_plane.keys.rotation import rotate_api_key
from control_plane.keys.tasks import BEAT_SCHEDULE, end_key_transitions, rotate_due_keys
from tests.control_plane.factories import make_key, make_tenant


@pytest.mark.django_db
def test_the_task_ends_rotations_that_are_over():
    tenant = make_tenant()
    row = make_key(tenant).row
    rotate_api_key(tenant.actor, row)
    assert end_key_transitions() == 0
    ApiKey.objects.filter(pk=row.pk).update(previous_expires_at=timezone.now() - timedelta(seconds=1))
    assert end_key_transitions() == 1


def test_beat_names_the_task_as_it_is_registered():
    assert {entry["task"] for entry in BEAT_SCHEDULE.values()} == {end_key_transitions.name, rotate_due_keys.name}
