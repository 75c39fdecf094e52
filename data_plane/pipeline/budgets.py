"""Which budgets pay for an attempt, how much may it take of each, and what did it take in the end?

Set aside is what the call may cost at most, so that a call with a cap on its answer never costs more than that; what a
call without a cap, or with pictures and files, may cost beyond it is what budgets can be overspent by.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec
import structlog

from data_plane.core.budget import Held, Want
from data_plane.core.estimate import MOST_CHOICES, most_answer_tokens, most_asked_tokens, number_in
from data_plane.core.exchange import Exchange
from data_plane.core.job import Job, Principal
from data_plane.core.types import Json, Usage
from data_plane.limits.budgets import Budgets
from data_plane.limits.slices import policy_key
from data_plane.pipeline.rates import attempt_facts
from data_plane.pipeline.target import Destination
from data_plane.sync.snapshot import Holder, Snapshot
from shared.errors import Quarantined, UnpricedRefused
from shared.own_prices import PricedCall
from shared.policies import is_about_route, matches, value_key
from shared.pricing import cost_nano, most_nano
from shared.schema.limits import BudgetUnit, UsagePolicyRow
from shared.schema.log_record import Charged
from shared.schema.rows import ModelPriceRow, VirtualKeyRow

#: Operations that cost nothing.
_FREE: Final = frozenset({"models", "count_tokens"})
#: Operations whose answers are made of tokens.
_WRITES: Final = frozenset({
    "chat", "messages", "responses", "complete", "transcribe", "translate", "image", "edit_image", "vary_image",
    "speech", "realtime", "ocr",
})  # fmt: skip
#: What caps an answer, by operation: what an endpoint does not know caps nothing.  Of what is forwarded, any of them.
_CAPS: Final[Mapping[str, tuple[str, ...]]] = {
    "chat": ("max_completion_tokens", "max_tokens"), "messages": ("max_tokens",), "complete": ("max_tokens",),
    "responses": ("max_output_tokens",),
}  # fmt: skip
_ANY_CAP: Final = ("max_completion_tokens", "max_tokens", "max_output_tokens", "max_tokens_to_sample")
#: Whose budgets are those of a provider's account.
_OF_ACCOUNT: Final = frozenset({"virtual_key", "integration", "integration_workspace"})
_MAKES_PICTURES: Final = frozenset({"image", "edit_image", "vary_image"})
_HEARS: Final = frozenset({"transcribe", "translate"})
#: How long a recording is taken to be at most, before somebody has heard it.
ASSUMED_AUDIO_MS: Final = 600_000
#: What one search of a rerank covers.
_DOCUMENTS_PER_SEARCH: Final = 100
#: Methods of calls that run no model.
_WITHOUT_MODEL: Final = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})
#: As much as a row of the control plane holds.
MOST_AMOUNT: Final = 2**62

log = structlog.get_logger(module=__name__)


def _owner(want: Want, principal: Principal, row: VirtualKeyRow | None, policies: Mapping[str, str]) -> str:
    slug = row.slug if row is not None else ""
    named = {
        "api_key": "this API key",
        "token": "this token",
        "user": "this user",
        "organisation": f"the organisation {principal.org.name}",
        "workspace": f"the workspace {principal.ws.name}",
        "virtual_key": f"the provider @{slug}",
        "integration": f"the account of @{slug}",
        "integration_workspace": f"the account of @{slug} in this workspace",
        "policy": f"the policy {policies.get(want.key, '')}".rstrip(),
    }
    return named.get(want.kind, want.kind)


def _is_free(destination: Destination, job: Job) -> bool:
    if job.operation in _FREE or (destination.operation is not None and destination.operation.local is not None):
        return True
    return job.raw is not None and job.raw.method in _WITHOUT_MODEL


def _prompts(prompt: Any) -> int:
    """Return how many prompts there are, each of which has an answer of its own; a list of tokens is one."""
    if isinstance(prompt, msgspec.Raw):
        try:
            prompt = msgspec.json.decode(prompt, type=list[msgspec.Raw])
        except msgspec.MsgspecError:
            return 1
        return sum(bytes(memoryview(each)[:1]) in (b'"', b"[") for each in prompt) or 1
    return sum(not isinstance(each, int) for each in prompt) or 1 if isinstance(prompt, list) else 1


def _most_answer(job: Job, body: Json, assumed: int) -> int:
    """Return how many tokens all answers may have."""
    named = _ANY_CAP if job.raw is not None else _CAPS.get(job.operation, ())
    most = most_answer_tokens(body, named, assumed)
    is_completion = job.operation == "complete" or job.raw is not None
    return most * (_prompts(body.get("prompt")) if is_completion else 1)


def _most_tokens(job: Job, body: Json, assumed: int) -> tuple[int, int]:
    given = _most_answer(job, body, assumed) if job.operation in _WRITES or job.raw is not None else 0
    return most_asked_tokens(body), given


def _most_beside(job: Job, body: Json) -> Usage | None:
    """Return what a call may use besides tokens; None for nothing."""
    if job.operation in _MAKES_PICTURES:
        count = number_in(body.get("n"))
        return Usage(images=count if 0 < count <= MOST_CHOICES else 1)
    if job.operation == "speech":
        return Usage(characters=most_asked_tokens(body))
    if job.operation == "rerank":
        documents = body.get("documents")
        return Usage(searches=1 + (len(documents) if isinstance(documents, list) else 0) // _DOCUMENTS_PER_SEARCH)
    return Usage(audio_ms=ASSUMED_AUDIO_MS) if job.operation in _HEARS else None


def most_usage(job: Job, body: Json, assumed: int) -> Usage:
    """Return what a call may use at most, as far as its body tells; `assumed` tokens where it caps no answer.

    It is priced as if the provider had counted it.
    """
    taken, given = _most_tokens(job, body, assumed)
    return replace(_most_beside(job, body) or Usage(), input=taken, output=given)


def priced_call(exchange: Exchange) -> PricedCall:
    """Return what the price of an answered exchange depends on; the tier is the one that was served, if told."""
    tier = exchange.usage.tier or exchange.tier_asked
    return PricedCall(
        exchange.price_source, exchange.model_served, "" if tier == "default" else tier, exchange.call.received_us,
        exchange.integration, exchange.model_sent,
    )  # fmt: skip


def _row_of(call: PricedCall, snapshot: Snapshot) -> ModelPriceRow | None:
    try:
        found = snapshot.own_prices.find(call)
    except Quarantined:
        return None
    return found.row if found is not None else None


def _used_nano(exchange: Exchange, principal: Principal, snapshot: Snapshot) -> int:
    """Return what an exchange has cost so far, in nano-dollars."""
    row = _row_of(priced_call(exchange), snapshot)
    if row is not None and row.free:
        return 0
    cost = cost_nano(row, exchange.usage) if row is not None else None
    if cost is None:
        return snapshot.unpriced.nano(principal.org.unpriced, exchange.price_source, exchange.usage)
    return cost


def _most_nano(exchange: Exchange, job: Job, body: Json, tokens: tuple[int, int], snapshot: Snapshot) -> int:
    """Return the most that a call may cost, in nano-dollars; raises UnpricedRefused."""
    call = PricedCall(
        exchange.price_source, exchange.model_sent, "" if exchange.tier_asked == "default" else exchange.tier_asked,
        exchange.call.received_us, exchange.integration, exchange.model_sent,
    )  # fmt: skip
    row = _row_of(call, snapshot)
    if row is not None and row.free:
        return 0
    beside = _most_beside(job, body)
    taken, given = tokens
    cost = None
    if row is not None:
        cost = most_nano(row, taken, given, beside)
    if cost is not None:
        return cost
    assert exchange.principal is not None  # noqa: S101 -- the caller looked, for the type checker
    rule = exchange.principal.org.unpriced
    if rule.rule == "refuse":
        raise UnpricedRefused(
            f"The price of {exchange.model_sent or 'this call'} is not known, and this organisation allows no calls"
            " of unknown prices under a budget.",
            path="model",
        )
    return snapshot.unpriced.nano(rule, exchange.price_source, replace(beside or Usage(), input=taken, output=given))


def _matching(
    policies: Sequence[UsagePolicyRow], exchange: Exchange, destination: Destination, job: Job
) -> list[tuple[UsagePolicyRow, str]]:
    principal = exchange.principal
    if not policies or principal is None:
        return []
    facts = attempt_facts(principal, job, destination.provider.id, destination.virtual_key, destination.facts.model)
    return [(policy, value_key(policy, facts)) for policy in policies if matches(policy, facts)]


async def set_aside(
    exchange: Exchange, destination: Destination, job: Job, snapshot: Snapshot, budgets: Budgets, *, in_bulk: bool
) -> None:
    """Set aside what an attempt may take of every budget that pays for it; what is set aside stands on the exchange.

    `in_bulk`: the call is about files and jobs of a provider, whose cost nobody can tell; only an exhausted budget
    refuses it.  Raises BudgetExceeded, BudgetUnavailable or UnpricedRefused.
    """
    give_back(exchange, budgets)
    principal, row = exchange.principal, destination.virtual_key
    if principal is None or _is_free(destination, job):
        return
    rows = principal.key.budgets + principal.ws.budgets + principal.org.budgets + (row.budgets if row else ())
    matching = _matching(snapshot.usage_policies_of(principal.ws), exchange, destination, job)
    if not rows and not matching:
        return
    units = {each.unit for each in rows} | {policy.type for policy, _ in matching}
    needs: dict[BudgetUnit, int] = dict.fromkeys(units, 1)
    if not in_bulk and units != {"requests"}:
        tokens = _most_tokens(job, destination.body, principal.org.assumed_output)
        needs["tokens"] = min(sum(tokens), MOST_AMOUNT)
        if "cost" in units:
            needs["cost"] = _most_nano(exchange, job, destination.body, tokens, snapshot)
    wants = [Want(each.id, each.unit, needs[each.unit], each.kind, each.kind not in _OF_ACCOUNT) for each in rows]
    names = {}
    for policy, value in matching:
        key = policy_key(policy.id, value)
        names[key] = policy.name
        wants.append(Want(key, policy.type, needs[policy.type], "policy", not is_about_route(policy)))
    added = await budgets.reserve(wants, lambda want: _owner(want, principal, row, names))
    exchange.held += added


async def top_up(exchange: Exchange, destination: Destination, holder: Holder, budgets: Budgets) -> None:
    """Set aside more of each budget of which a session has used more than was set aside for it, all or none.

    It is as much as at first, as often as it takes to cover what was used.  Raises BudgetExceeded, BudgetUnavailable.
    """
    principal, usage, snapshot = exchange.principal, exchange.usage, holder.current
    if principal is None or snapshot is None or not exchange.held:
        return
    first: dict[str, Want] = {}
    covered: Counter[str] = Counter()
    for each in exchange.held:
        first.setdefault(each.want.key, each.want)
        covered[each.want.key] += each.want.need
    used = {"tokens": usage.input + usage.output}
    if any(want.unit == "cost" for want in first.values()):
        used["cost"] = _used_nano(exchange, principal, snapshot)
    wants = []
    for key, want in first.items():
        lacking = min(used.get(want.unit, 0), MOST_AMOUNT) - covered[key]
        if lacking > 0:
            step = max(want.need, 1)
            wants.append(want._replace(need=-(-lacking // step) * step))
    if not wants:
        return
    row, policies = destination.virtual_key, snapshot.usage_policies_of(principal.ws)
    names = {key: each.name for each in policies for key in first if key.startswith(policy_key(each.id, ""))}
    added = await budgets.reserve(wants, lambda want: _owner(want, principal, row, names))
    exchange.held += added


def take_all(exchange: Exchange) -> None:
    """Note that an attempt was answered, although another one follows: a provider has worked for it."""
    exchange.taken += exchange.held
    exchange.held = ()


def give_back(exchange: Exchange, budgets: Budgets) -> None:
    """Put back what was set aside for an attempt that came to nothing."""
    if exchange.held:
        budgets.release(exchange.held)
        exchange.held = ()


def charge_whole(exchange: Exchange, budgets: Budgets, *, answered: bool) -> None:
    """Charge all that was set aside for what was answered: what that took cannot be told."""
    if answered:
        take_all(exchange)
    give_back(exchange, budgets)
    held, exchange.taken = exchange.taken, ()
    budgets.settle(held, [each.want.need for each in held])


def charge(
    exchange: Exchange, snapshot: Snapshot, budgets: Budgets, cost: int | None, *, answered: bool
) -> tuple[Charged, ...]:
    """Charge what a finished exchange took to its budgets, and return it as its record says; `cost` is nano-dollars.

    A call of an unknown price takes what the organisation's rule says, and one whose use nobody counted what was set
    aside for it.
    """
    if not answered:
        give_back(exchange, budgets)
    earlier, held, exchange.taken, exchange.held = exchange.taken, exchange.held, (), ()
    if not (earlier or held):
        return ()
    usage, principal = exchange.usage, exchange.principal
    counts: dict[str, int | None] = {"requests": 1, "tokens": usage.input + usage.output, "cost": cost}
    if cost is None and principal is not None and usage.source != "none":
        counts["cost"] = snapshot.unpriced.nano(principal.org.unpriced, exchange.price_source, usage)
    if cost is None and any(each.want.unit == "cost" for each in held):
        budgets.unpriced += 1
        log.warning("unpriced_under_budget", provider=exchange.provider, model=exchange.model_served, id=exchange.id)
    if usage.source == "none":
        counts["tokens"] = None
    amounts = _amounts(held, counts)
    if earlier:
        held, amounts = earlier + held, [each.want.need for each in earlier] + amounts
    budgets.settle(held, amounts)
    return _charged(held, amounts)


def _charged(held: Sequence[Held], amounts: Sequence[int]) -> tuple[Charged, ...]:
    """Return what was taken of each window of a budget, once each."""
    taken: dict[tuple[str, int], int] = {}
    for each, amount in zip(held, amounts, strict=True):
        if amount > 0:
            window = each.slice.budget, each.slice.window
            taken[window] = taken.get(window, 0) + amount
    return tuple([Charged(budget, window, amount) for (budget, window), amount in taken.items()])


def _amounts(held: Sequence[Held], counts: Mapping[str, int | None]) -> list[int]:
    """Return what is taken of each; of what was set aside bit by bit for one budget, the first is taken first."""
    if len({each.want.key for each in held}) == len(held):
        told = [counts[each.want.unit] for each in held]
        return [
            each.want.need if count is None else min(count, MOST_AMOUNT) for each, count in zip(held, told, strict=True)
        ]
    last = {each.want.key: number for number, each in enumerate(held)}
    left: dict[str, int] = {}
    amounts = []
    for number, each in enumerate(held):
        key, need, count = each.want.key, each.want.need, counts[each.want.unit]
        if count is None:
            amounts.append(need)
            continue
        rest = left.get(key, min(count, MOST_AMOUNT))
        amounts.append(rest if last[key] == number else min(rest, need))
        left[key] = rest - amounts[-1]
    return amounts
