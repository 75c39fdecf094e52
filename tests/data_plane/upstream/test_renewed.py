import asyncio

import pytest

from data_plane.upstream.renewed import REFUSED_S, Renewed
from shared.errors import Forbidden, UpstreamInvalid


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


class Source:
    """Gives a new value each time it is asked, each good for an hour; or raises what it is told to."""

    def __init__(self, *faults, life_s=3600.0):
        self.faults = list(faults)
        self.life_s = life_s
        self.asked = 0
        self.gate = None

    async def __call__(self):
        self.asked += 1
        number = self.asked
        if self.gate is not None:
            await self.gate.wait()
        if self.faults:
            raise self.faults.pop(0)
        return f"value-{number}", self.life_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def renewed(clock):
    return Renewed(clock, early_s=60.0)


async def test_what_is_held_is_not_asked_for_again(renewed):
    source = Source()
    assert [await renewed.get("a", source) for _ in range(3)] == ["value-1"] * 3
    assert source.asked == 1


async def test_names_are_held_apart(renewed):
    source = Source()
    assert [await renewed.get(name, source) for name in "aba"] == ["value-1", "value-2", "value-1"]


@pytest.mark.parametrize(("passed", "asked"), [(3600 - 61, 1), (3600 - 59, 2)])
async def test_what_ends_is_got_again_a_little_early(renewed, clock, passed, asked):
    source = Source()
    await renewed.get("a", source)
    clock.now += passed
    assert (await renewed.get("a", source), source.asked) == (f"value-{asked}", asked)


async def test_what_has_ended_already_is_used_for_a_moment_rather_than_asked_for_all_the_time(renewed, clock):
    source = Source(life_s=-5.0)
    assert [await renewed.get("a", source) for _ in range(2)] == ["value-1"] * 2
    clock.now += 1.1
    assert await renewed.get("a", source) == "value-2"


async def test_those_who_come_while_one_asks_wait_for_its_answer(renewed):
    source = Source()
    source.gate = asyncio.Event()
    waiting = [asyncio.create_task(renewed.get("a", source)) for _ in range(20)]
    await asyncio.sleep(0)
    source.gate.set()
    assert (set(await asyncio.gather(*waiting)), source.asked) == ({"value-1"}, 1)


async def test_one_who_leaves_does_not_take_the_answer_from_the_others(renewed):
    source = Source()
    source.gate = asyncio.Event()
    leaving, staying = (asyncio.create_task(renewed.get("a", source)) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    source.gate.set()
    assert (await staying, source.asked) == ("value-1", 1)


async def test_a_refusal_is_remembered_as_it_was_and_only_for_a_moment(renewed, clock):
    source = Source(Forbidden("not you", path="p"))
    for _ in range(3):
        with pytest.raises(Forbidden, match="not you") as raised:
            await renewed.get("a", source)
        assert raised.value.path == "p"
    assert source.asked == 1
    clock.now += REFUSED_S + 0.1
    assert await renewed.get("a", source) == "value-2"


async def test_a_refusal_that_nobody_waits_for_any_more_is_no_complaint_of_the_loop(renewed):
    source = Source(UpstreamInvalid("no"))
    source.gate = asyncio.Event()
    complaints = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, told: complaints.append(told))
    leaving = asyncio.create_task(renewed.get("a", source))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    source.gate.set()
    while renewed._asking:
        await asyncio.sleep(0)
    assert complaints == []


async def test_a_fault_of_the_code_is_not_remembered(renewed):
    source = Source(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        await renewed.get("a", source)
    assert await renewed.get("a", source) == "value-2"


async def test_what_is_held_cannot_fill_the_memory(renewed, monkeypatch):
    monkeypatch.setattr("data_plane.upstream.renewed.MOST", 3)
    source = Source()
    for number in range(9):
        await renewed.get(str(number), source)
    assert list(renewed._held) == ["6", "7", "8"]
    assert not renewed._asking
