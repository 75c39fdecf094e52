"""What would a record cost at the prices of now?  Computed from what it says was used, by the rules of the gateways.

"Of now" is what is known now of the prices: the price that counts is the one that held when the call came.  What an
integration pays cannot be said for the past; where that was wrong, what is said now counts for past calls on demand.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from django.utils import timezone

from control_plane.catalog.models import CustomProvider, Integration, SaidPrice
from control_plane.catalog.own_prices import ALL, multipliers, own_prices, timeline
from control_plane.catalog.prices import price_rows
from control_plane.core.errors import Invalid
from control_plane.logs.decode import EPOCH
from shared.catalog.load import providers
from shared.own_prices import OwnPriceBook, PricedCall
from shared.price_book import Found, PriceBook
from shared.pricing import Tokens, cost_nano
from shared.schema.rows import IntegrationPricesRow, ProviderPricesRow

#: How the names of integrations' own prices begin.
_OWN: Final = "integration/"
_MICROSECOND: Final = timedelta(microseconds=1)
#: What a record's `units` may say beside the tokens that have columns.
_UNITS: Final = frozenset(each.name for each in fields(Tokens)) - {
    "input", "output", "cache_read", "cache_write", "reasoning", "source",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cost:
    """A cost in nano-dollars (None: unknown), the price that it was computed by, and the record's `price_status`."""

    nano: int | None
    price_id: str | None
    status: str


def _named(price_id: str) -> ProviderPricesRow:
    """Return a list whose one price, `<list>/<model>@<version>`, covers every model; raise Invalid when it is none."""
    for prices in price_rows():
        for row in prices.models:
            if price_id == f"{prices.id}/{row.id}@{prices.source}":
                every = msgspec.structs.replace(row, match=["contains", ""])
                return msgspec.structs.replace(prices, models=(every,), fallback=())
    raise Invalid(f"There is no price {price_id} in the price lists of now.")


def _tokens(record: Mapping[str, Any]) -> Tokens:
    units: Mapping[str, int] = record["detail"].get("units") or {}
    return Tokens(
        input=record["tok_in"],
        output=record["tok_out"],
        cache_read=record["tok_in_cache_read"],
        cache_write=record["tok_in_cache_write"],
        reasoning=record["tok_out_reasoning"],
        source=record["usage_source"],
        **{name: count for name, count in units.items() if name in _UNITS},
    )


def _own_rows(organisation_id: UUID, *, of_now: bool) -> dict[str, IntegrationPricesRow]:
    """Return what integrations pay in place of list prices, since the first that was said; `of_now`: see PricesNow."""
    by_model: dict[Integration, dict[str, list[SaidPrice]]] = {}
    said = SaidPrice.objects.filter(organisation_id=organisation_id).select_related("integration")
    for row in said.order_by("created_at", "id"):
        by_model.setdefault(row.integration, {}).setdefault(row.model, []).append(row)
    found = {}
    for integration, models in by_model.items():
        held = {model: _held(rows, of_now=of_now) for model, rows in models.items()}
        factors = tuple(multipliers(since, row.prices) for since, row in held.pop(ALL, []))
        prices = {model: tuple(own_prices(since, row.prices) for since, row in rows) for model, rows in held.items()}
        row_id = str(integration.pk)
        found[row_id] = IntegrationPricesRow(row_id, str(organisation_id), integration.slug, prices, factors)
    return found


def _held(said: list[SaidPrice], *, of_now: bool) -> list[tuple[datetime, SaidPrice]]:
    rows = timeline(said, EPOCH)
    if of_now:
        now = timezone.now()
        return [(EPOCH, row) for row in rows if row.valid_from <= now][-1:]
    return [(row.valid_from, row) for row in rows]


class PricesNow:
    """The prices of one organisation, as they are now.

    `price_id` names the one price of the lists that counts for every record.  `own_of_now`: what an integration pays
    now, it always paid.  Raises Invalid for a price that there is not.
    """

    def __init__(self, organisation_id: UUID, price_id: str = "", *, own_of_now: bool = False) -> None:
        lists = {row.id: row for row in price_rows()}
        self._stems = {f"{prices.id}/{row.id}" for prices in lists.values() for row in prices.models}
        self._only = _named(price_id) if price_id else None
        if self._only is not None:
            lists = {self._only.id: self._only}
        self._own = _own_rows(organisation_id, of_now=own_of_now)
        self._book = OwnPriceBook(self._own, PriceBook(lists))
        custom = CustomProvider.objects.filter(organisation_id=organisation_id)
        # Gateways price a custom provider without a list by its id, which no list has.
        self._sources = {row.slug: row.price_source or str(row.pk) for row in custom}
        self._sources |= {name: entry.price_source or name for name, entry in providers().items()}

    def _tier(self, price_id: str) -> str:
        """Return the tier at which a record was priced, "" for the usual one; its price's name says so."""
        stem = price_id.rpartition("*")[2].rpartition("@")[0]
        return "" if stem in self._stems or stem.startswith(_OWN) or "+" not in stem else stem.rpartition("+")[2]

    def _find(self, record: Mapping[str, Any]) -> Found | None:
        ts: datetime = record["ts"]
        price_id: str = record["price_id"] or ""
        tier, at_us = self._tier(price_id), (ts - EPOCH) // _MICROSECOND
        if self._only is not None:
            return self._book.find(PricedCall(self._only.id, record["model_served"] or "-", tier, at_us))
        integration = record["detail"].get("integration")
        if record["price_status"] == "override" and integration not in self._own:
            # What it paid went with the integration, and the list price was not it.
            return None
        source = self._sources.get(record["provider"] or "")
        sent = _sent(price_id) or _asked(record["model_requested"])
        return self._book.find(PricedCall(source, record["model_served"], tier, at_us, integration, sent))

    def cost_of(self, record: Mapping[str, Any]) -> Cost | None:
        """Return what a record (its columns by name, `detail` among them) costs now; None when no price is known."""
        found = None if record["usage_source"] == "none" else self._find(record)
        if found is None or found.row is None:
            return None
        if found.row.free:
            return Cost(0, found.price_id, "free")
        nano = cost_nano(found.row, _tokens(record))
        return None if nano is None else Cost(nano, found.price_id, "override" if found.is_own else "priced")


def _sent(price_id: str) -> str | None:
    """Return the model that an integration's own price was said of, None when it was no such price."""
    stem = price_id.rpartition("@")[0]
    return stem.split("/", 2)[2] if stem.startswith(_OWN) and "*" not in stem and stem.count("/") > 1 else None


def _asked(model: str | None) -> str | None:
    """Return a model as it is sent to a provider: without the name of the provider before it."""
    return model.partition("/")[2] if model and model.startswith("@") else model
