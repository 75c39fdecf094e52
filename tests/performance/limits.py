"""`make bench`: CPU that one call's admission and settlement take, by how many limits hold for it; without Redis.

What is measured is everything that limits add to a call: which of them hold, what the call may cost at most, setting
that aside, counting, and charging in the end.  The slices are there, as they are for all but the first call.
"""

import asyncio
import statistics
import time

from data_plane.core.job import Choice, Job, Principal
from data_plane.core.types import CallFacts, Usage
from data_plane.limits.admission import Admission
from data_plane.limits.budgets import Budgets
from data_plane.limits.slices import Granted
from data_plane.pipeline import budgets, rates
from data_plane.pipeline.plans import DEFAULT_PLAN
from data_plane.pipeline.target import NO_CREDENTIAL, Destination
from data_plane.providers.registry import load_providers
from shared.schema.limits import BudgetRow, RateRow
from shared.schema.rows import OrgRow, WorkspaceRow
from tests.data_plane import kit

CALLS = 4000
ROUNDS = 9
BOUND_US = 40.0
BODY = {
    "model": "gpt-4o",
    "messages": [{"role": "system", "content": "You are terse. " * 20}, {"role": "user", "content": "word " * 300}],
    "max_tokens": 500,
}
KINDS = ("organisation", "workspace", "user", "api_key", "integration", "virtual_key")


def setting(rate_count, budget_count):
    """Return what a call needs, under so many limits of each kind; they are spread over the levels."""
    told = [BudgetRow(f"b-{kind}", kind, "cost") for kind in KINDS[:budget_count]]
    by_kind = {row.kind: row for row in told}
    of = lambda *kinds: tuple(by_kind[kind] for kind in kinds if kind in by_kind)  # noqa: E731
    many = [(RateRow("requests", unit, 10**9),) for unit in ("rpm", "rph", "rpd")][:rate_count]
    many += [()] * (3 - len(many))
    more = (RateRow("tokens", "rpm", 10**9), RateRow("tokens", "rph", 10**9), RateRow("tokens", "rpd", 10**9))
    of_key = many[0] + (more[: rate_count - 3] if rate_count > 3 else ())
    principal = Principal(
        kit.api_key(budgets=of("api_key", "user"), rates=of_key),
        OrgRow(kit.ORG, "Demo", budgets=of("organisation")),
        WorkspaceRow(kit.WS, kit.ORG, "ws", "W", budgets=of("workspace"), rates=many[1]),
    )
    row = kit.virtual_key(budgets=of("virtual_key", "integration"), rates=many[2])
    return principal, row


async def cpu_us(rate_count, budget_count):
    """Return the CPU microseconds of a call: (median, least) of the rounds."""
    principal, row = setting(rate_count, budget_count)
    snapshot, admission, paying = kit.snapshot(), Admission(), Budgets()
    for kind in KINDS:
        paying.absorb([Granted(f"b-{kind}", f"b-{kind}", 1, 10**18, 0)])
    provider = load_providers()["openai"]
    place = Destination(
        provider, provider.operations["chat"], NO_CREDENTIAL, "https://x", BODY,
        CallFacts("gpt-4o", False, True, {}, {}), row,
    )  # fmt: skip
    job = Job("chat", DEFAULT_PLAN, BODY, "@main/gpt-4o", False, Choice())
    made = [kit.exchange() for _ in range(CALLS)]
    times = []
    for _ in range(ROUNDS):
        for each in made:
            each.principal, each.limits, each.is_admitted = principal, (), False
            each.price_source, each.model_sent, each.usage = "openai", "gpt-4o", Usage(400, 100)
        began = time.process_time()
        for each in made:
            await budgets.set_aside(each, place, job, snapshot, paying, in_bulk=False)
            await rates.admit(each, place, job, (), admission)
            budgets.charge(each, snapshot, paying, 1000, answered=True)
            admission.spent(each.limits, 500)
        times.append((time.process_time() - began) / CALLS * 1e6)
    return statistics.median(times), min(times)


def main():
    """Print a line for each mixture, and what six limits may take."""
    measured = {(r, b): asyncio.run(cpu_us(r, b)) for r, b in ((0, 0), (6, 0), (3, 3), (0, 6), (6, 6))}
    for (rate_count, budget_count), (usual, least) in measured.items():
        print(f"{rate_count} limits of rate, {budget_count} budgets: {usual:6.1f} us CPU a call, least {least:6.1f}")
    print(f"six limits may take {BOUND_US:.0f} us on a machine that does nothing else")


if __name__ == "__main__":
    main()
