"""What may this gateway spend of each budget, and which of its workers holds how much?  The agent's books; no I/O.

The control plane grants parts of budgets (leases), workers draw slices of them and tell what they spent.  A call waits
for a slice only where its worker's is used up.  While the control plane is away, calls are paid from the leases in
hand, and refused when these are spent: what was not granted is never spent.

All amounts are since the window began and for this run of the gateway: spent only ever grows, so that telling it twice
or late changes nothing.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from data_plane.limits.account import Account, Waiting
from data_plane.limits.slices import OF_CLAIM, OF_POLICY, Draw, Granted, Refused, Reply, Returned, Spent, Why
from shared.wire import BudgetAnswer, BudgetAsk

#: How long a call waits for its slice; others have that long to hand back what they do not spend.
WAIT_S: Final = 2.0
#: How often what was spent is told, while something is.
TELL_S: Final = 1.0
#: How often leases are renewed that nothing was spent of, so that others can ask for them.
RENEW_S: Final = 5.0
#: Leases that nothing was spent of for so long are handed back.
IDLE_S: Final = 600.0
#: A budget that was short is asked for again after this time, while calls wait for what others may hand back.
SHORT_S: Final = 0.3
#: After a call was refused, others that need as much are refused at once for so long.
REFUSED_S: Final = 1.0
#: After a call to the control plane that failed, calls without a lease are refused at once for so long.
AWAY_S: Final = 1.0
#: Workers answer a recall at once; what they handed back is told after this time.
RECALL_S: Final = 0.1
#: Nothing is spent any more of what was last confirmed so long ago: the control plane gives it to others after 26 h.
SILENT_S: Final = 24 * 3600.0
#: How much is liked to be held: an hour at the pace of late, or so many calls like the last.
HOUR_S: Final = 3600.0
CALLS: Final = 1000
#: So many budgets a second, spent from or not, are told of at most without anybody waiting: with more of them, each
#: is told less often.
TOLD_A_SECOND: Final = 1000
RENEWED_A_SECOND: Final = 200
#: Counters of policies and of tokens, whose number callers choose, that are kept at a time.
MOST_COUNTERS: Final = 50_000
_COUNTERS: Final = (OF_POLICY, OF_CLAIM)

#: An ask, and the key of what it is about.
Asked = tuple[str, BudgetAsk]


class Leases:
    """The leases of one run of a gateway; `workers` share each of them.  Times are monotonic seconds.

    `recalled` are keys whose slices workers shall hand back; whoever sends that to them empties it.
    """

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}
        self._confirmed_at = float("inf")
        self._away_until = float("-inf")
        self._swept_at = float("-inf")
        self._is_away = False
        self._stirred: dict[str, None] = {}
        self._unanswered: Sequence[Asked] = ()
        self._counters = 0
        self._gone_lines: set[int] = set()
        self.workers = 1
        self.recalled: set[str] = set()

    def __len__(self) -> int:
        return len(self._accounts)

    # what workers say

    def draw(self, line: int, draw: Draw, now: float) -> Reply | None:
        """Return a slice, or that there is none; None: the control plane must be asked, and a reply follows."""
        account = self._accounts.get(draw.key)
        if account is None:
            if draw.key.startswith(_COUNTERS):
                if self._counters >= MOST_COUNTERS:
                    return Refused(draw.key, "unreachable", draw.call)
                self._counters += 1
            account = self._accounts[draw.key] = Account(draw.key, paced_at=now)
        account.used_at, account.last_need = now, max(draw.need, 1)
        if account.window and account.room(line) >= draw.need:
            return self._give(account, line, draw.need, draw.call)
        if now < account.short_until and draw.need >= account.short_need and not account.waiting:
            return Refused(draw.key, "short", draw.call, account.limit, account.left)
        if now < self._away_until:
            if account.out <= account.total:
                return Refused(draw.key, "unreachable", draw.call)
            self.recalled.add(draw.key)
        account.waiting.append(Waiting(line, draw.need, draw.call, now + WAIT_S))
        self._stirred[draw.key] = None
        return None

    def _give(self, account: Account, line: int, need: int, call: int) -> Granted:
        amount = max(need, account.free // (2 * max(1, self.workers)))
        account.given[line] = account.given.get(line, 0) + amount
        return Granted(account.key, account.budget, account.window, amount, call)

    def told(self, line: int, spent: Iterable[Spent], now: float) -> None:
        """Take what a worker has spent."""
        for each in spent:
            account = self._accounts.get(each.key)
            if account is None:
                continue
            if each.window == account.window:
                if each.total > account.spent.get(line, 0):
                    account.spent[line] = each.total
                    account.is_changed, account.used_at = True, now
                    self._stirred[each.key] = None
            elif each.window in account.past and each.total > account.past[each.window].get(line, 0):
                account.past[each.window][line] = each.total
                account.past_changed.add(each.window)
                self._stirred[each.key] = None

    def returned(self, line: int, returned: Iterable[Returned]) -> list[tuple[int, Reply]]:
        """Take back what a worker does not spend; return what those are told, by worker, who waited for it."""
        replies: list[tuple[int, Reply]] = []
        for each in returned:
            account = self._accounts.get(each.key)
            if account is None or each.window != account.window or line not in account.given:
                continue
            account.take_back(line, each.amount, is_closed=each.is_closed)
            replies += self._serve(account)
        return replies

    def gone(self, line: int) -> None:
        """Forget who waits in a worker that is gone; what it held stays out, because nobody knows what it spent."""
        self._gone_lines.add(line)
        for account in self._accounts.values():
            account.waiting = [each for each in account.waiting if each.line != line]

    @property
    def is_certain(self) -> bool:
        """Whether it is known what was spent: no worker is gone that held something."""
        return all(self._gone_lines.isdisjoint(account.given) for account in self._accounts.values())

    # what the control plane is told, and says

    def due(self, now: float, most: int, *, at_end: bool = False) -> list[Asked]:
        """Return what there is to tell and to ask now, at most `most` of it; `at_end`: all that was not told yet.

        What an ask hands back is no longer held, whatever becomes of the ask.
        """
        self._untell()
        if at_end:
            self._stirred = dict.fromkeys(self._accounts)
        elif now - self._swept_at >= RENEW_S:
            self._sweep(now)
        asked: list[Asked] = []
        # Callers make as many new counters as they like: these leave half of the room to others, if they need it.
        fresh = [key for key in self._stirred if self._is_fresh(key)]
        others = [key for key in self._stirred if not self._is_fresh(key)]
        for keys, room in ((others, most - min(len(fresh), most // 2)), (fresh, most)):
            for key in keys:
                account = self._accounts.get(key)
                if account is not None and len(asked) + len(account.past) >= room:
                    break
                # Those that stay go to the end: each has its turn.
                del self._stirred[key]
                if account is None:
                    continue
                asked += [(key, ask) for ask in self._past(account)]
                if account.is_changed if at_end else self._is_due(account, now):
                    asked.append((key, self._ask(account, now)))
                if account.waiting or account.is_changed or account.hand_back_at is not None:
                    self._stirred[key] = None
        self._unanswered = asked
        return asked

    def _is_fresh(self, key: str) -> bool:
        account = self._accounts.get(key)
        return account is not None and not account.window and key.startswith(_COUNTERS)

    def _untell(self) -> None:
        """Take what was asked last as not heard: whether it arrived is not known, so it is told and asked again."""
        for key, ask in self._unanswered:
            account = self._accounts.get(key)
            if account is None:
                continue
            if ask.window != account.window:
                account.past_changed |= {ask.window} & account.past.keys()
            else:
                account.is_changed = True
            self._stirred[key] = None
        self._unanswered = ()

    def _sweep(self, now: float) -> None:
        """Look at every account, not only at those that something happened to."""
        self._swept_at = now
        if now - self._confirmed_at > SILENT_S:
            self._expire()
        idle_s = IDLE_S if self._counters < MOST_COUNTERS // 2 else IDLE_S / 10
        for key, account in list(self._accounts.items()):
            # Their workers have given up long ago.
            account.waiting = [each for each in account.waiting if now < each.until + WAIT_S]
            if not account.window or now - account.used_at > idle_s:
                if account.is_closed:
                    del self._accounts[key]
                    continue
                if not self._is_away:
                    self._recall(account, now)
            if account.past_changed or self._is_due(account, now):
                self._stirred[key] = None
        self._counters = sum(key.startswith(_COUNTERS) for key in self._accounts)

    def _is_due(self, account: Account, now: float) -> bool:
        if account.hand_back_at is not None and now >= account.hand_back_at:
            return True
        if account.waiting and now >= account.ask_after:
            return True
        since = now - account.told_at
        if account.is_changed:
            return since >= max(TELL_S, len(self._accounts) / TOLD_A_SECOND)
        return since >= max(RENEW_S, len(self._accounts) / RENEWED_A_SECOND) and account.ceiling > account.total

    def _past(self, account: Account) -> list[BudgetAsk]:
        changed = [(window, account.past[window]) for window in sorted(account.past_changed)]
        account.past_changed.clear()
        return [
            BudgetAsk(budget=account.budget, window=window, spent=sum(book.values()), is_past=True)
            for window, book in changed
        ]

    def _ask(self, account: Account, now: float) -> BudgetAsk:
        account.measure(now)
        if account.hand_back_at is not None and now >= account.hand_back_at:
            # What is handed back must not be spent meanwhile, whether or not the answer arrives.
            account.ceiling, account.hand_back_at = min(account.ceiling, account.out), None
        account.is_changed, account.told_at = False, now
        # What is spent is spent: it is booked whether or not it was granted.
        account.ceiling = max(account.ceiling, account.total)
        held = account.ceiling - account.total
        liked = max(int(account.pace * HOUR_S), account.last_need * CALLS)
        lacks = [each.need - (account.room(each.line) if account.window else 0) for each in account.waiting]
        want = max(0, min(lacks, default=0))
        is_used = account.window > 0 and now - account.used_at < IDLE_S
        is_low = bool(account.waiting) or (is_used and held * 2 < liked)
        named: dict[str, Any] = {"budget": account.budget} if account.budget else _named(account.key)
        return BudgetAsk(
            **named, window=account.window, spent=account.total, ceiling=account.ceiling,
            want=want, wish=max(want, liked - held) if is_low else 0,
        )  # fmt: skip

    def absorb(self, asked: Sequence[Asked], answers: Sequence[BudgetAnswer], now: float) -> list[tuple[int, Reply]]:
        """Take the answers to asks; return what workers that waited are told, by worker."""
        self._confirmed_at, self._away_until, self._is_away, self._unanswered = now, float("-inf"), False, ()
        replies: list[tuple[int, Reply]] = []
        for (key, ask), answer in zip(asked, answers, strict=True):
            account = self._accounts.get(key)
            if account is None or ask.is_past:
                continue
            if answer.status == "gone":
                why = _why_gone(account.key)
                replies += [(each.line, Refused(account.key, why, each.call)) for each in account.waiting]
                self.recalled.add(account.key)
                del self._accounts[account.key]
                continue
            self._take(account, answer, now)
            replies += self._serve(account)
            if answer.status == "short":
                replies += self._refuse(account, "short", now, is_held=answer.is_held)
        return replies

    def _take(self, account: Account, answer: BudgetAnswer, now: float) -> None:
        if answer.window != account.window:
            if account.window:
                self.recalled.add(account.key)
            account.turn(answer.window)
            account.base = answer.spent
        account.budget, account.ceiling = answer.budget, answer.ceiling
        account.limit, account.left = answer.limit, answer.left
        if answer.recall:
            self._recall(account, now)

    def _recall(self, account: Account, now: float) -> None:
        is_held = account.ceiling > account.out or not self._gone_lines.issuperset(account.given)
        if account.hand_back_at is None and is_held:
            account.hand_back_at = now + RECALL_S
            self._stirred[account.key] = None
            self.recalled.add(account.key)

    def _serve(self, account: Account) -> list[tuple[int, Reply]]:
        """Give those who wait what there is, in the order in which they came."""
        replies: list[tuple[int, Reply]] = []
        left = []
        for each in account.waiting:
            if account.window and account.room(each.line) >= each.need:
                replies.append((each.line, self._give(account, each.line, each.need, each.call)))
            else:
                left.append(each)
        account.waiting = left
        return replies

    def _refuse(self, account: Account, why: Why, now: float, *, is_held: bool) -> list[tuple[int, Reply]]:
        """Refuse those for whom there is nothing, except while others, or workers here, may hand something back."""
        if not account.waiting:
            return []
        if account.out > account.total:
            is_held = True
            self.recalled.add(account.key)
        if why == "short":
            # What is in hand buys nothing here; with what others hand back it may buy something there.
            self._recall(account, now)
        stay: list[Waiting] = []
        refused: list[Waiting] = []
        for each in account.waiting:
            (stay if is_held and now < each.until - SHORT_S else refused).append(each)
        account.ask_after = now + SHORT_S
        if why == "short" and refused:
            account.short_until, account.short_need = now + REFUSED_S, min(each.need for each in refused)
        account.waiting = stay
        return [(each.line, Refused(account.key, why, each.call, account.limit, account.left)) for each in refused]

    def unreachable(self, now: float) -> list[tuple[int, Reply]]:
        """Refuse the calls that wait: the control plane cannot be asked; return what workers are told, by worker."""
        self._away_until, self._is_away = now + AWAY_S, True
        self._untell()
        replies: list[tuple[int, Reply]] = []
        for account in self._accounts.values():
            replies += self._refuse(account, "unreachable", now, is_held=False)
        return replies

    def _expire(self) -> None:
        for account in self._accounts.values():
            if account.ceiling > account.total:
                account.ceiling, account.is_changed = account.total, True
                self.recalled.add(account.key)


def _why_gone(key: str) -> Why:
    # A token says its limit itself: where nobody counts it, there is nothing of it rather than no limit.
    return "short" if key.startswith(OF_CLAIM) else "gone"


def _named(key: str) -> dict[str, str]:
    if key.startswith(OF_CLAIM):
        return {"token": key.removeprefix(OF_CLAIM)}
    if not key.startswith(OF_POLICY):
        return {"budget": key}
    policy, _, value_key = key.removeprefix(OF_POLICY).partition("/")
    return {"policy": policy, "value_key": value_key}
