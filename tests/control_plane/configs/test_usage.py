"""Which configs would break without a custom provider."""

import pytest

from control_plane.catalog.custom_providers import create_custom_provider
from control_plane.configs.services import update_config
from control_plane.configs.usage import configs_naming, names_provider
from tests.control_plane.factories import make_config, make_tenant

NAMING = {"provider": "acme", "retry": {"attempts": 1}}


@pytest.mark.parametrize(("body", "found"), [
    ({"provider": "acme"}, True), ({"provider": "@acme"}, False), ({"provider": "acme-2"}, False), ({}, False), ([], False), (None, False),
    ({"targets": [{"provider": "openai"}, {"targets": [{"provider": "acme"}]}]}, True), ({"targets": {"provider": "acme"}}, False),
    ({"override_params": {"provider": "acme"}}, False), ({"targets": ["acme", {"provider": 7}]}, False),
])  # fmt: skip
def test_a_config_names_a_provider_in_itself_or_in_a_target_at_any_depth(body, found):
    assert names_provider(body, "acme") is found


@pytest.mark.django_db
def test_configs_are_asked_for_as_they_are_now_and_only_those_of_the_organisation():
    tenant, other = make_tenant(), make_tenant()
    provider = create_custom_provider(tenant.actor, {"name": "n", "slug": "acme", "base_url": "https://a.example"})
    used = make_config(tenant, body={"strategy": {"mode": "fallback"}, "targets": [{"provider": "acme"}]})
    make_config(tenant, body=NAMING, status="archived")
    make_config(other, body=NAMING)
    left = make_config(tenant, body=NAMING)
    update_config(tenant.actor, left, {"config": {**NAMING, "provider": "openai"}})
    assert configs_naming(provider) == [f"config {used.slug}"]
