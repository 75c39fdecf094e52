"""A control plane in miniature, and gateways that spend its budget: for the books of leases, without any I/O."""

import asyncio
from collections import Counter, deque

from data_plane.core.budget import Want
from data_plane.limits.budgets import Budgets
from data_plane.limits.lease import Leases
from data_plane.limits.slices import Draw, Granted, Returned, Spent
from shared.errors import GatewayError
from shared.wire import BudgetAnswer


class Budget:
    """What the control plane does with one budget (`control_plane/budgets/leases.py`), by its rules and no more."""

    def __init__(self, limit, window=1):
        self.limit, self.window = limit, window
        self.leases = {}
        self.seqs = {}
        self.scarce_until = 0.0

    def of(self, run, window=None):
        return self.leases.setdefault((run, window or self.window), {"granted": 0, "reported": 0})

    @property
    def committed(self):
        books = [book for (_, window), book in self.leases.items() if window == self.window]
        return sum(max(book["granted"], book["reported"]) for book in books)

    @property
    def spent(self):
        return sum(book["reported"] for (_, window), book in self.leases.items() if window == self.window)

    def take(self, run, seq, asks, now):
        """Return the answers to a report, None to one that is older than another."""
        is_new = seq > self.seqs.get(run, 0)
        if is_new:
            self.seqs[run] = seq
        answers = [self._take(run, ask, now, is_new=is_new) for ask in asks]
        return answers if is_new else None

    def _take(self, run, ask, now, *, is_new):
        if ask.window:
            book = self.of(run, ask.window)
            book["reported"] = max(book["reported"], ask.spent)
            if is_new:
                book["granted"] = max(ask.ceiling, ask.spent)
        if ask.is_past or not is_new:
            return BudgetAnswer(budget="b", window=ask.window)
        book = self.of(run)
        if ask.window != self.window:
            book["granted"] = 0
        free = max(0, self.limit - self.committed)
        others = sum(
            book["granted"] > book["reported"]
            for (other, window), book in self.leases.items()
            if other != run and window == self.window
        )
        is_short = ask.want > free
        amount = 0 if is_short else max(ask.want, min(ask.wish, free // (2 * (others + 1))))
        book["granted"] = max(book["granted"], book["reported"]) + amount
        if is_short:
            self.scarce_until = now + 10
        recall = self.scarce_until > now and not ask.want and book["granted"] > book["reported"]
        return BudgetAnswer(
            status="short" if is_short else "ok", budget="b", window=self.window, spent=book["reported"],
            ceiling=book["granted"], limit=self.limit, left=self.limit - self.spent, is_held=others > 0, recall=recall,
        )  # fmt: skip


class Line:
    """A worker's end: its slices, by key."""

    def __init__(self, number):
        self.number = number
        self.left, self.window = {}, {}
        self.spent = {}
        self.calls = 0


class Gateway:
    """One run of a gateway with some workers; spends when told to, and reports when told to."""

    def __init__(self, name, budget, workers=2):
        self.name, self.budget = name, budget
        self.leases = Leases()
        self.leases.workers = workers
        self.lines = [Line(number) for number in range(1, workers + 1)]
        self.seq = 0
        self.cost = 0

    def spend(self, line, need, cost, now, key="b"):
        """Make a call that may take `need` and takes `cost`, if there is enough in hand; return whether there was."""
        if line.left.get(key, 0) < need:
            line.calls += 1
            reply = self.leases.draw(line.number, Draw(key, need, line.calls), now)
            self.hear([(line.number, reply)] if reply is not None else [])
        if line.left.get(key, 0) < need:
            return False
        line.left[key] -= cost
        window = line.window[key]
        line.spent[key, window] = line.spent.get((key, window), 0) + cost
        self.cost += cost
        return True

    def hear(self, replies):
        for number, reply in replies:
            line = next(each for each in self.lines if each.number == number)
            if isinstance(reply, Granted):
                if line.window.get(reply.key) != reply.window:
                    line.left[reply.key], line.window[reply.key] = 0, reply.window
                line.left[reply.key] += reply.amount
        later = []
        for key in self.leases.recalled:
            for line in self.lines:
                self.tell(line)
                if line.left.get(key, 0) > 0:
                    amount, line.left[key] = line.left[key], 0
                    later += self.leases.returned(line.number, [Returned(key, line.window[key], amount)])
        self.leases.recalled.clear()
        if later:
            self.hear(later)

    def tell(self, line, now=0.0):
        told = [Spent(key, window, total) for (key, window), total in line.spent.items()]
        self.leases.told(line.number, told, now)

    def report(self, now, *, arrives=True, answered=True, at_end=False):
        """Tell and ask; `arrives`: the control plane hears it, `answered`: its answer comes back."""
        for line in self.lines:
            self.tell(line, now)
        asked = self.leases.due(now, 400, at_end=at_end)
        self.hear([])
        if not asked:
            return
        self.seq += 1
        answers = self.budget.take(self.name, self.seq, [ask for _, ask in asked], now) if arrives else None
        if arrives and answered and answers is not None:
            self.hear(self.leases.absorb(asked, answers, now))
        else:
            self.hear(self.leases.unreachable(now))


class Worker:
    """A worker with its real books, and a line to the agent on which messages of both ways are on their way."""

    def __init__(self, number, now):
        self.number = number
        self.up, self.down = deque(), deque()
        self.budgets = Budgets(self._ask, now)
        self.asking, self.held = [], []

    def _ask(self, draws):
        self.up.append((draws, self.budgets.take_spent(), []))

    def hear(self):
        """Take the oldest message of the agent."""
        replies, recalled = self.down.popleft()
        self.budgets.absorb(replies)
        if recalled:
            # As `data_plane.app.Worker` does.
            spent = self.budgets.take_spent()
            self.up.append(([], spent, self.budgets.recall(recalled)))

    def call(self, need):
        """Begin to set aside what a call needs."""
        want = Want("b", "tokens", need, "api_key", of_caller=True)
        self.asking.append(asyncio.ensure_future(self.budgets.reserve([want], lambda _: "")))

    def collect(self):
        """Take the calls for which enough was set aside."""
        for each in [each for each in self.asking if each.done()]:
            self.asking.remove(each)
            if not each.cancelled() and not isinstance(each.exception(), GatewayError):
                self.held.append(each.result())


class Site:
    """A gateway of real parts, of which every message may be late: workers, agent and control plane."""

    def __init__(self, budget, workers=2):
        self.budget, self.leases, self.now = budget, Leases(), 0.0
        self.leases.workers = workers
        self.workers = [Worker(number, lambda: self.now) for number in range(1, workers + 1)]
        self.on_way, self.seq = None, 0
        self.spent = Counter()

    def send(self, replies):
        """Put replies and recalls on the lines, as `LeaseKeeper` does."""
        for worker in self.workers:
            told = [reply for number, reply in replies if number == worker.number]
            if told:
                worker.down.append((told, []))
            if self.leases.recalled:
                worker.down.append(([], sorted(self.leases.recalled)))
        self.leases.recalled.clear()

    def listen(self, worker):
        """Let the agent take the oldest message of a worker."""
        draws, spent, returned = worker.up.popleft()
        self.leases.told(worker.number, spent, self.now)
        replies = self.leases.returned(worker.number, returned)
        for draw in draws:
            reply = self.leases.draw(worker.number, draw, self.now)
            replies += [] if reply is None else [(worker.number, reply)]
        self.send(replies)

    def report(self):
        """Send a report, if none is on its way."""
        if self.on_way is None:
            asked = self.leases.due(self.now, 400)
            self.send([])
            if asked:
                self.seq += 1
                self.on_way = asked, self.budget.take("run", self.seq, [ask for _, ask in asked], self.now)

    def answer(self, *, is_lost=False):
        """Let the answer arrive, or not."""
        if self.on_way is not None:
            asked, answers = self.on_way
            self.on_way = None
            heard = self.leases.unreachable(self.now) if is_lost else self.leases.absorb(asked, answers, self.now)
            self.send(heard)

    def finish(self, worker, share):
        """Let the oldest call end, which took a share of what was set aside for it."""
        held = worker.held.pop(0)
        cost = held[0].want.need * share // 100
        self.spent[held[0].slice.window] += cost
        worker.budgets.settle(held, [cost])

    def may_spend(self, window):
        """Return what was spent of a window, and what workers can still spend of it."""
        total = self.spent[window]
        for worker in self.workers:
            held = [each for call in worker.held for each in call]
            asking = [call.result() for call in worker.asking if call.done() and not call.exception()]
            held += [each for call in asking for each in call]
            total += sum(each.want.need for each in held if each.slice.window == window)
            own = worker.budgets._slices.get("b")
            total += own.left if own is not None and own.window == window else 0
            granted = [each for told, _ in worker.down for each in told if isinstance(each, Granted)]
            total += sum(each.amount for each in granted if each.window == window)
        return total

    async def turn(self):
        """Let those go on who can."""
        for _ in range(3):
            await asyncio.sleep(0)
        for worker in self.workers:
            worker.collect()

    async def settle_down(self):
        """End all calls, let everything arrive, and hand all back."""
        for _ in range(60):
            self.now += 20.0
            for worker in self.workers:
                for each in worker.asking:
                    each.cancel()
                await self.turn()
                while worker.held:
                    self.finish(worker, 50)
                worker.up.append(([], worker.budgets.take_spent(), worker.budgets.hand_back()))
                while worker.down:
                    worker.hear()
                while worker.up:
                    self.listen(worker)
            self.report()
            self.answer()
