import json

import pytest

from data_plane.core.job import Principal
from data_plane.core.types import Usage
from data_plane.pipeline.stream import KEPT_BYTES, StreamRelay
from data_plane.providers.base import OPENAI_FRAMING, Framing, error_frame
from data_plane.providers.sse import data_frame, named_frame
from data_plane.recorder.allowance import Allowance
from shared.errors import Forbidden, UpstreamBroken
from shared.schema.rows import OrgRow, WorkspaceRow
from tests.data_plane import kit


class Body:
    """A provider's body: pieces, then a fault or the end."""

    status, headers = 200, {}

    def __init__(self, *pieces, fault=None):
        self.pieces, self.fault, self.taken, self.closed = pieces, fault, 0, False

    async def chunks(self):
        for piece in self.pieces:
            if self.closed:
                raise UpstreamBroken("dropped")
            self.taken += 1
            yield piece
        if self.fault:
            raise self.fault

    def close(self):
        self.closed = True


class Decoder:
    """`finish` ends the answer, `skip` makes no chunk, `twice` two, `bad` an error; anything else is passed on."""

    def __init__(self):
        self.usage = self.model = None
        self.finished = False

    def feed(self, event, data):
        word = data.decode()
        if word == "bad":
            raise UpstreamBroken("The provider said so.")
        if word == "finish":
            self.finished, self.usage, self.model = True, Usage(3, 4), "served"
        return {"skip": [], "finish": [], "twice": [b"1", b"2"], "named": [event.encode()]}.get(word, [data])


def sse(*words):
    return b"".join(b"data: " + word.encode() + b"\n\n" for word in words)


def relay(*pieces, fault=None, exchange=None, kept=None):
    body = Body(*pieces, fault=fault)
    made = StreamRelay(body, Decoder(), exchange or kit.exchange(), lambda: 7.0, kept=kept)
    return made, body


async def told(made):
    """Return every frame of a stream, as text."""
    return [piece.decode() async for piece in made.frames()]


def code_of(text):
    return json.loads(text.removeprefix("data: "))["error"]["code"]


async def test_chunks_come_in_order_and_done_is_the_last_frame():
    made, _ = relay(sse("a", "b"), sse("c"), sse("finish"))
    await made.open()
    assert await told(made) == ["data: a\n\ndata: b\n\n", "data: c\n\n", OPENAI_FRAMING.end.decode()]


async def test_opening_reads_no_further_than_the_first_chunk():
    made, body = relay(sse("skip"), b"data: ", b"a\n\n", sse("b", "finish"))
    await made.open()
    assert body.taken == 3


async def test_the_time_of_the_first_chunk_is_noted_when_it_is_there():
    exchange = kit.exchange()
    made, _ = relay(sse("a", "finish"), exchange=exchange)
    assert exchange.first_byte_s is None
    await made.open()
    assert exchange.first_byte_s == 7.0


async def test_an_event_may_make_no_chunk_or_several_and_has_its_name():
    made, _ = relay(b"event: delta\n" + sse("named", "skip", "twice", "finish"))
    await made.open()
    assert await told(made) == ["data: delta\n\ndata: 1\n\ndata: 2\n\n", OPENAI_FRAMING.end.decode()]


async def test_an_event_without_its_blank_line_counts_at_the_end():
    made, _ = relay(sse("a") + b"data: finish")
    await made.open()
    assert (await told(made))[-1] == OPENAI_FRAMING.end.decode()


@pytest.mark.parametrize(("pieces", "fault"), [
    ((), None), ((sse("skip"),), None), ((sse("bad"),), None), ((), UpstreamBroken("gone")), ((b"data: half",), UpstreamBroken("gone")),
])  # fmt: skip
async def test_a_stream_that_fails_before_its_first_chunk_is_a_failed_attempt(pieces, fault):
    made, _ = relay(*pieces, fault=fault)
    with pytest.raises(UpstreamBroken):
        await made.open()


async def test_an_answer_without_any_text_is_still_one():
    made, _ = relay(sse("finish"))
    await made.open()
    assert await told(made) == [OPENAI_FRAMING.end.decode()]


@pytest.mark.parametrize(("pieces", "fault", "before"), [
    ((sse("a", "b"),), None, 1), ((sse("a"),), UpstreamBroken("gone"), 1), ((sse("a"), sse("b", "bad")), None, 2), ((sse("a"), sse("bad", "b")), None, 1),
    ((sse("a", "bad", "finish"),), None, 1),
])  # fmt: skip
async def test_a_stream_that_breaks_ends_with_an_error_event_and_never_with_done(pieces, fault, before):
    exchange = kit.exchange()
    made, _ = relay(*pieces, fault=fault, exchange=exchange)
    await made.open()
    frames = await told(made)
    assert len(frames) == before + 1
    assert code_of(frames[-1]) == "upstream_broken"
    assert OPENAI_FRAMING.end.decode() not in frames
    assert (exchange.error_class, exchange.error_type) == ("UpstreamBroken", "upstream_broken")


