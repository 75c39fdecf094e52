"""The outbox."""

import psycopg
import pytest
from django.db import connection, transaction

from control_plane.core.models import OutboxEvent
from control_plane.core.outbox import CHANNEL, touch
from tests.control_plane.factories import make_tenant


@pytest.mark.django_db
def test_an_event_names_sections_and_revocations_once():
    tenant = make_tenant()
    event = touch(tenant.organisation, ["b", "a", "b"], revoked=["k:1"])
    event.refresh_from_db()
    assert (event.sections, event.revoked, event.done_at) == (["a", "b"], ["k:1"], None)
    assert touch(tenant.organisation.pk, []).organisation == tenant.organisation


def listener():
    parameters = connection.get_connection_params()
    parameters.pop("cursor_factory", None)
    parameters.pop("context", None)
    return psycopg.connect(**{**parameters, "prepare_threshold": None}, autocommit=True)


@pytest.mark.django_db(transaction=True)
def test_the_publisher_is_woken_when_the_change_commits_and_not_before():
    tenant = make_tenant()
    with listener() as heard:
        heard.execute(f"LISTEN {CHANNEL}")
        with transaction.atomic():
            touch(tenant.organisation, ["configs"])
            assert list(heard.notifies(timeout=0.2)) == []
        assert [note.payload for note in heard.notifies(timeout=5, stop_after=1)] == [str(tenant.organisation.pk)]


@pytest.mark.django_db(transaction=True)
def test_a_change_that_is_rolled_back_leaves_no_event():
    tenant = make_tenant()
    before = OutboxEvent.objects.count()

    class Stop(Exception):
        pass

    with pytest.raises(Stop), transaction.atomic():
        touch(tenant.organisation, ["configs"])
        raise Stop
    assert OutboxEvent.objects.count() == before
