"""What is peculiar to Triton: an address of one's own, which may name the model, and two frontends."""

import orjson
import pytest

from data_plane.core.types import NO_USAGE
from data_plane.providers.triton import PROVIDER
from tests.data_plane.gateway_kit import gateway
from tests.fakes.provider import FakeProvider, Reply

COMPLETE, CHAT = PROVIDER.operations["complete"], PROVIDER.operations["chat"]


@pytest.mark.parametrize(("base", "url"), [
    ("http://h:8000", "http://h:8000/v2/models/m/generate"),
    ("http://h:8000/v2", "http://h:8000/v2/models/m/generate"),
    ("http://h:8000/v2/models/own", "http://h:8000/v2/models/own/generate"),
    ("http://h:8000/v2/models/own/versions/2", "http://h:8000/v2/models/own/versions/2/generate"),
])  # fmt: skip
def test_the_address_may_name_the_model(facts, base, url):
    assert COMPLETE.url_for(base, facts("m")) == url
    assert COMPLETE.url_for(base, facts("m", stream=True)) == f"{url}_stream"


@pytest.mark.parametrize("base", ["http://h:9000", "http://h:9000/v1"])
def test_chats_go_to_the_frontend_that_speaks_openai(facts, base):
    assert CHAT.url_for(base, facts()) == "http://h:9000/v1/chat/completions"
    assert PROVIDER.operations["embed"].url_for(base, facts()) == "http://h:9000/v1/embeddings"


def test_it_lives_where_its_user_says_needs_no_key_and_counts_nothing():
    assert (PROVIDER.base_url, PROVIDER.credential[0].required, COMPLETE.usage({})) == ("", False, NO_USAGE)


async def call(tmp_path, reply, **body):
    async with FakeProvider([reply]) as fake, gateway(tmp_path) as gw:
        headers = {"x-portkey-provider": "triton", "x-portkey-custom-host": fake.origin}
        status, answered, _ = await gw.send({"model": "m", "prompt": "hi", **body}, headers, path="/v1/completions")
        return status, answered, fake.seen[0]


async def test_a_completion_goes_through(tmp_path):
    status, answered, seen = await call(tmp_path, Reply(json={"text_output": "ho"}), max_tokens=3)
    assert (status, orjson.loads(answered)["choices"][0]["text"]) == (200, "ho")
    assert (seen.target, seen.json) == ("/v2/models/m/generate", {"text_input": "hi", "max_tokens": 3})


async def test_a_stream_ends_as_openais_do(tmp_path):
    status, answered, seen = await call(tmp_path, Reply(sse=[{"text_output": "h"}, {"text_output": "o"}]), stream=True)
    frames = answered.decode().split("\n\n")
    told = [orjson.loads(frame.removeprefix("data: "))["choices"][0] for frame in frames[:-2]]
    assert (status, frames[-2], seen.target) == (200, "data: [DONE]", "/v2/models/m/generate_stream")
    assert ([each["text"] for each in told], told[-1]["finish_reason"]) == (["h", "o", ""], "stop")


async def test_a_stream_that_breaks_off_does_not_look_complete(tmp_path):
    reply = Reply(sse=[{"text_output": "h"}, {"text_output": "o"}], break_after=1)
    _, answered, _ = await call(tmp_path, reply, stream=True)
    assert b"[DONE]" not in answered
    assert b"upstream_broken" in answered
