"""The gateways' page shows who serves the organisation and what each gateway last said."""

from datetime import timedelta

import pytest
from django.utils import timezone

from control_plane.gateways.models import GatewayGroup
from control_plane.gateways.services import take_status
from shared.wire import ReportedVersion, StatusFault, StatusReport
from tests.control_plane.factories import make_tenant
from tests.control_plane.ui.page_kit import Page, owner_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant():
    return make_tenant()


def make_group(tenant, **fields):
    keys = {"identity_pub": b"i" * 32, "sealing_pub": b"s" * 32, "sealing_kid": "kid"}
    usual = {"organisation": tenant.organisation, "name": "eu-west", "seq": 12, "head_signed_at": timezone.now()}
    return GatewayGroup.objects.create(**keys, **{**usual, **fields})


def report(**fields):
    usual = {
        "instance": "gw-1",
        "boot_id": "b",
        "state": "serving",
        "active": ReportedVersion(1, 12),
        "head_age_s": 4.2,
    }
    return StatusReport(**{**usual, **fields})


def text_for(tenant):
    return Page(owner_of(tenant).get("/gateways")).text


def test_a_current_gateway_is_shown_with_its_figures(tenant):
    take_status(make_group(tenant).pk, report(spool_bytes=3 * 1024 * 1024, dropped={"queue_full": 2, "disk": 3}))
    text = text_for(tenant)
    assert "eu-west" in text
    assert "gw-1 serving version 12, Current 4 s 3.0 MiB 5" in text


def test_a_gateway_that_lags_or_fails_says_so(tenant):
    fault = StatusFault(code="blob_missing", detail="configs")
    take_status(make_group(tenant).pk, report(active=ReportedVersion(1, 9), last_error=fault))
    text = text_for(tenant)
    assert "version 9, Behind" in text
    assert "blob_missing configs" in text


def test_a_gateway_not_heard_of_is_silent(tenant):
    group = make_group(tenant)
    take_status(group.pk, report())
    group.instances.update(last_seen_at=timezone.now() - timedelta(hours=1))
    assert "gw-1 Silent" in text_for(tenant)


def test_what_a_gateway_says_is_escaped(tenant):
    evil = "<script>x</script>"
    take_status(make_group(tenant).pk, report(instance=evil, state=evil, last_error=StatusFault(code=evil)))
    assert b"<script" not in owner_of(tenant).get("/gateways").content


def test_another_organisations_gateways_are_not_shown(tenant):
    make_group(make_tenant(), name="theirs")
    assert "theirs" not in text_for(tenant)


def test_without_gateways_the_page_says_how_to_get_one(tenant):
    assert "create_enrolment" in text_for(tenant)
