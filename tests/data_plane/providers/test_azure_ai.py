import pytest

from data_plane.core.types import CallFacts
from data_plane.providers.azure_ai import DEFAULT_VERSION
from data_plane.providers.registry import load_providers

PROVIDER = load_providers()["azure-ai"]


@pytest.mark.parametrize(
    ("settings", "version"), [({}, DEFAULT_VERSION), ({"azure_api_version": "2025-01-01"}, "2025-01-01")]
)
def test_a_call_states_its_version(settings, version):
    facts = CallFacts("m", False, True, {}, settings)
    assert PROVIDER.operations["chat"].path_for(facts) == f"/chat/completions?api-version={version}"


def test_its_address_is_a_setting_of_the_account():
    assert (PROVIDER.base_url, PROVIDER.address_setting) == ("", "azure_foundry_url")


@pytest.mark.parametrize(("base_url", "url"), [
    ("https://n.services.ai.azure.com/models", "https://n.services.ai.azure.com/providers/cohere/v2/rerank"),
    ("https://n.services.ai.azure.com", "https://n.services.ai.azure.com/providers/cohere/v2/rerank"),
    ("https://rank.eastus2.models.ai.azure.com", "https://rank.eastus2.models.ai.azure.com/v2/rerank"),
])  # fmt: skip
def test_ranks_are_coheres_own_beside_the_other_models(base_url, url):
    facts = CallFacts("m", False, True, {}, {"azure_foundry_url": base_url})
    assert PROVIDER.operations["rerank"].url_for(base_url, facts) == url


@pytest.mark.parametrize("base_url", ["https://n.services.ai.azure.com/models", "https://n.services.ai.azure.com"])
def test_sessions_are_at_openais_own_paths_whatever_the_version_of_the_models(base_url):
    facts = CallFacts("gpt-realtime", False, True, {}, {"azure_api_version": "2024-05-01-preview"})
    operation = PROVIDER.operations["realtime"]
    assert operation.url_for(base_url, facts) == "https://n.services.ai.azure.com/openai/v1/realtime"
    assert (operation.is_socket, operation.encode({}, facts)) == (True, {"model": "gpt-realtime"})
