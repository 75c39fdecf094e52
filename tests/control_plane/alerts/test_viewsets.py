"""Alert destinations and deliveries, as callers of the Admin API know them."""

import pytest
from django.core import mail

from control_plane.alerts.dispatch import dispatch
from control_plane.alerts.models import Delivery, Destination
from control_plane.core.models import AuditEvent
from control_plane.core.scopes import ORGANISATION_KEY, WORKSPACE_SERVICE_KEY
from shared.money import NANO
from tests.control_plane.alerts.alert_kit import SECRET, make_budget, make_destination, receiving, spend
from tests.control_plane.factories import Api, make_key, make_tenant, make_workspace
from tests.control_plane.test_secrets_stay_secret import found

pytestmark = pytest.mark.django_db
TOKEN = "T0K3N-9f8e7d6c5b4a"
HOOK = f"https://hooks.slack.com/services/{TOKEN}"


@pytest.fixture
def tenant():
    return make_tenant()


@pytest.fixture
def api(tenant):
    return Api(tenant.admin_key)


def test_a_destination_is_shown_without_its_secret_and_the_path_of_its_url(tenant, api):
    made = api.post(
        "alert-destinations", {"name": "on call", "type": "webhook", "url": f"{HOOK}?x={TOKEN}", "secret": SECRET}
    ).json()
    shown = {name: made[name] for name in ("name", "type", "url", "address", "is_signed", "events", "enabled")}
    assert shown == {
        "name": "on call", "type": "webhook", "url": "https://hooks.slack.com/****", "address": None, "is_signed": True,
        "events": ["threshold", "exhausted"], "enabled": True,
    }  # fmt: skip
    assert api.get(f"alert-destinations/{made['id']}").json() == made


def test_secret_and_url_are_nowhere_in_plain_text(tenant, api, caplog, capsys):
    body = {"name": "n", "type": "webhook", "url": HOOK, "secret": SECRET}
    first = api.post("alert-destinations", body)
    path = f"alert-destinations/{first.json()['id']}"
    answers = [first, api.get(path), api.put(path, {**body, "name": "m"}), api.get("alert-destinations")]
    answers += [api.post("alert-destinations", {**body, "type": "slack"}), api.put(path, {"url": f"http{HOOK[5:]}"})]
    spend(make_budget(tenant, threshold=None), 100 * NANO)
    dispatch()
    answers += [api.get("alert-deliveries"), api.delete(path)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 400, 400, 200, 200]
    shown = capsys.readouterr()
    texts = [*(answer.content.decode() for answer in answers), caplog.text, shown.out, shown.err]
    assert not any(secret in text for text in texts for secret in (SECRET, TOKEN))
    assert found([SECRET, TOKEN]) == []


def test_a_destination_may_be_of_one_workspace_and_stays_there(tenant, api):
    home, other = make_workspace(tenant, "Home"), make_workspace(tenant, "Other")
    body = {"name": "n", "type": "slack", "url": HOOK, "workspace_id": home.slug}
    made = api.post("alert-destinations", body).json()
    assert made["workspace_id"] == str(home.pk)
    path = f"alert-destinations/{made['id']}"
    assert api.put(path, {"workspace_id": home.slug, "name": "m"}).status_code == 200
    assert api.put(path, {"workspace_id": other.slug}).status_code == 400
    assert api.get("alert-destinations", workspace_id=home.slug).json()["total"] == 1
    assert api.get("alert-destinations", workspace_id=other.slug).json()["total"] == 0


def test_destinations_are_listed_by_type(tenant, api):
    make_destination(tenant, type="slack")
    mine = make_destination(tenant, type="email", address="a@example.com")
    listed = api.get("alert-destinations", type="email").json()
    assert [row["id"] for row in listed["data"]] == [str(mine.pk)]
    assert (listed["data"][0]["address"], listed["data"][0]["url"]) == ("a@example.com", None)
    assert api.get("alert-destinations", type="pigeon").status_code == 400


@pytest.mark.parametrize(
    "fault",
    [{"events": []}, {"events": ["never"]}, {"type": "pigeon"}, {"secret": ""}, {"secret": "a\nb"}, {"enabled": "so"},
     {"url": "https://169.254.169.254/"}, {"url": "https://h.example/" + "x" * 2048}, {"url": None}, {"address": "a\n@b.c"}],
)  # fmt: skip
def test_a_body_that_cannot_be_used_makes_nothing(api, fault):
    body = {"name": "n", "type": "webhook", "url": HOOK, **fault}
    assert api.post("alert-destinations", body).status_code == 400
    assert not Destination.objects.exists()


