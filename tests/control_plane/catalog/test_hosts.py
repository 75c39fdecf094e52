"""Where a provider's key may be sent."""

import pytest

from control_plane.catalog import hosts
from control_plane.catalog.hosts import allowed_hosts, checked_custom_host
from control_plane.core.errors import Invalid
from shared.catalog.load import ProviderEntry


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
