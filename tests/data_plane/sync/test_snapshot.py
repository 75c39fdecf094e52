import asyncio

import pytest

from data_plane.sync.snapshot import Holder
from shared.errors import InvalidConfig
from tests.data_plane import kit


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
