"""Lists in OpenAI's pages, whatever pages a provider has."""

from types import SimpleNamespace

import orjson
import pytest

from data_plane.pipeline.bulk.told import MAX_PAGES, shown_list, told_object
from shared.errors import BadRequest


def exchange(query=""):
    return SimpleNamespace(
        call=SimpleNamespace(target=f"/v1/files{query}"), answer_body=None, answer_json=b"", answer_bytes=0
    )


def pages(total, size):
    """Return what gives objects 0, 1, … so many at a time, and the counts that it was asked for."""
    asked = []

    async def fetch(count, token):
        asked.append(count)
        first = int(token or 0)
        end = min(first + min(count, size), total)
        return [{"id": f"o{number}"} for number in range(first, end)], str(end) if end < total else None

    return fetch, asked


async def listed(query, total=5, size=2):
    fetch, asked = pages(total, size)
    seen = exchange(query)
    done = await shown_list(fetch, seen)
    told = orjson.loads(done.answer.body)
    assert (seen.answer_body, seen.answer_bytes) == (told, len(done.answer.body))
    return [item["id"] for item in told["data"]], told["has_more"], asked


@pytest.mark.parametrize(("query", "ids", "more"), [
    ("", ["o0", "o1", "o2", "o3", "o4"], False), ("?limit=2", ["o0", "o1"], True), ("?limit=5", ["o0", "o1", "o2", "o3", "o4"], False),
    ("?after=o2", ["o3", "o4"], False), ("?after=o1&limit=1", ["o2"], True), ("?after=o4", [], False), ("?after=o9", [], False),
])  # fmt: skip
async def test_a_page_begins_behind_after_and_ends_at_its_limit(query, ids, more):
    assert (await listed(query))[:2] == (ids, more)


@pytest.mark.parametrize("limit", ["0", "-1", "x", "1001", "9999999", "%D9%A3"])
async def test_a_limit_that_is_none_is_refused(limit):
    with pytest.raises(BadRequest) as refused:
        await listed(f"?limit={limit}")
    assert refused.value.path == "limit"


async def test_a_search_for_after_ends():
    _, more, asked = await listed("?after=nowhere", total=10_000, size=1)
    assert (more, len(asked)) == (True, MAX_PAGES)


def test_an_object_is_noted_as_it_is_told():
    seen = exchange()
    done = told_object({"id": "é"}, seen)
    assert (done.answer.status, done.relay, seen.answer_json) == (200, None, done.answer.body)
