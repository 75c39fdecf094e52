"""Background work on accounts."""

import pytest

from control_plane.accounts import tasks, throttle
from control_plane.celery import app
from tests.control_plane.factories import make_member, make_tenant

pytestmark = pytest.mark.django_db


def test_locks_are_told_by_a_task_that_beat_knows():
    user = make_member(make_tenant())
    for _ in range(6):
        throttle.of_password(user.email, user).begin()
    assert tasks.report_locks() == 1
    assert {entry["task"] for entry in tasks.BEAT_SCHEDULE.values()} <= set(app.tasks)


def test_forgetting_twice_is_harmless():
    assert [tasks.forget_old(), tasks.forget_old()] == [0, 0]
