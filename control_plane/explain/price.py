"""What does a call of a model cost?  At the prices of that time; without a price, what budgets take for it instead."""

from dataclasses import dataclass
from typing import Any, Final

from control_plane.catalog.models import CustomProvider
from control_plane.catalog.prices import price_rows
from control_plane.explain.call import AskedCall
from control_plane.ledger.prices_now import Cost, PricesNow
from control_plane.orgs.limits import unpriced_rule
from shared.catalog.load import providers
from shared.pricing import MTOK, Tokens
from shared.schema.limits import UnpricedRule
from shared.unpriced import Unpriced

#: Prices may be others for very long calls: what is asked is what a usual one costs.
_TOKENS: Final = 1000
_TO_MILLION: Final = 1000


@dataclass(frozen=True, slots=True)
class Price:
    """What a million tokens cost, in nano-dollars (None: no price); `status` is one of the records' price statuses.

    Without a price, `rule` says what budgets of cost take for a call, and `taken_input` and `taken_output` how much it
    is for a million tokens (None: such calls are refused).
    """

    status: str
    input_nano: int | None = None
    output_nano: int | None = None
    price_id: str | None = None
    rule: UnpricedRule | None = None
    taken_input: int | None = None
    taken_output: int | None = None


def _priced(prices: PricesNow, call: AskedCall, **tokens: int) -> Cost | None:
    saved = call.virtual_key
    record: dict[str, Any] = {
        "ts": call.at,
        "provider": call.provider,
        "model_served": call.model,
        "model_requested": call.asked,
        "price_id": None,
        "price_status": "priced",
        "usage_source": "provider",
        "tok_in": 0,
        "tok_out": 0,
        "tok_in_cache_read": 0,
        "tok_in_cache_write": 0,
        "tok_out_reasoning": 0,
        "detail": {"integration": str(saved.integration_id)} if saved is not None else {},
    }
    return prices.cost_of({**record, **tokens})


def price_of(call: AskedCall) -> Price | None:
    """Return what the call costs, None when it has no model or no provider to have a price."""
    if not call.model or not call.provider:
        return None
    prices = PricesNow(call.organisation.pk)
    taken, given = _priced(prices, call, tok_in=_TOKENS), _priced(prices, call, tok_out=_TOKENS)
    known = taken or given
    if known is None:
        return _unpriced(call)
    return Price(known.status, _for_million(taken), _for_million(given), known.price_id)


def _source(call: AskedCall) -> str | None:
    """Return the name of the price list of the call's provider, None when it has none."""
    entry = providers().get(call.provider)
    if entry is not None:
        return entry.price_source or call.provider
    custom = CustomProvider.objects.filter(organisation=call.organisation, slug=call.provider)
    return custom.values_list("price_source", flat=True).first() or None


def _unpriced(call: AskedCall) -> Price:
    rule = unpriced_rule(call.organisation.budget_rules)
    if rule.rule == "refuse":
        return Price("unpriced", rule=rule)
    source, book = _source(call), Unpriced({row.id: row for row in price_rows()})
    taken, given = (book.nano(rule, source, used) for used in (Tokens(input=MTOK), Tokens(output=MTOK)))
    return Price("unpriced", rule=rule, taken_input=taken, taken_output=given)


def _for_million(cost: Cost | None) -> int | None:
    return None if cost is None or cost.nano is None else cost.nano * _TO_MILLION
