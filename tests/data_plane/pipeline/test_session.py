"""One session between two sides that play their parts in memory."""

import asyncio
import json
import time
from dataclasses import replace

import pytest

from data_plane.core.duplex import Closed, Message, SessionLimits
from data_plane.core.job import Principal
from data_plane.core.types import CallFacts, Credential
from data_plane.pipeline.session import Session
from data_plane.pipeline.target import Destination
from data_plane.providers.registry import load_providers
from shared.errors import BudgetExceeded, BudgetUnavailable
from shared.schema.rows import OrgRow, WorkspaceRow
from tests.data_plane import kit
from tests.data_plane.state_kit import until

BROKEN = Closed(1006, is_orderly=False)


def text(event):
    return Message(json.dumps(event).encode(), is_text=True)


class Side:
    """Says what it is given to say, keeps what it is told; `deaf` takes nothing, `gone` refuses it."""

    def __init__(self, *said, deaf=False, gone=False, answers_pings=True):
        self._said = asyncio.Queue()
        for message in said:
            self._said.put_nowait(message)
        self.deaf, self.gone, self.answers_pings = deaf, gone, answers_pings
        self.told, self.closed, self.pings = [], None, 0
        self.heard, self.is_listening, self.violation = 0, False, None

    def say(self, message):
        self._said.put_nowait(message)

    async def receive(self):
        self.is_listening = True
        try:
            message = await self._said.get()
        finally:
            self.is_listening = False
        self.heard += 1
        return message

    async def send(self, message):
        if self.gone:
            raise ConnectionResetError
        if self.deaf:
            await asyncio.Event().wait()
        self.told.append(message)

    async def ping(self):
        self.pings += 1
        self.heard += self.answers_pings

    async def close(self, code, reason):
        self.closed = self.closed or (code, reason)

    def hang_up(self, code=1001, reason=""):
        if self.closed is None:
            self.closed = (code, reason)
            self.say(BROKEN)


async def paid():
    pass


def session(provider, *, limits=None, key=None, row=None, model="m", cover=paid):
    found = load_providers()["openai"]
    place = Destination(
        found,
        found.operations["realtime"],
        Credential(None),
        found.base_url,
        {},
        CallFacts(model, False, True, {}, {}),
        row,
    )
    exchange = kit.exchange()
    exchange.principal = Principal(
        key or kit.api_key(), OrgRow(kit.ORG, "Demo"), WorkspaceRow(kit.WS, kit.ORG, "ws", "W")
    )
    made = Session(provider, place, exchange, cover=cover, limits=limits or SessionLimits(), clock=time.perf_counter)
    return made, exchange


async def held(caller, provider, **rest):
    made, exchange = session(provider, **rest)
    await asyncio.wait_for(made.run(caller), 10)
    return exchange


def error_told(side):
    events = [json.loads(message.content) for message in side.told if message.is_text]
    return next((event["error"]["code"] for event in events if event.get("type") == "error"), None)


async def test_each_side_is_told_what_the_other_said_in_its_order():
    said, answered = [text({"n": n}) for n in range(5)], [Message(bytes([n]), is_text=False) for n in range(5)]
    caller, provider = Side(*said), Side(*answered)
    made, exchange = session(provider)
    running = asyncio.create_task(made.run(caller))
    await until(lambda: len(caller.told) == len(provider.told) == 5)
    caller.say(Closed(1000))
    await asyncio.wait_for(running, 5)
    assert (caller.told, provider.told, exchange.error_class) == (answered, said, None)
    assert exchange.first_byte_s is not None


@pytest.mark.parametrize(("end", "caller_code", "provider_code"), [
    (Closed(4000, "bye"), (4000, "bye"), (4000, "bye")), (Closed(0), (1000, ""), (1000, "")),
])  # fmt: skip
async def test_the_callers_end_is_everybodys(end, caller_code, provider_code):
    caller, provider = Side(end), Side()
    assert (await held(caller, provider)).error_class is None
    assert (caller.closed, provider.closed, caller.told) == (caller_code, provider_code, [])


async def test_the_providers_end_is_told_behind_its_last_words():
    caller, provider = Side(), Side(text({"type": "x"}), Closed(1013, "later"))
    assert (await held(caller, provider)).error_class is None
    assert (caller.told, caller.closed) == ([text({"type": "x"})], (1013, "later"))


async def test_a_provider_that_breaks_off_is_an_error_event_and_a_code():
    caller, provider = Side(), Side(BROKEN)
    exchange = await held(caller, provider)
    assert (error_told(caller), caller.closed) == ("upstream_broken", (1011, "The provider broke the session off."))
    assert exchange.error_type == "upstream_broken"


async def test_the_last_words_of_a_provider_that_takes_nothing_more_are_heard():
    provider = Side(gone=True)
    caller = Side(text({"type": "response.create"}))
    made, exchange = session(provider)
    running = asyncio.create_task(made.run(caller))
    await until(lambda: caller.heard)
    provider.say(text({"type": "error"}))
    provider.say(Closed(4000, "no more money"))
    await asyncio.wait_for(running, 5)
    assert (caller.closed, exchange.error_class) == ((4000, "no more money"), None)


