import pytest

from data_plane.core.types import Usage
from data_plane.providers.ai21 import PROVIDER
from tests.data_plane.providers.openai_host import sent

CHAT = PROVIDER.operations["chat"]
COUNTED = b'{"model":"jamba","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}'


def test_it_speaks_openai_at_its_own_address():
    request = sent(PROVIDER, "chat")
    assert request.url == "https://api.ai21.com/studio/v1/chat/completions"
    assert request.headers["authorization"] == "Bearer the-key"
    assert set(PROVIDER.operations) == {"chat"}


@pytest.mark.parametrize("options", [{}, {"stream_options": {"include_usage": True}}])
def test_it_is_not_asked_to_count_because_it_always_does(facts, options):
    body = {"messages": [], "stream": True, **options}
    assert CHAT.encode(body, facts("jamba", stream=True)) == {"messages": [], "stream": True, "model": "jamba"}


@pytest.mark.parametrize("asked", [True, False])
def test_what_it_counts_is_read_and_shown_to_who_asked(facts, asked):
    decoder = CHAT.decoder(facts("jamba", stream=True, include_usage=asked))
    assert decoder.feed("", COUNTED) == ([COUNTED] if asked else [])
    assert decoder.usage == Usage(3, 2)
