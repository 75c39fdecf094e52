"""Enrolment makes exactly one group of a token, and reports are shown only to those whom the gateway serves."""

import base64
from datetime import timedelta
from threading import Barrier, Thread

import pytest
from django.db import connections
from django.utils import timezone

from control_plane.core.models import OutboxEvent
from control_plane.gateways.models import EnrolmentToken, GatewayGroup, GatewayInstance, SealedSecret, SigningRoot
from control_plane.gateways.services import create_enrolment, enrol, gateway_overview, take_status
from control_plane.gateways.signing import SigningKeysMissing, create_root, first_root_digest
from control_plane.vault.services import store_secret
from shared.crypto.sealing import sealing_kid
from shared.errors import BadRequest, Unauthenticated
from shared.redact import Secret
from shared.schema.rows import SECTIONS
from shared.wire import STOPPED, ReportedVersion, StatusFault, StatusReport
from tests.control_plane.factories import make_tenant
from tests.control_plane.gateways.publisher_kit import GroupKeys, make_group

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant():
    return make_tenant()


@pytest.fixture(autouse=True)
def _root(db, folder):
    create_root(folder)


def new_token(tenant, name="eu", **given):
    return create_enrolment(tenant.organisation, name, **given).shown_once()


def report(**fields):
    return StatusReport(**{"instance": "gw-1", "boot_id": "b", "state": "ACTIVE", **fields})


def test_a_token_is_stored_as_a_hash_and_shown_once(tenant):
    made = create_enrolment(tenant.organisation, "eu")
    text = made.shown_once()
    assert text.startswith("ghe-")
    assert len(text) > 40
    row = EnrolmentToken.objects.get()
    assert text not in str(row.__dict__)
    assert text not in f"{made} {made!r}"


def test_enrolment_makes_a_group_with_its_keys_and_names_the_root(tenant):
    secret = store_secret(tenant.organisation, Secret("sk-there-before"), ("api.openai.com",))
    keys = GroupKeys()
    answer = enrol(keys.ask(new_token(tenant, serves_all=True), capabilities=("openai",)))
    group = GatewayGroup.objects.get()
    assert (answer.org, answer.group, answer.root_sha256) == (
        str(tenant.organisation.pk),
        str(group.pk),
        first_root_digest(),
    )
    assert (group.name, group.serves_all, group.status, group.capabilities) == ("eu", True, "active", ["openai"])
    assert (bytes(group.identity_pub), bytes(group.sealing_pub)) == (keys.identity_pub, keys.sealing_pub)
    assert group.sealing_kid == sealing_kid(keys.sealing_pub)
    assert SealedSecret.objects.get().secret_id == secret.pk
    assert OutboxEvent.objects.filter(organisation=tenant.organisation).latest("created_at").sections == sorted(
        SECTIONS
    )


def test_the_name_is_the_gateways_own_when_the_token_gives_none(tenant):
    enrol(GroupKeys().ask(new_token(tenant, ""), group_name="own-name"))
    assert GatewayGroup.objects.get().name == "own-name"


def test_a_lost_answer_is_given_again_to_the_same_keys_even_after_the_tokens_time(tenant):
    keys, token = GroupKeys(), new_token(tenant)
    first = enrol(keys.ask(token))
    EnrolmentToken.objects.update(expires_at=timezone.now() - timedelta(days=1))
    assert enrol(keys.ask(token)) == first
    assert GatewayGroup.objects.count() == 1


def test_a_used_token_is_refused_to_other_identity_keys(tenant):
    token = new_token(tenant)
    enrol(GroupKeys().ask(token))
    with pytest.raises(Unauthenticated, match="has been used"):
        enrol(GroupKeys().ask(token))
    assert GatewayGroup.objects.count() == 1


def test_a_used_token_is_refused_to_the_same_identity_with_another_sealing_key(tenant):
    keys, token = GroupKeys(), new_token(tenant)
    enrol(keys.ask(token))
    keys.sealing_pub = GroupKeys().sealing_pub
    with pytest.raises(Unauthenticated, match="has been used"):
        enrol(keys.ask(token))


