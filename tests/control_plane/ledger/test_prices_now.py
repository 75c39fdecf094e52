"""A record costs what a gateway would say today."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from django.utils import timezone

from control_plane.catalog.models import CustomProvider, Integration, SaidPrice
from control_plane.core.errors import Invalid
from control_plane.ledger import prices_now
from control_plane.ledger.prices_now import Cost, PricesNow
from shared.schema.rows import PriceChange, ProviderPricesRow, Rate, UnitRate
from tests.control_plane.factories import make_tenant
from tests.control_plane.ledger.ledger_kit import price_list

pytestmark = pytest.mark.django_db

NANO = 1_000_000_000
AT = datetime(2026, 5, 4, 12, tzinfo=UTC)
#: What the API says is in cents per token: this is a dollar for a million.
CENTS = {"request_token": {"price": 0.0001}, "response_token": {"price": 0}}


@pytest.fixture
def tenant():
    return make_tenant()


@pytest.fixture
def lists(monkeypatch):
    """Make the price lists of now what a test says."""

    def say(*rows):
        monkeypatch.setattr(prices_now, "price_rows", lambda: iter(rows))

    say(price_list(2 * NANO, 6 * NANO))
    return say


def record(**fields):
    usual = {
        "ts": AT, "provider": "openai", "model_requested": "gpt-4o-mini", "model_served": "gpt-4o-mini-2024-07-18",
        "tok_in": 1_000_000, "tok_out": 0, "tok_in_cache_read": 0, "tok_in_cache_write": 0, "tok_out_reasoning": 0,
        "usage_source": "provider", "detail": {}, "cost_nano": 1, "price_id": "openai/gpt-4o-mini@list-1",
        "price_status": "priced",
    }  # fmt: skip
    return {**usual, **fields}


def cost(tenant, *, price_id="", own_of_now=False, **fields):
    return PricesNow(tenant.organisation.pk, price_id, own_of_now=own_of_now).cost_of(record(**fields))


def make_integration(tenant, slug="account"):
    return Integration.objects.create(organisation=tenant.organisation, ai_provider_id="openai", slug=slug, name=slug)


def say_price(integration, since, prices, model="gpt-4o-mini"):
    SaidPrice.objects.create(
        organisation_id=integration.organisation_id,
        integration=integration,
        model=model,
        valid_from=since,
        prices=prices,
    )


def test_the_list_of_the_provider_counts_with_its_price_and_version(tenant, lists):
    assert cost(tenant, tok_out=1_000_000) == Cost(8 * NANO, "openai/gpt-4o-mini@list-2", "priced")


def test_parts_and_units_are_charged_as_gateways_do(tenant, lists):
    prices = price_list(2 * NANO, 6 * NANO, cache_read=(Rate(0, NANO),), units={"web_searches": UnitRate(5)})
    lists(prices)
    assert cost(tenant, tok_in_cache_read=500_000, detail={"units": {"web_searches": 3, "of-a-newer-one": 1}}) == Cost(
        NANO + NANO // 2 + 15, "openai/gpt-4o-mini@list-2", "priced"
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"provider": "nobody"}, {"provider": None}, {"model_served": "unheard-of"}, {"model_served": None},
        {"usage_source": "none"}, {"tok_in": 0, "detail": {"units": {"images": 1}}}, {"tok_in": 2**62},
    ],
)  # fmt: skip
def test_what_has_no_price_now_has_no_cost(tenant, lists, fields):
    assert cost(tenant, **fields) is None


def test_a_free_model_costs_nothing(tenant, lists):
    lists(price_list(0, free=True))
    assert cost(tenant) == Cost(0, "openai/gpt-4o-mini@list-2", "free")


def test_a_record_of_a_tier_is_priced_at_that_tier(tenant, lists):
    flex = PriceChange("flex", rates={"input": (Rate(0, NANO),)})
    lists(price_list(2 * NANO, changes=(flex,)))
    assert cost(tenant, price_id="", price_status="priced").nano == 2 * NANO
    found = PricesNow(tenant.organisation.pk).cost_of(record(price_id="openai/gpt-4o-mini+flex@list-1"))
    assert found == Cost(NANO, "openai/gpt-4o-mini+flex@list-2", "priced")
    unknown = PricesNow(tenant.organisation.pk).cost_of(record(price_id="openai/gpt-4o-mini+fast@list-1"))
    assert unknown is None


def test_a_plus_in_a_models_name_is_no_tier(tenant, lists):
    lists(price_list(2 * NANO, model="command-r+"))
    found = PricesNow(tenant.organisation.pk).cost_of(
        record(model_served="command-r+", price_id="openai/command-r+@list-1")
    )
    assert found.nano == 2 * NANO


def test_the_price_of_the_hour_of_the_call_counts(tenant, lists):
    later = PriceChange(from_s=int(AT.timestamp()), rates={"input": (Rate(0, NANO),)})
    lists(price_list(2 * NANO, changes=(later,)))
    assert cost(tenant, ts=AT).nano == NANO
    assert cost(tenant, ts=AT - timedelta(microseconds=1)).nano == 2 * NANO


def test_one_price_may_count_for_every_record(tenant, lists):
    other = msgspec.structs.replace(price_list(7 * NANO).models[0], id="gpt-9", match=["equals", "gpt-9"])
    lists(price_list(2 * NANO), ProviderPricesRow("other", "list-3", (other,)))
    assert cost(tenant, model_served=None, provider="x") is None
    found = PricesNow(tenant.organisation.pk, "other/gpt-9@list-3").cost_of(record(model_served=None, provider="x"))
    assert found == Cost(7 * NANO, "other/gpt-9@list-3", "priced")


@pytest.mark.parametrize("price_id", ["openai/gpt-4o-mini@list-1", "openai/x@list-2", "nonsense"])
def test_a_price_that_there_is_not_is_refused(tenant, lists, price_id):
    with pytest.raises(Invalid):
        PricesNow(tenant.organisation.pk, price_id)


def test_a_custom_provider_has_the_prices_of_the_list_that_it_names_and_of_no_other(tenant, lists):
    own = {"organisation": tenant.organisation, "base_url": "https://models.example.com"}
    CustomProvider.objects.create(slug="named", name="n", price_source="openai", **own)
    CustomProvider.objects.create(slug="bare", name="b", **own)
    assert cost(tenant, provider="named").nano == 2 * NANO
    assert cost(tenant, provider="bare") is None
    assert cost(make_tenant(), provider="named") is None


def test_an_integration_that_pays_other_prices_pays_those_of_the_time_of_the_call(tenant, lists):
    integration = make_integration(tenant)
    say_price(integration, AT - timedelta(days=9), CENTS)
    say_price(integration, AT, {**CENTS, "request_token": {"price": 0.0002}})
    detail = {"integration": str(integration.pk)}
    assert cost(tenant, detail=detail, ts=AT - timedelta(days=10)).nano == 2 * NANO
    before = cost(tenant, detail=detail, ts=AT - timedelta(days=1))
    assert (before.nano, before.status) == (NANO, "override")
    assert before.price_id.startswith("integration/account/gpt-4o-mini@")
    assert cost(tenant, detail=detail, ts=AT).nano == 2 * NANO
    assert cost(make_tenant(), detail=detail, ts=AT - timedelta(days=1)).price_id == "openai/gpt-4o-mini@list-2"


def test_what_an_integration_pays_now_may_count_for_the_past(tenant, lists):
    integration = make_integration(tenant)
    say_price(integration, AT, CENTS)
    say_price(integration, timezone.now() - timedelta(minutes=1), {**CENTS, "request_token": {"price": 0.0005}})
    say_price(integration, timezone.now() + timedelta(days=1), CENTS)
    detail = {"integration": str(integration.pk)}
    assert cost(tenant, detail=detail, ts=AT).nano == NANO
    assert cost(tenant, detail=detail, ts=AT - timedelta(days=1), own_of_now=True).nano == 5 * NANO


def test_multipliers_apply_to_the_list_of_now(tenant, lists):
    integration = make_integration(tenant)
    say_price(integration, AT - timedelta(days=1), {"default": 0.5}, model="")
    found = cost(tenant, detail={"integration": str(integration.pk)})
    assert (found.nano, found.status) == (NANO, "override")


def test_a_record_whose_integration_is_gone_has_no_price_now(tenant, lists):
    gone = {"detail": {"integration": "0"}, "price_status": "override"}
    assert cost(tenant, **gone) is None
    assert cost(tenant, detail={"integration": "0"}).nano == 2 * NANO


@pytest.mark.parametrize("price_id", ["integration/account/org/alias@9@2026-05-01T00:00:00Z", ""])
def test_the_model_that_was_sent_is_known_by_its_price_or_by_what_was_asked(tenant, lists, price_id):
    integration = make_integration(tenant)
    say_price(integration, AT, CENTS, model="org/alias@9")
    fields = {
        "detail": {"integration": str(integration.pk)},
        "model_requested": "x" if price_id else "@team/org/alias@9",
    }
    found = PricesNow(tenant.organisation.pk).cost_of(record(price_id=price_id or None, **fields))
    assert found.nano == NANO
