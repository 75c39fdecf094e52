"""Messages get through in the end, or it is seen that they do not."""

import hashlib
import hmac
import threading
import time
from datetime import timedelta

import pytest
from django.core import mail
from django.db import connection
from django.utils import timezone

from control_plane.alerts import delivery as delivering
from control_plane.alerts.delivery import CLAIM, KEPT, WAITS, forget_old, send_due
from control_plane.alerts.dispatch import dispatch
from control_plane.alerts.models import Delivery, Destination
from control_plane.alerts.sending import NO_MAIL_SERVER
from control_plane.alerts.services import update_destination
from control_plane.budgets.models import Budget
from shared.money import NANO
from tests.control_plane.alerts.alert_kit import SECRET, make_budget, make_destination, receiving, spend
from tests.control_plane.factories import make_member, make_tenant

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant():
    return make_tenant()


def exhaust(tenant, **fields):
    """One event, dispatched."""
    spend(make_budget(tenant, threshold=None, **fields), 100 * NANO)
    dispatch()


def later(wait=timedelta(0)):
    return timezone.now() + wait + timedelta(seconds=1)


def test_a_webhook_gets_the_message_once_signed_and_named(tenant, settings):
    with receiving(settings) as receiver:
        make_destination(tenant, url=receiver.url, secret=SECRET)
        exhaust(tenant, workspace=tenant.workspace)
        assert [send_due(later()), send_due(later()), send_due(later(timedelta(days=1)))] == [1, 0, 0]
    ((path, headers, body),) = receiver.asked
    row = Delivery.objects.get()
    assert path == "/budgets/T0K3N?token=4711"
    assert headers["x-gatehouse-delivery"] == str(row.pk)
    assert headers["content-type"] == "application/json"
    stamp, _, digest = headers["x-gatehouse-signature"].partition(",v1=")
    assert abs(int(stamp.removeprefix("t=")) - time.time()) < 60
    signed = stamp.removeprefix("t=").encode() + b"." + body
    assert digest == hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    assert receiver.bodies == [row.message]
    assert row.message["workspace_id"] == str(tenant.workspace.pk)
    assert (row.status, row.attempts, row.fault, row.next_attempt_at) == ("sent", 1, "", None)
    assert row.sent_at is not None


def test_without_a_secret_nothing_is_signed(tenant, settings):
    with receiving(settings) as receiver:
        make_destination(tenant, url=receiver.url)
        exhaust(tenant)
        send_due(later())
    assert "x-gatehouse-signature" not in receiver.asked[0][1]


def test_slack_gets_a_text_in_its_own_form(tenant, settings):
    with receiving(settings) as receiver:
        make_destination(tenant, type="slack", url=receiver.url)
        exhaust(tenant, name="<!channel> & co")
        send_due(later())
    (said,) = receiver.bodies
    assert "&lt;!channel&gt; &amp; co" in said["text"]
    assert set(said) == {"text", "mrkdwn", "blocks"}


def test_a_receiver_that_fails_is_asked_again_after_ever_longer_waits_under_the_same_id(tenant, settings):
    with receiving(settings, 500, 404, 302, 200) as receiver:
        make_destination(tenant, url=receiver.url)
        exhaust(tenant)
        for number, status in enumerate((500, 404, 302)):
            now = later(timedelta(days=number))
            assert send_due(now) == 1
            row = Delivery.objects.get()
            assert (row.status, row.fault) == ("pending", f"the answer has status {status}")
            assert WAITS[number] <= row.next_attempt_at - now < WAITS[number] + timedelta(minutes=1)
            assert send_due(row.next_attempt_at - timedelta(seconds=1)) == 0
        assert send_due(Delivery.objects.get().next_attempt_at) == 1
    row = Delivery.objects.get()
    assert (row.status, row.attempts, row.fault) == ("sent", 4, "")
    assert {headers["x-gatehouse-delivery"] for _, headers, _ in receiver.asked} == {str(row.pk)}
    assert len({body for _, _, body in receiver.asked}) == 1


def test_after_the_last_attempt_it_is_given_up_and_seen_to_be(tenant, settings):
    with receiving(settings, 503) as receiver:
        make_destination(tenant, url=receiver.url)
        exhaust(tenant)
        for day in range(10):
            send_due(later(timedelta(days=day)))
    row = Delivery.objects.get()
    assert len(receiver.asked) == row.attempts == len(WAITS) + 1
    assert (row.status, row.fault, row.next_attempt_at) == ("failed", "the answer has status 503", None)


def test_a_worker_that_died_leaves_its_delivery_to_the_next_one_when_its_time_is_over(tenant, settings):
    with receiving(settings) as receiver:
        make_destination(tenant, url=receiver.url)
        exhaust(tenant)
        now = later()
        assert len(delivering._claim(now)) == 1
        assert send_due(now + CLAIM - timedelta(seconds=1)) == 0
        assert receiver.asked == []
        assert send_due(now + CLAIM) == 1
        assert len(receiver.asked) == 1
    assert Delivery.objects.get().status == "sent"


