from data_plane.core.types import CallFacts
from data_plane.providers.registry import load_providers
from shared.addresses import fill_address

PROVIDER = load_providers()["azure-openai"]


def test_a_resource_has_its_own_host():
    assert fill_address(PROVIDER.base_url, {"azure_resource_name": "res"}) == "https://res.openai.azure.com/openai"


def test_every_operation_is_found_below_the_deployment():
    facts = CallFacts("gpt-4o", False, True, {}, {"azure_api_version": "2024-10-21"})
    named = {name: operation.path_for(facts) for name, operation in PROVIDER.operations.items()}
    assert named.pop("responses") == "/responses?api-version=2024-10-21"
    assert named.pop("realtime") == "/realtime?api-version=2024-10-21"
    assert set(named.values()) == {
        f"/deployments/gpt-4o{path}?api-version=2024-10-21"
        for path in (
            "/chat/completions",
            "/completions",
            "/embeddings",
            "/images/generations",
            "/images/edits",
            "/audio/speech",
            "/audio/transcriptions",
            "/audio/translations",
        )
    }


def test_an_account_needs_no_key_when_it_signs_in_otherwise():
    assert not next(field for field in PROVIDER.credential if field.name == "key").required
    assert PROVIDER.hosts == ("https://login.microsoftonline.com",)