def test_a_test_says_that_the_message_arrived(tenant, api, settings):
    with receiving(settings) as receiver:
        row = make_destination(tenant, url=receiver.url, secret=SECRET, enabled=False)
        answer = api.post(f"alert-destinations/{row.pk}/test")
    assert (answer.status_code, answer.json()["status"], answer.json()["fault"]) == (200, "sent", None)
    ((_, headers, _),) = receiver.asked
    assert headers["x-gatehouse-delivery"] == answer.json()["id"]
    assert headers["x-gatehouse-signature"].startswith("t=")
    assert receiver.bodies[0]["type"] == "test"
    assert api.get(f"alert-deliveries/{answer.json()['id']}").json() == answer.json()
    assert AuditEvent.objects.filter(resource_id=str(row.pk), action="test").count() == 1


def test_a_test_says_why_the_message_did_not_arrive_and_is_not_tried_again(tenant, api, settings):
    with receiving(settings, 403) as receiver:
        row = make_destination(tenant, url=receiver.url)
        answer = api.post(f"alert-destinations/{row.pk}/test").json()
    assert (answer["status"], answer["fault"], answer["attempts"]) == ("failed", "the answer has status 403", 1)
    assert answer["next_attempt_at"] is None
    assert len(receiver.asked) == 1


def test_a_test_by_e_mail_is_an_e_mail(tenant, api, settings):
    settings.EMAIL_HOST = "mail.example.com"
    row = make_destination(tenant, type="email", address="a@example.com")
    assert api.post(f"alert-destinations/{row.pk}/test").json()["status"] == "sent"
    assert [sent.to for sent in mail.outbox] == [["a@example.com"]]


def test_two_tests_are_two_messages(tenant, api, settings):
    with receiving(settings) as receiver:
        row = make_destination(tenant, url=receiver.url)
        ids = {api.post(f"alert-destinations/{row.pk}/test").json()["id"] for _ in range(2)}
    assert len(receiver.asked) == len(ids) == 2


def test_who_may_only_read_sends_no_test(tenant, settings):
    reader = Api(make_key(tenant, ["organisation_settings.read"], key_type=ORGANISATION_KEY).shown_once())
    with receiving(settings) as receiver:
        row = make_destination(tenant, url=receiver.url)
        assert reader.get(f"alert-destinations/{row.pk}").status_code == 200
        assert reader.post(f"alert-destinations/{row.pk}/test").status_code == 403
    assert receiver.asked == []


def test_a_key_of_a_workspace_sees_neither_destinations_nor_deliveries(tenant):
    make_destination(tenant, tenant.workspace)
    api = Api(make_key(tenant, ["workspaces.update", "logs.view"], key_type=WORKSPACE_SERVICE_KEY).shown_once())
    assert [api.get(path).status_code for path in ("alert-destinations", "alert-deliveries")] == [403, 403]


def test_another_organisation_sees_no_delivery_and_sends_no_test(tenant, settings):
    stranger = Api(make_tenant("Other").admin_key)
    with receiving(settings) as receiver:
        row = make_destination(tenant, url=receiver.url)
        spend(make_budget(tenant, threshold=None), 100 * NANO)
        dispatch()
        assert stranger.post(f"alert-destinations/{row.pk}/test").status_code == 404
    assert receiver.asked == []
    delivery = Delivery.objects.get()
    assert stranger.get(f"alert-deliveries/{delivery.pk}").status_code == 404
    assert stranger.get("alert-deliveries").json()["total"] == 0
    assert stranger.get("alert-deliveries", destination_id=str(row.pk)).json()["total"] == 0


def test_deliveries_are_found_by_where_they_went_and_what_came_of_them(tenant, api):
    first, _ = make_destination(tenant), make_destination(tenant, type="email", address="a@example.com")
    spend(make_budget(tenant, threshold=None), 100 * NANO)
    dispatch()
    Delivery.objects.filter(destination=first).update(status="failed", fault="the answer has status 500")
    for query in ({"destination_id": str(first.pk)}, {"channel": "webhook"}, {"status": "failed"}):
        (row,) = api.get("alert-deliveries", **query).json()["data"]
        assert (row["destination_id"], row["status"], row["event"]) == (str(first.pk), "failed", "budget.exhausted")
        assert (row["fault"], row["address"]) == ("the answer has status 500", "https://hooks.example.com/****")
    assert api.get("alert-deliveries", destination_id="nobody").json()["total"] == 0
    assert api.get("alert-deliveries", status="lost").status_code == 400


@pytest.mark.parametrize("path", ["alert-destinations", "alert-deliveries"])
def test_a_longer_list_costs_no_more_queries(tenant, api, path, django_assert_max_num_queries):
    for _ in range(5):
        make_destination(tenant)
    spend(make_budget(tenant), 100 * NANO)
    dispatch()
    with django_assert_max_num_queries(8):
        assert api.get(path).json()["total"] >= 5