async def test_a_provider_that_takes_nothing_more_and_says_nothing_broke_off():
    caller, provider = Side(text({})), Side(gone=True)
    assert (await held(caller, provider)).error_type == "upstream_broken"


async def test_a_caller_that_has_gone_ends_the_providers_side():
    for caller in (Side(BROKEN), Side(gone=True)):
        provider = Side(text({"type": "x"}))
        assert (await held(caller, provider)).error_class == "CallerGone"
        assert provider.closed == (1001, "")


async def test_a_caller_that_broke_the_protocol_is_recorded_as_at_fault():
    assert (await held(Side(Closed(1009, is_orderly=False)), Side())).error_type == "body_too_large"
    assert (await held(Side(Closed(1002, is_orderly=False)), Side())).error_type == "invalid_request"


async def test_a_caller_that_was_sent_away_is_recorded_so_even_when_it_goes_first():
    caller, provider = Side(), Side()
    made, exchange = session(provider)
    running = asyncio.create_task(made.run(caller))
    await until(lambda: caller.is_listening)
    caller.violation = 1009
    running.cancel()
    await asyncio.wait_for(running, 5)
    assert (exchange.error_type, provider.closed) == ("body_too_large", (1001, ""))


async def test_a_caller_that_hangs_up_cancels_the_session_and_its_tokens_are_known():
    done = {"type": "response.done", "response": {"usage": {"input_tokens": 3, "output_tokens": 2}}}
    caller, provider = Side(), Side(text(done))
    made, exchange = session(provider)
    running = asyncio.create_task(made.run(caller))
    await until(lambda: caller.told)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    made.close()
    assert (exchange.usage.input, exchange.usage.output, provider.closed) == (3, 2, (1001, ""))


async def test_a_caller_that_leaves_while_it_is_told_goodbye_changes_nothing():
    caller, provider = Side(), Side(BROKEN)
    caller.deaf = True
    made, exchange = session(provider)
    running = asyncio.create_task(made.run(caller))
    await until(lambda: exchange.error_type)
    running.cancel()
    await asyncio.wait_for(running, 5)
    assert exchange.error_type == "upstream_broken"


async def test_a_caller_that_takes_nothing_is_not_waited_for_at_the_end():
    caller, provider = Side(deaf=True), Side(text({}))
    made, exchange = session(provider)
    running = asyncio.create_task(made.run(caller))
    await until(lambda: provider.heard)
    made.refuse()
    await asyncio.wait_for(running, 4)
    assert (caller.told, caller.closed[0], exchange.error_type) == ([], 1008, "invalid_api_key")


async def test_one_message_at_a_time_is_in_hand():
    caller, provider = Side(deaf=True), Side(*[text({"n": n}) for n in range(100)])
    made, _ = session(provider)
    running = asyncio.create_task(made.run(caller))
    await until(lambda: provider.heard)
    for _ in range(50):
        await asyncio.sleep(0)
    assert provider.heard == 1
    made.refuse()
    await asyncio.wait_for(running, 5)


# what ends it from outside


@pytest.mark.parametrize(
    ("end", "code", "close_code"), [("refuse", "invalid_api_key", 1008), ("drain", "draining", 1001)]
)
async def test_who_is_ended_is_told_why(end, code, close_code):
    caller, provider = Side(), Side()
    made, exchange = session(provider)
    getattr(made, end)()
    made.refuse()
    await asyncio.wait_for(made.run(caller), 5)
    assert (error_told(caller), caller.closed[0], exchange.error_type) == (code, close_code, code)
    assert provider.closed == (1001, "")


async def test_a_session_that_never_ran_can_be_dropped():
    provider = Side()
    session(provider)[0].close()
    assert provider.closed == (1001, "")


@pytest.mark.parametrize("denied", [{f"k:{kit.KEY_ID}"}, {f"ws:{kit.WS}"}, {f"org:{kit.ORG}"}, {"vk:uid-main"}])
async def test_a_revoked_caller_or_provider_is_known(denied):
    made, exchange = session(Side(), row=kit.virtual_key())
    exchange.credential_id = "uid-main"
    assert made.is_denied(frozenset(denied))
    assert not made.is_denied(frozenset({"k:x", "vk:x"}))


async def test_what_a_newer_configuration_lacks_makes_an_orphan():
    made, _ = session(Side(), row=kit.virtual_key())
    assert not made.is_orphan(kit.snapshot())
    assert made.is_orphan(kit.snapshot(virtual_keys=[]))
    assert made.is_orphan(kit.snapshot(virtual_keys=[kit.virtual_key(uid="uid-new")]))
    assert made.is_orphan(kit.snapshot(api_keys=[]))
    assert not session(Side())[0].is_orphan(kit.snapshot(virtual_keys=[]))


# time