def test_an_expired_token_is_refused(tenant):
    token = new_token(tenant, lifetime=timedelta(seconds=-1))
    with pytest.raises(Unauthenticated, match="expired"):
        enrol(GroupKeys().ask(token))
    assert GatewayGroup.objects.count() == 0


@pytest.mark.parametrize("token", ["", "ghe-unknown", "ghe-\x00"])
def test_an_unknown_token_is_refused(tenant, token):
    new_token(tenant)
    with pytest.raises(Unauthenticated, match="not valid"):
        enrol(GroupKeys().ask(token))


@pytest.mark.parametrize("name", ["identity_pub", "sealing_pub"])
@pytest.mark.parametrize(
    "text", ["", "no base64!", base64.b64encode(b"x" * 31).decode(), base64.b64encode(b"x" * 33).decode(), "ä"]
)
def test_a_key_that_cannot_be_one_is_refused_and_the_token_stays_good(tenant, name, text):
    token = new_token(tenant)
    with pytest.raises(BadRequest, match=name):
        enrol(GroupKeys().ask(token, **{name: text}))
    assert enrol(GroupKeys().ask(token)).group


@pytest.mark.parametrize("name", ["x" * 121, "nul\x00"])
def test_a_group_name_that_cannot_be_stored_is_refused(tenant, name):
    with pytest.raises(BadRequest, match="group_name"):
        enrol(GroupKeys().ask(new_token(tenant, ""), group_name=name))


def test_without_a_root_nothing_is_enrolled_and_the_token_stays_good(tenant):
    token = new_token(tenant)
    SigningRoot.objects.all().delete()
    with pytest.raises(SigningKeysMissing):
        enrol(GroupKeys().ask(token))
    assert EnrolmentToken.objects.get().used_at is None


