"""What was used, and what did it cost?  Totals for pages and analytics, of what a caller may see."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.db.models import Q, QuerySet, Sum
from django.db.models.functions import TruncDay

from control_plane.core.errors import Invalid
from control_plane.core.principal import Principal
from control_plane.core.tenancy import visible_to
from control_plane.ledger.models import DIMENSIONS, MEASURES, Total
from control_plane.logs.services import only_own

TOTAL_SCOPES: Final = frozenset({"analytics.view"})
#: By what totals can be told apart; hours and days are those of UTC.
GROUPS: Final = ("hour", "day", *DIMENSIONS)


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over the records of one group; `of` says which, by the names that were asked for.

    Money is in nano-dollars, tokens include their parts.  `cost_nano` is of the requests that have a price; `unpriced`
    are those without one, `estimated` those whose tokens the provider did not say.  Times are sums as well.
    """

    of: Mapping[str, Any]
    requests: int
    errors: int
    unpriced: int
    estimated: int
    tok_in: int
    tok_out: int
    tok_in_cache_read: int
    tok_in_cache_write: int
    tok_out_reasoning: int
    cost_nano: int
    saved_nano: int
    lat_ms: int
    upstream_ms: int
    gw_us: int


def _condition(filters: Mapping[str, Collection[Any]]) -> Q:
    condition = Q()
    for name, values in filters.items():
        if name not in DIMENSIONS:
            raise Invalid(f"There is no dimension {name}.")
        wanted = Q(**{f"{name}__in": [value for value in values if value is not None]})
        condition &= wanted | Q(**{f"{name}__isnull": True}) if None in values else wanted
    return condition


def _is_hour(moment: datetime) -> bool:
    return not (moment.astimezone(UTC) - datetime(2000, 1, 1, tzinfo=UTC)) % timedelta(hours=1)


def visible_totals(principal: Principal) -> QuerySet[Total]:
    """Return the totals that `principal` may know of; who sees their own data only, sees those of their own keys."""
    return only_own(visible_to(Total.objects.all(), principal, TOTAL_SCOPES), principal)


def totals(
    principal: Principal,
    start: datetime,
    end: datetime,
    *,
    by: Collection[str] = (),
    filters: Mapping[str, Collection[Any]] | None = None,
) -> list[Totals]:
    """Return totals from `start` until before `end` (aware, whole hours), one for each combination of `by`, in order.

    `by` are names of GROUPS; without any there is one total, of zeros when nothing was used.  `filters` are dimensions
    with the values that count, None among them for records that have none.  Exact up to the last stored record.
    Raises Invalid for a name that is none, and for bounds that are no whole hours or the wrong way round.
    """
    unknown = sorted(set(by) - set(GROUPS))
    if unknown:
        raise Invalid(f"Totals cannot be told apart by {unknown[0]}.")
    if not (_is_hour(start) and _is_hour(end) and start < end):
        raise Invalid("The time range must be of whole hours, and longer than nothing.")
    rows = visible_totals(principal).filter(_condition(filters or {}), hour__gte=start, hour__lt=end)
    sums = {f"sum_{name}": Sum(name) for name in MEASURES}
    if not by:
        return [_totals((), rows.aggregate(**sums))]
    if "day" in by:
        rows = rows.annotate(day=TruncDay("hour", tzinfo=UTC))
    # A key from which a repair took all is a key without records.
    groups = rows.order_by().values(*by).annotate(**sums).filter(sum_requests__gt=0).order_by(*by)
    return [_totals(by, group) for group in groups]


def _totals(by: Collection[str], group: Mapping[str, Any]) -> Totals:
    return Totals({name: group[name] for name in by}, **{name: int(group[f"sum_{name}"] or 0) for name in MEASURES})
