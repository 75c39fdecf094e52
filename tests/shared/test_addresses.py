from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.addresses import AddressIncomplete, fill_address, lies_at, places

TEMPLATE = "https://{azure_resource_name}.openai.azure.com/openai/{azure_deployment_id}"


def test_settings_are_put_in_their_places():
    settings = {"azure_resource_name": "my-res", "azure_deployment_id": "gpt-4o.v1", "other": "x"}
    assert fill_address(TEMPLATE, settings) == "https://my-res.openai.azure.com/openai/gpt-4o.v1"
    assert places(TEMPLATE) == ("azure_resource_name", "azure_deployment_id")


def test_an_address_without_places_is_itself():
    assert fill_address("https://api.openai.com/v1", {}) == "https://api.openai.com/v1"


@pytest.mark.parametrize("value", [None, "", 7])
def test_a_missing_setting_is_named(value):
    with pytest.raises(AddressIncomplete) as raised:
        fill_address(TEMPLATE, {"azure_resource_name": value, "azure_deployment_id": "d"})
    assert raised.value.setting == "azure_resource_name"


@pytest.mark.parametrize(
    "value",
    [
        "evil.example/x",
        "a@b",
        "a:80",
        "a#b",
        "a?b",
        "../x",
        "a..b",
        "-a",
        "a.",
        ".",
        "ä",
        "a b",
        "a\n",
        "a%2f",
        "x" * 200,
    ],
)
def test_a_setting_cannot_lead_elsewhere(value):
    with pytest.raises(AddressIncomplete):
        fill_address(TEMPLATE, {"azure_resource_name": value, "azure_deployment_id": "d"})


@given(st.text(max_size=30))
def test_whatever_is_put_in_the_host_keeps_its_domain(value):
    try:
        filled = fill_address(TEMPLATE, {"azure_resource_name": value, "azure_deployment_id": "d"})
    except AddressIncomplete:
        return
    assert (urlsplit(filled).hostname or "").endswith(".openai.azure.com")
    assert urlsplit(filled).path == "/openai/d"


@pytest.mark.parametrize(
    ("region", "filled"), [("eu-1", "https://eu-1-api.example/eu-1"), ("global", "https://api.example/global")]
)
def test_a_place_with_a_dash_is_empty_for_what_lives_in_no_region(region, filled):
    template = "https://{vertex_region-}api.example/{vertex_region}"
    assert fill_address(template, {"vertex_region": region}) == filled
    assert set(places(template)) == {"vertex_region"}


def test_a_region_is_needed_also_in_a_place_with_a_dash():
    with pytest.raises(AddressIncomplete) as raised:
        fill_address("https://{vertex_region-}api.example", {})
    assert raised.value.setting == "vertex_region"


@pytest.mark.parametrize(("address", "name", "is_there"), [
    ("https://r.openai.azure.com/openai/d", "r", True), ("https://r.openai.azure.com/openai/d/", "r", True),
    ("https://r.openai.azure.com/openai/d/x", "r", False), ("https://s.openai.azure.com/openai/d", "r", False),
    ("https://r.openai.azure.com/openai/d", None, False), ("https://r.openai.azure.com/openai/d", "a/b", False),
])  # fmt: skip
def test_an_address_is_the_accounts_own_when_its_settings_make_it(address, name, is_there):
    assert lies_at(address, TEMPLATE, {"azure_resource_name": name, "azure_deployment_id": "d"}) is is_there