async def test_tokens_and_model_are_noted_at_the_end():
    exchange = kit.exchange()
    made, _ = relay(sse("a"), sse("finish"), exchange=exchange)
    await made.open()
    await told(made)
    assert (exchange.usage, exchange.model_served) == (Usage(3, 4), "served")


async def test_tokens_that_were_told_are_noted_when_the_caller_leaves():
    exchange = kit.exchange()
    made, body = relay(sse("a", "finish"), sse("never read"), exchange=exchange)
    await made.open()
    made.close()
    assert exchange.usage == Usage(3, 4)
    assert body.closed


async def test_the_record_keeps_whole_chunks_up_to_a_bound_and_counts_all_bytes():
    exchange = kit.exchange()
    large = "x" * (KEPT_BYTES // 2)
    made, _ = relay(sse("head", large, large, large, "finish"), exchange=exchange, kept=Allowance())
    await made.open()
    frames = await told(made)
    assert exchange.is_cut
    assert exchange.answer_chunks == [b"head", large.encode()]
    assert exchange.answer_bytes == 4 + 3 * len(large)
    assert "".join(frames).count(large) == 3


async def test_streams_keep_no_more_than_all_together_may():
    exchange, allowance = kit.exchange(), Allowance(10)
    made, _ = relay(sse("head", "12345678", "x", "finish"), exchange=exchange, kept=allowance)
    await made.open()
    assert "12345678" in "".join(await told(made))
    assert (exchange.answer_chunks, exchange.kept_bytes, exchange.is_cut) == ([b"head"], 4, True)
    assert (allowance.take(7), allowance.take(6)) == (False, True)


async def test_a_stream_that_is_not_recorded_keeps_nothing_and_counts_its_bytes():
    exchange = kit.exchange()
    made, _ = relay(sse("head", "finish"), exchange=exchange)
    await made.open()
    await told(made)
    assert (exchange.answer_chunks, exchange.is_cut) == ([], False)
    assert exchange.answer_bytes >= 4


async def test_a_revoked_caller_is_told_so_and_the_provider_is_dropped():
    exchange = kit.exchange()
    exchange.principal = Principal(kit.api_key(), OrgRow(kit.ORG, "Demo"), WorkspaceRow(kit.WS, kit.ORG, "ws", "W"))
    made, body = relay(sse("a"), sse("b"), sse("finish"), exchange=exchange)
    await made.open()
    frames = made.frames()
    assert await anext(frames) == b"data: a\n\n"
    made.refuse()
    assert body.closed
    assert code_of((await anext(frames)).decode()) == "invalid_api_key"
    assert [rest async for rest in frames] == []
    assert exchange.error_type == "invalid_api_key"


@pytest.mark.parametrize(("denied", "hit"), [
    ({f"k:{kit.KEY_ID}"}, True), ({f"ws:{kit.WS}"}, True), ({f"org:{kit.ORG}"}, True), ({"k:other", f"ws:{kit.KEY_ID}"}, False), (set(), False),
])  # fmt: skip
def test_a_stream_knows_whether_its_caller_was_revoked(denied, hit):
    exchange = kit.exchange()
    made = StreamRelay(Body(), Decoder(), exchange, lambda: 0.0)
    assert not made.is_denied(frozenset(denied))
    exchange.principal = Principal(kit.api_key(), OrgRow(kit.ORG, "Demo"), WorkspaceRow(kit.WS, kit.ORG, "ws", "W"))
    assert made.is_denied(frozenset(denied)) is hit


def test_a_stream_knows_whether_its_provider_was_revoked():
    exchange = kit.exchange()
    exchange.credential_id = "uid-main"
    made = StreamRelay(Body(), Decoder(), exchange, lambda: 0.0)
    assert made.is_denied(frozenset({"vk:uid-main"}))
    assert not made.is_denied(frozenset({"vk:uid-other", "vk:"}))
    exchange.begin_attempt("config")
    assert not made.is_denied(frozenset({"vk:uid-main"}))


def test_an_error_event_is_one_event_with_an_openai_error():
    text = error_frame(Forbidden("No\nway."))
    assert text.count(b"\n") == 2
    assert json.loads(text[6:]) == {
        "error": {"message": "No\nway.", "type": "forbidden", "param": None, "code": "forbidden"}
    }
    assert data_frame(b"{}") == b"data: {}\n\n"


async def test_a_stream_of_named_events_ends_with_what_its_decoder_still_has_to_say():
    class Closing(Decoder):
        def close(self):
            return [b'{"type":"last"}']

    framing = Framing(frame=named_frame, end=b"")
    made = StreamRelay(Body(sse("a", "finish")), Closing(), kit.exchange(), lambda: 7.0, framing=framing)
    await made.open()
    assert "".join([frame.decode() async for frame in made.frames()]).endswith('event: last\ndata: {"type":"last"}\n\n')
