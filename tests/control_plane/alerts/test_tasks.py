"""The tasks of alerts do what beat asks for."""

import pytest

from control_plane.alerts.models import Delivery
from control_plane.alerts.tasks import BEAT_SCHEDULE, dispatch_events, forget_deliveries, send_messages
from control_plane.celery import app
from shared.money import NANO
from tests.control_plane.alerts.alert_kit import make_budget, make_destination, receiving, spend
from tests.control_plane.factories import make_tenant


def test_beat_asks_for_tasks_that_there_are():
    assert {plan["task"] for plan in BEAT_SCHEDULE.values()} <= set(app.tasks)


@pytest.mark.django_db
def test_an_event_is_dispatched_and_sent_by_the_tasks(settings):
    tenant = make_tenant()
    with receiving(settings) as receiver:
        make_destination(tenant, url=receiver.url)
        spend(make_budget(tenant, threshold=None), 100 * NANO)
        assert (dispatch_events(), send_messages(), forget_deliveries()) == (1, 1, 0)
    assert [said["type"] for said in receiver.bodies] == ["budget.exhausted"]
    assert Delivery.objects.get().status == "sent"
