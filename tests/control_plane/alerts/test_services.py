"""Destinations are changed as a whole or not at all, and keep what is secret."""

import pytest

from control_plane.alerts import services
from control_plane.alerts.models import Destination
from control_plane.alerts.services import create_destination, delete_destination, update_destination
from control_plane.alerts.targets import target_of
from control_plane.core.errors import Conflict, Invalid, Missing
from control_plane.core.models import AuditEvent
from control_plane.core.sealed import rotate_sealed
from control_plane.orgs.services import delete_workspace
from shared.redact import Secret
from tests.control_plane.alerts.alert_kit import SECRET, make_destination
from tests.control_plane.factories import make_tenant, make_workspace

pytestmark = pytest.mark.django_db
HOOK = "https://hooks.example.com/x?t=4711"


@pytest.fixture
def tenant():
    return make_tenant()


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"type": "webhook"}, "url"),
        ({"type": "slack"}, "url"),
        ({"type": "email"}, "address"),
        ({"type": "email", "address": "a@example.com", "url": HOOK}, "url"),
        ({"type": "email", "address": "a@example.com", "secret": Secret("s")}, "secret"),
        ({"type": "webhook", "url": HOOK, "address": "a@example.com"}, "address"),
        ({"type": "slack", "url": HOOK, "secret": Secret("s")}, "secret"),
        ({"type": "slack", "url": HOOK, "address": "a@example.com"}, "address"),
        ({"type": "webhook", "url": ""}, "url"),
    ],
)
def test_what_does_not_fit_the_type_is_refused(tenant, given, field):
    with pytest.raises(Invalid, match=f"^{field}: "):
        create_destination(tenant.actor, None, {"name": "n", **given})
    assert not Destination.objects.exists()


@pytest.mark.parametrize(
    "url",
    ["http://hooks.example.com/x", "https://127.0.0.1/x", "https://10.0.0.1/", "https://169.254.169.254/latest",
     "https://localhost/x", "https://user:pw@hooks.example.com/", "https://hooks.example.com:6379/", "ftp://a.example",
     "https://[::1]/", "https://metadata.google.internal/", "https://2130706433/", "https://a.example/x#y", "x"],
)  # fmt: skip
def test_an_address_that_may_not_be_called_is_refused_new_or_changed(tenant, url):
    with pytest.raises(Invalid, match=r"^url: "):
        create_destination(tenant.actor, None, {"name": "n", "type": "webhook", "url": url})
    row = make_destination(tenant, url=HOOK)
    with pytest.raises(Invalid, match=r"^url: "):
        update_destination(tenant.actor, row, {"url": url})
    assert target_of(Destination.objects.get()).url.reveal() == HOOK


def test_a_change_keeps_what_it_does_not_name(tenant):
    row = make_destination(tenant, url=HOOK, secret=SECRET, events=["threshold"])
    changed = update_destination(tenant.actor, row, {"name": "other"})
    target = target_of(changed)
    assert (target.url.reveal(), target.secret.reveal()) == (HOOK, SECRET)
    assert (changed.name, changed.events, changed.is_signed) == ("other", ["threshold"], True)


def test_a_url_is_kept_when_it_comes_back_as_it_was_shown(tenant):
    row = make_destination(tenant, url=HOOK)
    changed = update_destination(tenant.actor, row, {"url": row.address})
    assert target_of(changed).url.reveal() == HOOK


def test_url_and_secret_can_be_changed_each_alone(tenant):
    row = make_destination(tenant, url=HOOK)
    signed = update_destination(tenant.actor, row, {"secret": Secret(SECRET)})
    assert (target_of(signed).url.reveal(), signed.is_signed) == (HOOK, True)
    moved = update_destination(tenant.actor, row, {"url": "https://new.example.com/y"})
    target = target_of(moved)
    assert (target.url.reveal(), target.secret.reveal()) == ("https://new.example.com/y", SECRET)
    assert moved.address == "https://new.example.com/****"


def test_an_address_of_e_mail_can_be_changed_and_not_taken_away(tenant):
    row = make_destination(tenant, type="email", address="a@example.com")
    assert update_destination(tenant.actor, row, {"address": "b@example.com"}).address == "b@example.com"
    with pytest.raises(Invalid, match=r"^address: "):
        update_destination(tenant.actor, row, {"address": None})


def test_the_type_stays(tenant):
    with pytest.raises(Invalid, match=r"^type: "):
        update_destination(tenant.actor, make_destination(tenant), {"type": "slack"})


def test_events_are_kept_in_one_order_and_once_each(tenant):
    row = make_destination(tenant, events=["exhausted", "threshold", "exhausted"])
    assert row.events == ["threshold", "exhausted"]


def test_there_are_so_many_and_no_more(tenant, monkeypatch):
    monkeypatch.setattr(services, "MOST_DESTINATIONS", 2)
    make_destination(make_tenant("Other"))
    for _ in range(2):
        make_destination(tenant)
    with pytest.raises(Conflict, match="2 alert destinations"):
        make_destination(tenant)


def test_what_is_gone_cannot_be_changed(tenant):
    row = make_destination(tenant)
    delete_destination(tenant.actor, Destination.objects.get())
    with pytest.raises(Missing):
        update_destination(tenant.actor, row, {"name": "x"})


def test_a_workspace_takes_its_destinations_along_and_the_trail_says_so(tenant):
    home = make_workspace(tenant, "Gone")
    row, kept = make_destination(tenant, home), make_destination(tenant)
    delete_workspace(tenant.actor, home)
    assert list(Destination.objects.all()) == [kept]
    assert AuditEvent.objects.filter(resource_id=str(row.pk), action="delete").exists()


def test_a_new_key_encrypts_destinations_too(tenant, settings):
    make_destination(tenant, url=HOOK, secret=SECRET)
    before = Destination.objects.get().ciphertext
    settings.FERNET_KEYS = ("bmV3LW5ldy1uZXctbmV3LW5ldy1uZXctbmV3LW5ldy0=", *settings.FERNET_KEYS)
    assert rotate_sealed() >= 1
    row = Destination.objects.get()
    assert row.ciphertext != before
    assert target_of(row).secret.reveal() == SECRET
