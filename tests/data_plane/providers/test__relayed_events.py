import msgspec
import pytest

from data_plane.core.types import CallFacts
from data_plane.providers._relayed_events import RelayedEvents
from shared.errors import UpstreamBroken


class Word(msgspec.Struct):
    type: str
    said: str = ""


class Words(RelayedEvents[Word]):
    decoder = msgspec.json.Decoder(Word)

    def note(self, event):
        if event.type == "error":
            raise UpstreamBroken(event.said)
        self.model = event.said or self.model


@pytest.fixture
def words():
    return Words(CallFacts("m", False, True, {}, {}), provider="acme")


def test_an_event_goes_on_as_it_came_and_is_noted(words):
    assert words.feed("", b' {"type" : "a",  "said":"x", "more": [1]} ') == [
        b'{"type" : "a",  "said":"x", "more": [1]}'
    ]
    assert (words.model, words.usage, words.finished) == ("x", None, False)


@pytest.mark.parametrize("data", [b"", b"  \n", b"[DONE]", b" [DONE] "])
def test_what_is_no_event_is_passed_over(words, data):
    assert (words.feed("", data), words.model) == ([], None)


@pytest.mark.parametrize("data", [b"{", b"[]", b'{"type": 1}', b"{}", b'{"type":"\xff"}', b"[" * 100_000])
def test_what_cannot_be_read_breaks_the_stream(words, data):
    with pytest.raises(UpstreamBroken, match="acme sent a piece of the answer that cannot be understood"):
        words.feed("", data)


def test_an_error_among_the_events_is_not_relayed(words):
    with pytest.raises(UpstreamBroken, match="no more"):
        words.feed("", b'{"type":"error","said":"no more"}')
