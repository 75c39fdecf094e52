"""How much of each limit is left at a moment, since when and until when, and which of them refuses first?

What was used of a budget is what the budget says; what was used of a limit of rate is what records say, because
gateways count these among themselves.  What is not known of the past or the future is None, with the reason.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from control_plane.budgets.models import ACTIVE, EXHAUSTED, Budget
from control_plane.core.limits import MONDAY, SUNDAY, next_reset
from control_plane.explain.call import AskedCall
from control_plane.explain.counts import Span, Used, counts_of, elapsed_hours, matched, needs_records, records_since
from control_plane.explain.limits import BUDGET, RATE, Owner, Rule
from control_plane.explain.windows import hour_at, window_of

#: Lately: the pace is that of so long a time.
LATELY: Final = timedelta(hours=24)
#: Nobody plans by what may be used up later than that.
FORESEEN: Final = timedelta(days=3650)

NOT_BEGUN: Final = "this window has not begun"
BEFORE_RESET: Final = "what was used before the last reset is not kept"
NOT_THEN: Final = "what a policy had counted at that time is not known"
TOO_MANY: Final = "there are too many records to find those of the policy; gateways know"
ALL_HELD: Final = "all that is left is set aside by gateways; they are asked for it when a call elsewhere needs it"
RECORDS_GONE: Final = "the records of that time are not kept any more"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a limit stands: amounts in nano-dollars, tokens or requests.

    `reason` says why `used` is None, or what else is to be known of what is left.  `reserved` is the part of what is
    left that gateways have set aside.  `pace` is what was used of it in an hour, lately, and `exhausted_at` when the
    limit is used up at that pace; None: not before it is set back, or not known.
    """

    used: int | None = None
    reserved: int | None = None
    status: str | None = None
    resets_at: datetime | None = None
    reason: str | None = None
    pace: float | None = None
    exhausted_at: datetime | None = None


def left_of(rule: Rule, standing: Standing) -> int | None:
    """Return how much of a limit is left, None when that is not known."""
    return None if standing.used is None else max(0, rule.value - standing.used)


def _weekday(budget: Budget) -> int:
    return MONDAY if budget.kind == "policy" else SUNDAY


def _resets_at(budget: Budget, at: datetime) -> datetime | None:
    if budget.next_reset_at is None or budget.next_reset_at > at:
        return budget.next_reset_at
    return next_reset(at, budget.periodic_reset, budget.periodic_reset_days, weekday=_weekday(budget))


def _of_budget(rule: Rule, call: AskedCall, since: Used | None) -> Standing:
    """Return where a budget stands; `since` is what was used between a moment in the past and now."""
    budget = rule.budget
    if budget is None:
        return Standing(used=0, reserved=0, status=ACTIVE)
    resets_at = _resets_at(budget, call.at)
    if budget.next_reset_at is not None and budget.next_reset_at <= call.at:
        if budget.next_reset_at > call.now:
            return Standing(reason=NOT_BEGUN, resets_at=resets_at)
        # The window is over, and nobody has asked for anything of the next one.
        return Standing(used=0, reserved=0, status=ACTIVE, resets_at=resets_at)
    if call.at >= call.now:
        if not rule.is_begun:
            return Standing(used=0, reserved=0, status=ACTIVE, resets_at=resets_at)
        return _of_now(rule, budget, resets_at)
    if call.at < (budget.last_reset_at or budget.created_at):
        return Standing(reason=BEFORE_RESET)
    if since is None:
        return Standing(reason=NOT_THEN if rule.policy else RECORDS_GONE, resets_at=resets_at)
    used = max(0, budget.spent - since.of(rule.type))
    status = EXHAUSTED if used >= rule.value else ACTIVE
    return Standing(used=used, status=status, resets_at=resets_at)


def _of_now(rule: Rule, budget: Budget, resets_at: datetime | None) -> Standing:
    reserved = budget.committed - budget.spent
    is_held = reserved > 0 and budget.committed >= rule.value
    return Standing(
        used=budget.spent,
        reserved=reserved,
        status=budget.status,
        resets_at=resets_at,
        reason=ALL_HELD if is_held else None,
    )


def _of_rate(rule: Rule, call: AskedCall, used: Used | None, reason: str) -> Standing:
    start, end = window_of(rule.unit, call.at)
    if start > call.now:
        return Standing(reason=NOT_BEGUN, resets_at=end)
    if used is None:
        return Standing(reason=reason, resets_at=end)
    counted = used.of(rule.type)
    status = EXHAUSTED if counted >= rule.value else ACTIVE
    return Standing(used=counted, reserved=0, status=status, resets_at=end)


@dataclass(frozen=True, slots=True)
class _Spans:
    """What must be counted: what was used lately, by level, and what each rule needs, by its place."""

    lately: Mapping[str, Span]
    of_rules: Mapping[int, Span]

    def every(self) -> Iterable[Span]:
        yield from self.lately.values()
        yield from self.of_rules.values()


def _lately(call: AskedCall, level: str) -> Span:
    until = min(call.at, call.now)
    # The hour that has not ended yet is in the ledger as far as it has come.
    end = until if until == call.now else hour_at(until)
    return Span(level, hour_at(until) - LATELY, end)


