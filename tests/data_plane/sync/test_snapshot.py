import asyncio

import pytest

from data_plane.sync.snapshot import Holder, build_snapshot
from shared.errors import InvalidConfig, Quarantined
from shared.own_prices import PricedCall
from shared.schema.rows import CustomProviderRow, IntegrationPricesRow, OwnPrices
from tests.data_plane import kit


def added(slug="acme", **fields):
    made = {"id": f"{kit.ORG}/{slug}", "org": kit.ORG, "slug": slug, "base_url": "https://api.acme.example/v1"}
    return CustomProviderRow(**{**made, **fields})


def test_a_snapshot_finds_each_kind_of_row():
    made = kit.snapshot(configs=[kit.config("pc-1", {"provider": "@main"})])
    assert made.api_keys.get(str(kit.KEY_ID)).ws == kit.WS
    assert made.virtual_keys.get(f"{kit.WS}/main").provider == "openai"
    assert made.plan(kit.WS, "pc-1").slug == "pc-1"
    assert made.price_book.find("openai", "gpt-4o")[0].id == "gpt"
    assert made.name == "1.1"


def test_a_config_of_another_workspace_is_not_found():
    assert kit.snapshot(configs=[kit.config("pc-1", {"provider": "@main"})]).plan("ws-2", "pc-1") is None


def test_a_saved_config_that_cannot_run_says_why():
    made = kit.snapshot(configs=[kit.config("pc-1", {"provider": "openai", "cache": {"mode": "simple"}})])
    with pytest.raises(InvalidConfig):
        made.plan(kit.WS, "pc-1")


def test_a_section_that_did_not_change_keeps_its_decoded_rows():
    first = kit.snapshot()
    second = kit.snapshot(2, previous=first, configs=[kit.config("pc-1", {"provider": "@main"})])
    assert second.api_keys is first.api_keys
    assert second.price_book is first.price_book
    assert second.configs is not first.configs


async def test_a_waiting_request_gets_the_next_snapshot():
    holder, first, second = Holder(), kit.snapshot(), kit.snapshot(2)
    holder.swap(first)
    waiting = asyncio.create_task(holder.wait_newer(first, 5.0))
    await asyncio.sleep(0)
    holder.swap(second)
    assert await waiting is second


async def test_waiting_ends_without_a_newer_snapshot():
    holder, first = Holder(), kit.snapshot()
    holder.swap(first)
    assert await holder.wait_newer(first, 0.01) is None


def test_the_same_revocations_again_are_no_change():
    holder = Holder()
    holder.deny(frozenset({"k:1"}))
    holder.deny(frozenset({"k:1"}))
    assert (holder.denied, holder.denied_changes) == ({"k:1"}, 1)


def test_a_provider_that_the_organisation_added_is_built_once():
    made = kit.snapshot(custom_providers=[added()])
    provider = made.custom_provider(kit.ORG, "acme")
    assert (provider.id, provider.is_custom) == ("acme", True)
    assert made.custom_provider(kit.ORG, "acme") is provider


def test_a_provider_that_another_organisation_added_is_not_found():
    made = kit.snapshot(custom_providers=[added()])
    assert (made.custom_provider("org-2", "acme"), made.custom_provider(kit.ORG, "other")) == (None, None)


def test_a_provider_that_did_not_change_is_not_built_again():
    first = kit.snapshot(custom_providers=[added()])
    provider = first.custom_provider(kit.ORG, "acme")
    same = kit.snapshot(2, previous=first, custom_providers=[added()], configs=[kit.config("pc-1", {})])
    changed = kit.snapshot(3, previous=same, custom_providers=[added(name="Acme")])
    assert same.custom_provider(kit.ORG, "acme") is provider
    assert changed.custom_provider(kit.ORG, "acme").label == "Acme"


def test_a_provider_that_cannot_be_built_costs_only_who_names_it():
    made = kit.snapshot(custom_providers=[added(), added("bad", headers={"host": "x"})])
    with pytest.raises(Quarantined):
        made.custom_provider(kit.ORG, "bad")
    assert made.custom_provider(kit.ORG, "acme") is not None


def test_a_bundle_without_custom_providers_and_one_with_a_section_of_a_later_version_are_both_read():
    assert kit.snapshot().custom_provider(kit.ORG, "acme") is None
    manifest, blobs = kit.bundle(1, something_later=[added()])
    assert "something_later" in manifest.sections
    assert build_snapshot(manifest, blobs, kit.opener()).virtual_keys.get(f"{kit.WS}/main") is not None


def test_what_was_found_of_prices_stays_known_as_long_as_no_price_changed():
    own = IntegrationPricesRow("int-1", kit.ORG, "main", {"m": (OwnPrices(0, {"input": 1}),)})
    first = kit.snapshot(integration_prices=[own])
    same = kit.snapshot(2, previous=first, integration_prices=[own], configs=[kit.config("pc-1", {})])
    assert (same.price_book, same.own_prices) == (first.price_book, first.own_prices)
    said = kit.snapshot(3, previous=same, integration_prices=[])
    assert said.price_book is same.price_book
    assert said.own_prices is not same.own_prices
    call = PricedCall("openai", "m", integration="int-1")
    assert (same.own_prices.find(call).is_own, said.own_prices.find(call)) == (True, None)
    listed = kit.snapshot(4, previous=said, integration_prices=[], prices=[])
    assert listed.own_prices is not said.own_prices
    assert listed.own_prices.find(PricedCall("openai", "gpt-4o")) is None
