"""May this call be paid?  The slices of budgets that one worker holds, from which it sets aside and settles.

What a call may cost at most is taken out of every slice before it goes out, and what it did not cost is put back at its
end: no two calls are paid by the same money, however many are on their way.  With enough in hand nobody is asked.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from data_plane.core.budget import Held, Slice, Want
from data_plane.limits.lease import WAIT_S
from data_plane.limits.slices import Draw, Granted, Refused, Reply, Returned, Spent
from shared.errors import BudgetExceeded, BudgetUnavailable, ProviderBudgetExceeded

#: The agent answers sooner, whatever the control plane does.
ANSWER_S: Final = WAIT_S + 1.0
#: How long calls are not charged to a budget that is gone, before it is looked for again.
GONE_S: Final = 5.0
#: Budgets that are known to be gone, at most.
MOST_GONE: Final = 1000
#: After so many slices that others took away, a call is told that there is none.
_ROUNDS: Final = 8
#: As much as the control plane counts: what is told must have room in a message, too.
_MOST: Final = 2**62


class Budgets:
    """Sets aside and settles; `ask` tells the agent at once what is drawn.

    Counts `refused` by kind of budget, `unreachable` refusals for want of an answer, and the `overshoot`: what calls
    cost beyond what was set aside for them, by unit; and the calls of an `unpriced` model that were charged by a rule.
    """

    def __init__(
        self, ask: Callable[[list[Draw]], None] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask = ask
        self._clock = clock
        self._slices: dict[str, Slice] = {}
        self._waiting: dict[int, asyncio.Future[Refused | None]] = {}
        self._drawn = 0
        self._gone: dict[str, float] = {}
        self._untold: dict[tuple[str, int], Slice] = {}
        #: Slices of limits that were taken away, which calls hold still: who counts them has forgotten them.
        self._void: set[Slice] = set()
        self.refused: Counter[str] = Counter()
        self.overshoot: Counter[str] = Counter()
        self.unreachable = 0
        self.unpriced = 0

    async def reserve(self, wants: Sequence[Want], owner: Callable[[Want], str]) -> tuple[Held, ...]:
        """Set aside what a call needs, of all its budgets or of none; return what `settle` takes.

        `owner` says to people whose a budget is.
        Raises BudgetExceeded when one has not enough left, BudgetUnavailable when nobody can tell.
        """
        for _ in range(_ROUNDS):
            held = []
            lacking = []
            for want in wants:
                found = self._slices.get(want.key)
                if found is not None and found.left >= want.need:
                    held.append(Held(found, want))
                elif not self._is_gone(want.key):
                    lacking.append(want)
            if not lacking:
                for each in held:
                    each.slice.left -= each.want.need
                    each.slice.held += 1
                return tuple(held)
            await self._draw(lacking, owner)
        self.unreachable += 1
        raise BudgetUnavailable("The budgets of this request could not be confirmed in time.")

    def _is_gone(self, key: str) -> bool:
        until = self._gone.get(key)
        if until is None:
            return False
        if self._clock() < until:
            return True
        del self._gone[key]
        return False

    async def _draw(self, lacking: Sequence[Want], owner: Callable[[Want], str]) -> None:
        if self._ask is None:
            raise BudgetUnavailable("Budgets cannot be confirmed by this process.")
        loop = asyncio.get_running_loop()
        first, self._drawn = self._drawn, self._drawn + len(lacking)
        draws = [
            Draw(want.key, min(want.need + self._owed(want.key), _MOST), number)
            for number, want in enumerate(lacking, first)
        ]
        for draw in draws:
            self._waiting[draw.call] = loop.create_future()
        try:
            self._ask(draws)
            async with asyncio.timeout(ANSWER_S):
                for want, draw in zip(lacking, draws, strict=True):
                    refusal = await self._waiting[draw.call]
                    if refusal is not None:
                        raise self._refusal(want, owner(want), refusal)
        except TimeoutError:
            self.unreachable += 1
            raise BudgetUnavailable("The budgets of this request could not be confirmed in time.") from None
        finally:
            for draw in draws:
                del self._waiting[draw.call]

    def _owed(self, key: str) -> int:
        found = self._slices.get(key)
        return max(0, -found.left) if found is not None else 0

    def _refusal(self, want: Want, owner: str, refusal: Refused) -> BudgetExceeded | BudgetUnavailable:
        if refusal.why == "unreachable":
            self.unreachable += 1
            return BudgetUnavailable(
                f"What is left of {owner} cannot be confirmed: the control plane is away, and this gateway holds"
                " no more of it."
            )
        self.refused[want.kind] += 1
        error = BudgetExceeded if want.of_caller else ProviderBudgetExceeded
        return error(owner, kind=want.kind, unit=want.unit, limit=refusal.limit, left=refusal.left, need=want.need)

    def settle(self, held: Sequence[Held], amounts: Sequence[int]) -> None:
        """Charge `amounts` to what was set aside, and put the rest back; raises nothing."""
        for each, amount in zip(held, amounts, strict=True):
            own = each.slice
            own.held -= 1
            own.left = max(own.left + each.want.need - amount, -_MOST)
            if amount > each.want.need:
                self.overshoot[each.want.unit] += amount - each.want.need
            if amount:
                own.spent = min(own.spent + amount, _MOST)
                if own not in self._void:
                    self._untold[own.key, own.window] = own
            if not own.held:
                self._void.discard(own)

    def release(self, held: Sequence[Held]) -> None:
        """Put back all that was set aside."""
        self.settle(held, [0] * len(held))

    # the agent

    def absorb(self, replies: Sequence[Reply]) -> None:
        """Take slices and refusals, and let those go on who waited for them."""
        for reply in replies:
            if isinstance(reply, Granted):
                self._slice(reply).left += reply.amount
                self._gone.pop(reply.key, None)
            elif reply.why == "gone":
                self._forget(reply.key)
            refusal = reply if isinstance(reply, Refused) and reply.why != "gone" else None
            waiting = self._waiting.get(reply.call)
            if waiting is not None and not waiting.done():
                waiting.set_result(refusal)

    def _forget(self, key: str) -> None:
        """Take that there is no such limit; what calls take of it is told by their records alone."""
        while len(self._gone) >= MOST_GONE:
            del self._gone[next(iter(self._gone))]
        self._gone[key] = self._clock() + GONE_S
        own = self._slices.pop(key, None)
        if own is not None:
            self._untold.pop((key, own.window), None)
            if own.held:
                self._void.add(own)

    def _slice(self, granted: Granted) -> Slice:
        own = self._slices.get(granted.key)
        if own is None or own.window != granted.window or own.budget != granted.budget:
            own = self._slices[granted.key] = Slice(granted.key, granted.budget, granted.window)
        return own

    def recall(self, keys: Sequence[str]) -> list[Returned]:
        """Return what is handed back of these budgets: all that no call needs."""
        returned = []
        for key in keys:
            own = self._slices.get(key)
            if own is None:
                continue
            is_closed = not own.held
            # One that is closed takes along what it owes.
            amount = own.left if is_closed else max(0, own.left)
            own.left -= amount
            if is_closed:
                del self._slices[key]
            if amount or is_closed:
                returned.append(Returned(key, own.window, amount, is_closed))
        return returned

    def hand_back(self) -> list[Returned]:
        """Return what is handed back at the end of this worker, when no call is on its way."""
        return self.recall(list(self._slices))

    def take_spent(self) -> list[Spent]:
        """Return what was spent, all in all, in the slices that something was spent of since the last call."""
        told = [Spent(own.key, own.window, own.spent) for own in self._untold.values()]
        self._untold.clear()
        return told
