"""What tests of providers share: the facts of a call, and feeding a decoder."""

import orjson
import pytest
from openai.types.chat import ChatCompletionChunk

from data_plane.core.types import CallFacts


@pytest.fixture
def facts():
    """Make the facts of a call."""

    def make(model="m-1", *, stream=False, strict=True, headers=None, settings=None, include_usage=False):
        return CallFacts(model, stream, strict, headers or {}, settings or {}, include_usage)

    return make


@pytest.fixture
def drain():
    """Feed events to a decoder; return the chunks, each proved to be one by OpenAI's own client types."""

    def run(decoder, events):
        chunks = []
        for event in events:
            name, value = event if isinstance(event, tuple) else ("", event)
            raw = value if isinstance(value, bytes) else orjson.dumps(value)
            chunks += [orjson.loads(chunk) for chunk in decoder.feed(name, raw)]
        for chunk in chunks:
            ChatCompletionChunk.model_validate(chunk)
        return chunks

    return run