@pytest.mark.parametrize(("limits", "code"), [
    (SessionLimits(idle_s=0.05), "session_idle"), (SessionLimits(longest_s=0.05), "session_expired"),
])  # fmt: skip
async def test_a_session_ends_when_its_time_is_over(limits, code):
    caller, provider = Side(), Side()
    assert (await held(caller, provider, limits=limits)).error_type == code
    assert (error_told(caller), caller.closed[0]) == (code, 1001)


async def test_a_session_in_which_something_is_said_is_not_idle():
    caller, provider = Side(), Side()
    made, exchange = session(provider, limits=SessionLimits(idle_s=0.2, longest_s=0.6))

    async def chatter():
        while True:
            caller.say(text({}))
            await asyncio.sleep(0.02)

    chattering = asyncio.create_task(chatter())
    await asyncio.wait_for(made.run(caller), 5)
    chattering.cancel()
    assert exchange.error_type == "session_expired"


@pytest.mark.parametrize("of", ["key", "row"])
async def test_a_session_ends_with_the_key_or_the_provider_it_lives_by(of):
    soon = time.time() + 0.05
    rest = {"key": kit.api_key(expires=soon)} if of == "key" else {"row": kit.virtual_key(expires=soon)}
    caller = Side()
    assert (await held(caller, Side(), **rest)).error_type == "invalid_api_key"
    assert caller.closed[0] == 1008


async def test_a_key_that_expires_after_the_longest_session_shortens_nothing():
    later = kit.api_key(expires=time.time() + 1000)
    assert (await held(Side(), Side(), key=later, limits=SessionLimits(longest_s=0.05))).error_type == "session_expired"


@pytest.mark.parametrize(("silent", "error"), [("caller", "CallerGone"), ("provider", "UpstreamBroken")])
async def test_a_side_without_a_sign_of_life_is_gone(silent, error):
    sides = {name: Side(answers_pings=name != silent) for name in ("caller", "provider")}
    exchange = await held(sides["caller"], sides["provider"], limits=SessionLimits(heartbeat_s=0.03))
    assert (exchange.error_class, sides[silent].pings) == (error, 1)


async def test_sides_that_give_signs_of_life_stay_and_one_that_is_held_up_is_not_asked_for_any():
    caller, provider = Side(deaf=True), Side(text({}), answers_pings=False)
    exchange = await held(caller, provider, limits=replace(SessionLimits(), heartbeat_s=0.02, longest_s=0.3))
    assert (exchange.error_type, provider.pings > 3) == ("session_expired", True)


# what it may cost


def done(tokens):
    return text({"type": "response.done", "response": {"usage": {"input_tokens": tokens, "output_tokens": 0}}})


async def test_what_each_answer_used_is_covered_one_at_a_time_while_the_relay_goes_on():
    caller, provider = Side(), Side(done(3))
    seen, gate, at_once = [], asyncio.Semaphore(0), 0

    async def cover():
        nonlocal at_once
        at_once += 1
        assert at_once == 1
        seen.append(exchange.usage.input)
        await gate.acquire()
        at_once -= 1

    made, exchange = session(provider, cover=cover)
    running = asyncio.create_task(made.run(caller))
    await until(lambda: seen == [3])
    for tokens in (4, 5):
        provider.say(done(tokens))
    provider.say(text({"type": "response.created"}))
    # Whoever pays takes their time, and the caller hears all of it meanwhile.
    await until(lambda: len(caller.told) == 4)
    assert seen == [3]
    gate.release()
    await until(lambda: seen == [3, 12])
    gate.release()
    caller.say(Closed(1000))
    await asyncio.wait_for(running, 5)
    assert (seen, exchange.error_class) == ([3, 12], None)


@pytest.mark.parametrize(("error", "code", "close_code"), [
    (BudgetExceeded("this API key", kind="api_key", unit="tokens", limit=9, left=0, need=3), "budget_exceeded", 1008),
    (BudgetUnavailable("Nobody can tell."), "budget_unavailable", 1001),
])  # fmt: skip
async def test_a_session_that_nobody_pays_for_any_more_is_told_so_and_ends(error, code, close_code):
    async def cover():
        raise error

    caller, provider = Side(), Side(done(7))
    exchange = await held(caller, provider, cover=cover)
    assert (error_told(caller), caller.closed[0], exchange.error_type) == (code, close_code, code)
    assert caller.told[0] == done(7)
    assert (exchange.usage.input, provider.closed) == (7, (1001, ""))


async def test_nothing_is_set_aside_for_a_session_that_is_over():
    caller, provider, late = Side(), Side(done(7)), []

    async def cover():
        late.append("asked")
        await answer.wait()
        late.append("set aside")

    answer = asyncio.Event()
    made, _ = session(provider, cover=cover)
    running = asyncio.create_task(made.run(caller))
    await until(lambda: late)
    # The answer comes in the same moment in which the caller leaves.
    running.cancel()
    answer.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    for _ in range(5):
        await asyncio.sleep(0)
    made.close()
    assert late == ["asked"]