def _until(call: AskedCall, end: datetime) -> datetime:
    """Return until when a window that ends at `end` is looked at."""
    return min(end, call.at) if call.at < call.now else end


def _spans(call: AskedCall, rules: Sequence[Rule], whole_since: datetime | None) -> _Spans:
    lately, found = {}, {}
    for place, rule in enumerate(rules):
        level, budget = rule.owner.level, rule.budget
        if rule.policy is not None:
            continue
        lately[level] = _lately(call, level)
        span = None
        if rule.what == RATE:
            start, end = window_of(rule.unit, call.at)
            span = Span(level, start, _until(call, end)) if start <= call.now else None
        elif budget is not None and call.at < call.now and call.at >= (budget.last_reset_at or budget.created_at):
            span = Span(level, call.at, call.now)
        is_kept = whole_since is None or (span is not None and span.start >= whole_since)
        if span is not None and (is_kept or not needs_records(span, call.now)):
            found[place] = span
    return _Spans(lately, found)


def _in_policies(call: AskedCall, rules: Sequence[Rule]) -> dict[int, Used | None]:
    """Return what was used under the policies of rate that hold and whose window has begun, by place."""
    wanted = []
    for place, rule in enumerate(rules):
        if rule.what == RATE and rule.policy is not None and rule.why_not is None:
            start, end = window_of(rule.unit, call.at)
            if start <= call.now:
                wanted.append((place, (rule, start, _until(call, end))))
    found = matched(call, [each for _, each in wanted])
    return {place: found[number] for number, (place, _) in enumerate(wanted)}


def _forecast(rule: Rule, call: AskedCall, standing: Standing, pace: float | None) -> Standing:
    left = left_of(rule, standing)
    if left is None or pace is None:
        return replace(standing, pace=pace)
    since = min(call.at, call.now)
    if left == 0:
        return replace(standing, pace=pace, exhausted_at=since)
    hours = left / pace if pace > 0 else float("inf")
    if hours >= elapsed_hours(since, since + FORESEEN):
        return replace(standing, pace=pace)
    at = since + timedelta(hours=hours)
    is_reset_before = standing.resets_at is not None and standing.resets_at <= at
    return replace(standing, pace=pace, exhausted_at=None if is_reset_before else at)


def _pace(rule: Rule, call: AskedCall, standing: Standing, lately: Mapping[str, tuple[Used, float]]) -> float | None:
    """Return what is used in an hour; of a group of a policy, which only its budget knows, since its window began."""
    known = lately.get(rule.owner.level) if rule.policy is None else None
    if known is not None:
        used, hours = known
        return used.of(rule.type) / hours
    if rule.what == BUDGET and rule.budget is not None and standing.used is not None and rule.is_begun:
        begun = rule.budget.last_reset_at or rule.budget.created_at
        # What was used in the first minutes says nothing of a day.
        return standing.used / max(1.0, elapsed_hours(begun, call.now))
    return None


def standings_of(call: AskedCall, rules: Sequence[Rule]) -> list[Standing]:
    """Return where each rule stands at the time of the call; one that does not hold for it has no figures."""
    holding = [rule for rule in rules if rule.why_not is None]
    owners: dict[str, Owner] = {rule.owner.level: rule.owner for rule in holding if rule.policy is None}
    whole_since = records_since() if call.at < call.now else None
    spans = _spans(call, holding, whole_since)
    counts = counts_of(call, owners, spans.every())
    lately = {
        level: (counts[span], elapsed_hours(span.start, span.end)) for level, span in spans.lately.items()
    }  # fmt: skip
    of_policies = _in_policies(call, holding) if whole_since is None or whole_since <= call.at else {}
    found = []
    for place, rule in enumerate(holding):
        span = spans.of_rules.get(place)
        used = counts[span] if span is not None else of_policies.get(place)
        if rule.what == RATE:
            reason = TOO_MANY if place in of_policies else RECORDS_GONE
            standing = _of_rate(rule, call, used, reason)
        else:
            standing = _of_budget(rule, call, used)
        found.append(_forecast(rule, call, standing, _pace(rule, call, standing, lately)))
    waiting = iter(found)
    return [next(waiting) if rule.why_not is None else Standing() for rule in rules]


def first_to_refuse(call: AskedCall, rules: Sequence[Rule], standings: Sequence[Standing]) -> tuple[int, str] | None:
    """Return the place of the limit that refuses first, and why that is so; None when none is known to.

    Those that refuse already come first, then the one that is used up first at the pace of late, then the one with the
    smallest part left.
    """
    ranked = []
    for place, (rule, standing) in enumerate(zip(rules, standings, strict=True)):
        left = left_of(rule, standing)
        if left is None:
            continue
        if left == 0 or standing.status == EXHAUSTED:
            ranked.append(((0, 0.0), place, "it refuses calls at that time"))
        elif standing.exhausted_at is not None:
            seconds = (standing.exhausted_at - call.now).total_seconds()
            ranked.append(((1, seconds), place, "at the pace of late, it is used up before the others"))
        else:
            ranked.append(((2, left / rule.value), place, "the smallest part of it is left"))
    return min(ranked, key=lambda each: (each[0], each[1]))[1:] if ranked else None
