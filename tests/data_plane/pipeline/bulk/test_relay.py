"""Results on their way: several objects as one body, each line in OpenAI's words, broken off where the store breaks off."""

import pytest

from data_plane.core.types import CallFacts
from data_plane.pipeline.bulk.relay import ResultBody
from data_plane.pipeline.bulk.wire import ProviderRefused
from data_plane.providers._bulk import Place
from data_plane.providers.base import ProviderFault
from data_plane.providers.registry import load_providers
from shared.errors import UpstreamBroken, UpstreamInvalid
from tests.data_plane.pipeline.bulk.bulk_kit import lines_of

FACTS = CallFacts("m", False, True, {}, {"aws_region": "eu-west-1"})
BULK = load_providers()["bedrock"].bulk
ONE = b'{"recordId":"1","error":{"errorMessage":"a"}}'
TWO = b'{"recordId":"2","error":{"errorMessage":"b"}}'


class Object:
    def __init__(self, *pieces, headers=None):
        self.status, self.headers, self.pieces, self.closed = 200, headers or {}, pieces, False

    async def chunks(self):
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    def close(self):
        self.closed = True


class Wire:
    def __init__(self, *objects):
        self.store = BULK.store("https://x.example", FACTS)
        self.objects = list(objects)

    async def send(self, _request, *, is_storage):
        assert is_storage
        found = self.objects.pop(0)
        if isinstance(found, Exception):
            raise found
        return found


def places(count):
    return [Place("out-bucket", f"{number}.jsonl.out") for number in range(count)]


async def results(*objects):
    batches = BULK.batches("https://x.example", FACTS)
    return await ResultBody.of_results(Wire(*objects), batches, places(len(objects)), FACTS)


async def test_several_objects_are_one_body_and_their_connections_are_given_back():
    first, second = Object(ONE[:9], ONE[9:] + b"\n" + TWO), Object(ONE + b"\n")
    body = await results(first, second)
    told = lines_of(await body.read(10_000))
    assert [(line["custom_id"], line["error"]["message"]) for line in told] == [("1", "a"), ("2", "b"), ("1", "a")]
    body.close()
    assert (first.closed, second.closed, body.headers) == (True, True, {"content-type": "application/jsonl"})


async def test_a_body_that_breaks_off_is_no_whole_one():
    for broken in (Object(ONE, UpstreamBroken("gone")), None):
        body = await results(*([broken] if broken else [Object(ONE), ProviderRefused(403, ProviderFault("no"))]))
        with pytest.raises(UpstreamBroken):
            await body.read(10_000)
    with pytest.raises(UpstreamInvalid):
        await (await results(Object(ONE))).read(3)


@pytest.mark.parametrize(
    ("headers", "stated"),
    [({"content-length": "3"}, "3"), ({}, None), ({"content-length": "3", "content-encoding": "gzip"}, None)],
)
async def test_an_object_as_it_is_states_its_length_when_that_is_known(headers, stated):
    body = await ResultBody.of_object(Wire(Object(b"abc", headers=headers)), Place("in-bucket", "x"))
    assert (await body.read(10), body.headers.get("content-length")) == (b"abc", stated)
