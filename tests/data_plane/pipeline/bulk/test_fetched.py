"""Content on its way from where a provider keeps it: several parts as one body, of Avro or of lines."""

import itertools

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_plane.core.types import CallFacts
from data_plane.pipeline.bulk.fetched import RECORDS_IN_A_ROW, FetchedBody
from data_plane.pipeline.bulk.wire import ProviderRefused
from data_plane.providers._bulk import Result
from data_plane.providers.base import ProviderFault
from shared.errors import UpstreamBroken, UpstreamInvalid
from tests.data_plane.pipeline.bulk.bulk_kit import lines_of
from tests.data_plane.providers.test__avro import avro

FACTS = CallFacts("m", False, True, {}, {})
SCHEMA = {"type": "record", "name": "r", "fields": [{"name": "n", "type": "int"}]}


class Files:
    """Reads results of one number each, odd ones only."""

    def result(self, record, facts):
        if record["n"] == 0:
            raise TypeError
        if record["n"] % 2 == 0:
            raise UpstreamInvalid("an even one")
        return Result(f"c{record['n']}", 200, {"model": facts.model})


class Part:
    def __init__(self, *pieces):
        self.pieces, self.closed = pieces, False

    async def chunks(self):
        for piece in self.pieces:
            yield piece

    def close(self):
        self.closed = True


def body_of(*parts, files=None):
    async def fetch(url):
        found = parts[int(url)]
        if isinstance(found, Exception):
            raise found
        return found

    return FetchedBody(fetch, parts[0], [str(number) for number in range(1, len(parts))], files=files, facts=FACTS)


def records(*numbers):
    return [{"n": number} for number in numbers]


def lines(*numbers):
    return b"".join(orjson.dumps(record) + b"\n" for record in records(*numbers))


async def test_parts_of_both_kinds_are_one_body_and_their_connections_are_given_back():
    first, second = Part(avro(SCHEMA, records(1, 2))), Part(lines(3), b'{"n"', b":4}")
    body = body_of(first, second)
    assert lines_of(await body.read(10_000)) == records(1, 2, 3, 4)
    assert (first.closed, second.closed) == (True, False)
    body.close()
    assert second.closed


@given(st.lists(st.integers(0, 150), max_size=5), st.booleans())
async def test_content_is_the_same_wherever_it_is_cut(cuts, is_avro):
    content = avro(SCHEMA, records(*range(1, 9))) if is_avro else lines(*range(1, 9))
    bounds = [0, *sorted(cuts), len(content)]
    pieces = [content[a:b] for a, b in itertools.pairwise(bounds)]
    assert lines_of(await body_of(Part(*pieces)).read(10_000)) == records(*range(1, 9))


async def test_results_are_told_in_openais_words_and_what_is_none_says_so():
    told = lines_of(await body_of(Part(lines(1, 2, 0)), files=Files()).read(10_000))
    assert [line["custom_id"] for line in told] == ["c1", "", ""]
    assert [line["id"] for line in told] == ["batch_req_1", "batch_req_2", "batch_req_3"]
    assert told[0]["response"]["body"] == {"model": "m"}
    assert [line["error"]["message"] for line in told[1:]] == ["an even one", "This result cannot be read."]


async def test_many_records_come_in_several_pieces():
    pieces = [piece async for piece in body_of(Part(lines(*range(RECORDS_IN_A_ROW * 2 + 1)))).chunks()]
    assert [len(piece.splitlines()) for piece in pieces] == [RECORDS_IN_A_ROW, RECORDS_IN_A_ROW, 1]


async def test_a_content_larger_than_allowed_is_not_read():
    with pytest.raises(UpstreamInvalid, match="too large"):
        await body_of(Part(lines(*range(100)))).read(50)


@pytest.mark.parametrize("pieces", [(b"x" * 9,), (b"[1]\n",), (avro(SCHEMA, records(1))[:-1],), (b"Obj",)])
async def test_what_cannot_be_read_breaks_the_body(pieces):
    with pytest.raises(UpstreamInvalid, match="cannot be read"):
        await body_of(Part(*pieces)).read(10_000)


async def test_an_empty_part_has_nothing():
    assert await body_of(Part(b"\n"), Part(lines(1))).read(100) == lines(1)


async def test_a_part_that_is_refused_breaks_the_body():
    refused = ProviderRefused(403, ProviderFault("expired"))
    with pytest.raises(UpstreamBroken):
        await body_of(Part(lines(1)), refused).read(10_000)