def redeem_at_once(asks):
    """Redeem in one thread each, all at the same moment; return the outcomes in order."""
    barrier, outcomes = Barrier(len(asks)), [None] * len(asks)

    def redeem(number, ask):
        barrier.wait(timeout=30)
        try:
            outcomes[number] = enrol(ask)
        except Unauthenticated as refused:
            outcomes[number] = refused
        finally:
            connections.close_all()

    threads = [Thread(target=redeem, args=pair) for pair in enumerate(asks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    return outcomes


@pytest.mark.django_db(transaction=True)
def test_fifty_concurrent_redemptions_with_different_keys_make_exactly_one_group():
    tenant = make_tenant()
    token = new_token(tenant)
    asks = [GroupKeys().ask(token) for _ in range(50)]
    outcomes = redeem_at_once(asks)
    won = [(ask, answer) for ask, answer in zip(asks, outcomes, strict=True) if not isinstance(answer, Unauthenticated)]
    ((ask, answer),) = won
    group = GatewayGroup.objects.get()
    assert answer.group == str(group.pk)
    assert base64.b64encode(bytes(group.identity_pub)).decode() == ask.identity_pub


@pytest.mark.django_db(transaction=True)
def test_concurrent_redemptions_with_the_same_keys_are_all_answered_alike():
    tenant = make_tenant()
    ask = GroupKeys().ask(new_token(tenant))
    outcomes = redeem_at_once([ask] * 10)
    assert {answer.group for answer in outcomes} == {str(GatewayGroup.objects.get().pk)}


def test_a_report_is_stored_once_for_each_instance_and_the_newest_counts(tenant):
    group = make_group(tenant)
    take_status(group.pk, report(workers=1))
    first_seen = GatewayInstance.objects.get().first_seen_at
    take_status(group.pk, report(workers=2))
    take_status(group.pk, report(instance="gw-2"))
    take_status(make_group(tenant).pk, report())
    row = GatewayInstance.objects.get(group=group, instance="gw-1")
    assert (row.report["workers"], row.first_seen_at) == (2, first_seen)
    assert row.last_seen_at > first_seen
    assert GatewayInstance.objects.count() == 3


def test_a_report_is_answered_with_how_many_of_the_group_reported_in_the_last_three_minutes(tenant):
    group, other = make_group(tenant), make_group(tenant)
    answers = [take_status(group.pk, report(instance=f"gw-{number}")).gateways for number in (1, 2, 3, 3)]
    assert answers == [1, 2, 3, 3]
    assert take_status(other.pk, report()).gateways == 1
    GatewayInstance.objects.filter(group=group, instance="gw-1").update(
        last_seen_at=timezone.now() - timedelta(minutes=3, seconds=1)
    )
    assert take_status(group.pk, report(instance="gw-2")).gateways == 2
    # One that has stopped counts at once no more, and again when it is back.
    assert take_status(group.pk, report(instance="gw-3", state=STOPPED)).gateways == 1
    assert take_status(group.pk, report(instance="gw-3")).gateways == 2


def test_a_gateway_that_has_stopped_is_not_shown_as_live(tenant):
    take_status(make_group(tenant).pk, report(state=STOPPED))
    assert gateway_overview(tenant.actor)[0].instances[0].is_live is False


def test_a_report_with_text_that_cannot_be_stored_is_refused(tenant):
    group = make_group(tenant)
    with pytest.raises(BadRequest):
        take_status(group.pk, report(last_error=StatusFault("schema_invalid", "nul \x00")))
    assert GatewayInstance.objects.count() == 0


def test_the_overview_shows_ones_own_groups_and_those_that_serve_all(tenant):
    other = make_tenant()
    make_group(tenant, name="mine")
    make_group(tenant, name="revoked", status="revoked")
    make_group(other, name="theirs")
    make_group(other, name="everyones", serves_all=True)
    assert [view.name for view in gateway_overview(tenant.actor)] == ["everyones", "mine"]
    assert [view.name for view in gateway_overview(other.actor)] == ["everyones", "theirs"]


def test_the_overview_shows_what_an_instance_said(tenant):
    group = make_group(tenant, seq=12, head_signed_at=timezone.now())
    fault = StatusFault("secret_open_failed", "row 7")
    take_status(group.pk, report(
        version="1.2", address="10.0.0.1:8787", workers=2, active=ReportedVersion(1, 12), persisted=ReportedVersion(1, 11),
        head_age_s=3.5, last_error=fault, quarantined=("c1",), spool_bytes=9, dropped={"disk": 2, "queue": 3},
    ))  # fmt: skip
    (view,) = gateway_overview(tenant.actor)
    (instance,) = view.instances
    assert (view.published_seq, view.published_at) == (12, group.head_signed_at)
    assert (instance.version, instance.address, instance.workers, instance.state) == (
        "1.2",
        "10.0.0.1:8787",
        2,
        "ACTIVE",
    )
    assert (instance.active_seq, instance.persisted_seq, instance.head_age_s) == (12, 11, 3.5)
    assert (instance.error, instance.quarantined, instance.spool_bytes, instance.dropped) == (
        "secret_open_failed row 7",
        ["c1"],
        9,
        5,
    )
    assert instance.is_current
    assert instance.is_live


@pytest.mark.parametrize(
    ("active", "published", "is_current"), [(11, 12, False), (12, 12, True), (13, 12, True), (0, 0, False)]
)
def test_an_instance_is_current_when_it_runs_what_was_published(tenant, active, published, is_current):
    take_status(make_group(tenant, seq=published).pk, report(active=ReportedVersion(1, active)))
    assert gateway_overview(tenant.actor)[0].instances[0].is_current is is_current


@pytest.mark.parametrize(("minutes", "is_live"), [(2, True), (4, False)])
def test_an_instance_is_live_for_three_minutes_after_its_report(tenant, minutes, is_live):
    take_status(make_group(tenant).pk, report())
    GatewayInstance.objects.update(last_seen_at=timezone.now() - timedelta(minutes=minutes))
    assert gateway_overview(tenant.actor)[0].instances[0].is_live is is_live


def test_the_instance_heard_of_last_comes_first(tenant):
    group = make_group(tenant)
    for name in ("early", "late"):
        take_status(group.pk, report(instance=name))
    assert [instance.instance for instance in gateway_overview(tenant.actor)[0].instances] == ["late", "early"]