def test_one_that_kills_every_worker_is_given_up(tenant, settings):
    with receiving(settings) as receiver:
        make_destination(tenant, url=receiver.url)
        exhaust(tenant)
        now = later()
        for number in range(len(WAITS) + 1):
            assert len(delivering._claim(now + number * CLAIM)) == 1
        send_due(now + timedelta(days=1))
    assert receiver.asked == []
    row = Delivery.objects.get()
    assert (row.status, row.fault) == ("failed", "the last attempt was cut short")


def test_a_worker_that_was_slow_changes_nothing_of_what_another_found_out(tenant, settings):
    with receiving(settings) as receiver:
        make_destination(tenant, url=receiver.url)
        exhaust(tenant)
        (slow,) = delivering._claim(later())
        send_due(later(CLAIM))
        delivering._note(slow, delivering.Outcome("too late"), later())
    assert Delivery.objects.get().status == "sent"
    assert len(receiver.asked) == 1


@pytest.mark.django_db(transaction=True)
def test_several_at_once_send_each_message_once(settings):
    tenant = make_tenant()
    with receiving(settings) as receiver:
        make_destination(tenant, url=receiver.url)
        for _ in range(20):
            spend(make_budget(tenant, threshold=None), 100 * NANO)
        dispatch()
        now, made, start = later(), [], threading.Barrier(3)

        def work():
            start.wait()
            try:
                made.append(send_due(now))
            finally:
                connection.close()

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sum(made) == 20
    ids = [headers["x-gatehouse-delivery"] for _, headers, _ in receiver.asked]
    assert len(ids) == len(set(ids)) == 20
    assert set(Delivery.objects.values_list("status", flat=True)) == {"sent"}


def test_e_mails_have_an_id_that_stays_and_no_header_of_anybody_else(tenant, settings):
    settings.EMAIL_HOST = "mail.example.com"
    make_member(tenant, "owner", "owner@example.com")
    exhaust(tenant, name="Search\r\nBcc: evil@example.com\u2028x")
    assert [send_due(later()), send_due(later())] == [1, 0]
    (sent,) = mail.outbox
    head = sent.message()
    assert sent.to == ["owner@example.com"]
    assert head["Message-ID"] == f"<{Delivery.objects.get().pk}@127.0.0.1>"
    assert "Bcc" not in head
    assert sent.subject == "Gatehouse: the budget of Workspace “Search Bcc: evil@example.com x” is exhausted."
    assert "Used: $100.00 of $100.00 (100.0 %)" in sent.body


def test_a_mail_server_that_is_away_is_asked_again(tenant, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_TIMEOUT = "127.0.0.1", 1, 1
    make_member(tenant, "owner", "owner@example.com")
    exhaust(tenant)
    send_due(later())
    row = Delivery.objects.get()
    assert (row.status, row.fault) == ("pending", "the mail server did not take it: ConnectionRefusedError")


def test_without_a_mail_server_it_is_seen_that_nobody_was_told(tenant, settings):
    settings.EMAIL_HOST = ""
    make_member(tenant, "owner", "owner@example.com")
    exhaust(tenant)
    send_due(later())
    row = Delivery.objects.get()
    assert (row.status, row.fault, row.attempts) == ("failed", NO_MAIL_SERVER, 1)


def test_a_destination_that_was_disabled_meanwhile_is_not_told(tenant, settings):
    with receiving(settings) as receiver:
        row = make_destination(tenant, url=receiver.url)
        exhaust(tenant)
        update_destination(tenant.actor, row, {"enabled": False})
        send_due(later())
    assert receiver.asked == []
    assert Delivery.objects.get().fault == "the destination is disabled"


def test_a_destination_that_cannot_be_decrypted_keeps_no_other_waiting(tenant, settings):
    with receiving(settings) as receiver:
        bad, _ = make_destination(tenant, url=receiver.url), make_destination(tenant, url=receiver.url)
        exhaust(tenant)
        Destination.objects.filter(pk=bad.pk).update(ciphertext="broken")
        assert send_due(later()) == 2
    assert len(receiver.asked) == 1
    assert Delivery.objects.get(destination=bad).status == "failed"


def test_a_message_on_its_way_arrives_although_its_budget_is_gone(tenant, settings):
    with receiving(settings) as receiver:
        make_destination(tenant, url=receiver.url)
        exhaust(tenant)
        Budget.objects.all().delete()
        assert send_due(later()) == 1
    assert receiver.bodies[0]["budget"]["name"] == "Search"


def test_more_than_one_batch_is_sent_at_a_time(tenant, settings):
    with receiving(settings) as receiver:
        make_destination(tenant, url=receiver.url)
        for _ in range(delivering.BATCH + 1):
            spend(make_budget(tenant, threshold=None), 100 * NANO)
        dispatch()
        assert send_due(later()) == delivering.BATCH + 1
    assert len(receiver.asked) == delivering.BATCH + 1


def test_what_was_sent_long_ago_is_forgotten_and_what_is_due_is_not(tenant):
    make_destination(tenant)
    for status in ("sent", "failed", "pending"):
        exhaust(tenant)
        Delivery.objects.filter(pk=Delivery.objects.first().pk).update(status=status)
    assert forget_old(timezone.now()) == 0
    assert forget_old(later(KEPT)) == 2
    assert Delivery.objects.get().status == "pending"
