"""The catalogue that comes with a release."""

import pytest

from shared.catalog.load import operations, providers, usual_operations
from shared.hosts import host_of


def test_the_providers_of_this_version_are_in_the_catalogue():
    assert {"openai", "anthropic"} <= set(providers())


@pytest.mark.parametrize("provider", sorted(providers()))
def test_a_providers_own_address_is_https_and_has_a_host(provider):
    base_url = providers()[provider].base_url
    assert base_url is None or (base_url.startswith("https://") and host_of(base_url))


def test_the_catalogue_cannot_be_changed_by_its_readers():
    with pytest.raises(TypeError):
        providers()["mine"] = None
    with pytest.raises(TypeError):
        operations()["mine"] = "/mine"


def test_what_a_custom_provider_may_have_is_in_the_catalogue():
    assert set(usual_operations()) < set(operations())
    assert operations()["embed"] == "/embeddings"
    assert all(path.startswith("/") for path in operations().values())
