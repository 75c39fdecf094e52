"""Fields that several apps accept."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone
from rest_framework.serializers import Serializer, ValidationError

from control_plane.core.errors import sentences
from control_plane.core.fields import (
    CredentialField,
    MetadataField,
    RateLimitsField,
    SlugField,
    UsageLimitsField,
    future,
    iso,
    slug_of,
)
from control_plane.core.limits import KEY_UNITS


def test_a_credential_is_a_secret_from_the_first_moment():
    secret = CredentialField().run_validation(" sk-plain ")
    assert "sk-plain" not in repr(secret)
    assert secret.reveal() == "sk-plain"


@pytest.mark.parametrize("given", ["", "  ", 7, None, [], "a\nb", "a\x7fb", "x" * 40_000])
def test_a_credential_that_cannot_travel_in_a_header_is_refused(given):
    with pytest.raises(ValidationError):
        CredentialField().run_validation(given)


@pytest.mark.parametrize("given", ["a b", "a/b", "ä", "", "a" * 256, "a\nb"])
def test_a_slug_with_other_characters_is_refused(given):
    with pytest.raises(ValidationError):
        SlugField().run_validation(given)


def test_a_slug_may_have_what_the_contract_allows():
    assert SlugField().run_validation("Team_A-1") == "Team_A-1"


COST = {"type": "cost", "credit_limit": 10}
RATE = {"type": "requests", "unit": "rpm", "value": 5}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (COST, COST), ([COST], COST), ([], None), ({}, None), ({"credit_limit": None, "type": None}, None),
        ({"credit_limit": 10.0, "alert_threshold": 8.5}, {**COST, "alert_threshold": 8.5}),
        ({**COST, "alert_threshold": None, "periodic_reset": None}, COST),
        ({**COST, "periodic_reset_days": 7.0, "next_usage_reset_at": "2030-01-31T02:00:00+02:00"},
         {**COST, "periodic_reset_days": 7, "next_usage_reset_at": "2030-01-31T00:00:00Z"}),
    ],
)  # fmt: skip
def test_usage_limits_are_one_object_of_what_was_said(given, kept):
    assert UsageLimitsField().run_validation(given) == kept


@pytest.mark.parametrize("given", [[COST, COST], "x", 3, ["x"], {"a": 1}, {"credit_limit": 0}, {"type": "cost"}])
def test_other_usage_limits_are_refused(given):
    with pytest.raises(ValidationError):
        UsageLimitsField().run_validation(given)


@pytest.mark.parametrize(
    ("given", "kept"), [(RATE, [RATE]), ([RATE], [RATE]), ([], []), ([{**RATE, "value": 5.0}], [RATE])]
)
def test_rate_limits_are_a_list(given, kept):
    found = RateLimitsField().run_validation(given)
    assert found == kept
    assert all(isinstance(limit["value"], int) for limit in found)


@pytest.mark.parametrize("given", [["x"], "x", [RATE, RATE], [{"value": 1}], [{**RATE, "unit": "rps"}]])
def test_other_rate_limits_are_refused(given):
    with pytest.raises(ValidationError):
        RateLimitsField().run_validation(given)


def test_a_fault_in_a_limit_is_told_with_its_path():
    class Limited(Serializer):
        usage_limits = UsageLimitsField()
        rate_limits = RateLimitsField(units=KEY_UNITS)

    given = {
        "usage_limits": {"credit_limit": 10, "alert_threshold": 10},
        "rate_limits": [{**RATE, "unit": "rps"}, {**RATE, "unit": "rpy"}],
    }
    with pytest.raises(ValidationError) as raised:
        Limited(data=given).is_valid(raise_exception=True)
    assert sentences(raised.value.detail) == [
        "usage_limits.alert_threshold: must be less than credit_limit",
        "rate_limits.1.unit: must be one of: rps, rpm, rph, rpd, rpw",
    ]


@pytest.mark.parametrize("given", [{"a": 1}, {"a": None}, {"a": {}}, [], "x", {"a" * 129: "x"}, {"a": "x" * 1025}])
def test_metadata_that_is_not_text_to_text_is_refused(given):
    with pytest.raises(ValidationError):
        MetadataField().run_validation(given)


def test_a_moment_of_expiry_lies_in_the_future():
    future(timezone.now() + timedelta(minutes=1))
    with pytest.raises(ValidationError):
        future(timezone.now())


def test_moments_are_written_in_utc():
    assert iso(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) == "2026-01-02T03:04:05Z"
    assert iso(None) is None


@pytest.mark.parametrize(("name", "slug"), [("Team A!", "team-a"), ("日本", "provider"), ("", "provider")])
def test_a_slug_is_made_of_a_name(name, slug):
    assert slug_of(name, "provider") == slug
