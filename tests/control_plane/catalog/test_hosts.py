"""Where a provider's key may be sent."""

import pytest

from control_plane.catalog import hosts
from control_plane.catalog.custom_providers import create_custom_provider
from control_plane.catalog.hosts import allowed_hosts, checked_address, checked_custom_host
from control_plane.core.errors import Invalid
from shared.catalog.load import ProviderEntry
from tests.control_plane.factories import make_tenant


def test_the_host_of_the_provider_is_the_only_one():
    assert allowed_hosts("openai", {}) == ("api.openai.com",)


def test_a_custom_host_replaces_the_providers_own():
    assert allowed_hosts("openai", {"custom_host": "https://LLM.example.com:8443/v1"}) == ("llm.example.com",)


def test_a_provider_without_an_address_needs_a_custom_host(monkeypatch):
    monkeypatch.setattr(hosts, "providers", lambda: {"mine": ProviderEntry("Mine")})
    assert allowed_hosts("mine", {"custom_host": "https://a.example"}) == ("a.example",)
    with pytest.raises(Invalid, match="custom_host is required"):
        allowed_hosts("mine", {})


def test_an_unknown_provider_is_refused_with_its_name_cut_short():
    with pytest.raises(Invalid) as raised:
        allowed_hosts("x" * 5000, {})
    assert len(str(raised.value.detail)) < 200


@pytest.mark.parametrize("nothing", [None, ""])
def test_no_custom_host_is_none(nothing):
    assert checked_custom_host(nothing) is None


def test_a_custom_host_loses_its_trailing_slash():
    assert checked_custom_host("https://llm.example.com/v1/") == "https://llm.example.com/v1"


@pytest.mark.django_db
def test_the_host_of_a_custom_provider_is_that_of_its_organisation():
    tenant, other = make_tenant(), make_tenant()
    create_custom_provider(tenant.actor, {"name": "n", "slug": "acme", "base_url": "https://Api.acme.example:8443/v1"})
    assert allowed_hosts("acme", {}, tenant.organisation.pk) == ("api.acme.example",)
    assert allowed_hosts("acme", {"custom_host": "https://own.example"}, tenant.organisation.pk) == ("own.example",)
    with pytest.raises(Invalid, match="custom one"):
        allowed_hosts("acme", {}, other.organisation.pk)


def test_an_address_that_may_not_be_used_is_refused_with_the_name_of_its_field():
    with pytest.raises(Invalid, match="base_url: must not hold credentials"):
        checked_address("https://user:word@acme.example", "base_url")


def test_a_key_may_be_sent_to_the_services_of_its_cloud_that_the_account_says_enough_for():
    assert allowed_hosts("bedrock", {"aws_region": "eu-west-1"}) == (
        "bedrock-runtime.eu-west-1.amazonaws.com", "bedrock.eu-west-1.amazonaws.com", "s3.eu-west-1.amazonaws.com",
    )  # fmt: skip
    assert allowed_hosts("bedrock", {"custom_host": "https://own.example"}) == ("own.example",)
    vertex = allowed_hosts("vertex-ai", {"vertex_region": "global", "vertex_project_id": "p"})
    assert vertex == (
        "aiplatform.googleapis.com", "oauth2.googleapis.com", "storage.googleapis.com", "discoveryengine.googleapis.com",
    )  # fmt: skip
