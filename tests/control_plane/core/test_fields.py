"""Fields that several apps accept."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone
from rest_framework.serializers import ValidationError

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


@pytest.mark.parametrize(("given", "kept"), [({"a": 1}, {"a": 1}), ([{"a": 1}], {"a": 1}), ([], None), ({}, None)])
def test_usage_limits_are_one_object(given, kept):
    assert UsageLimitsField().run_validation(given) == kept


@pytest.mark.parametrize("given", [[{}, {}], "x", 3])
def test_other_usage_limits_are_refused(given):
    with pytest.raises(ValidationError):
        UsageLimitsField().run_validation(given)


@pytest.mark.parametrize(("given", "kept"), [({"a": 1}, [{"a": 1}]), ([{"a": 1}], [{"a": 1}]), ([], [])])
def test_rate_limits_are_a_list(given, kept):
    assert RateLimitsField().run_validation(given) == kept


def test_other_rate_limits_are_refused():
    with pytest.raises(ValidationError):
        RateLimitsField().run_validation(["x"])


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
