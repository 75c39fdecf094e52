"""What was said of an integration's prices, and what gateways learn of it."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from control_plane.catalog import own_prices
from control_plane.catalog.allowed_models import drop_models, set_models
from control_plane.catalog.models import Integration, SaidPrice
from control_plane.catalog.own_prices import export_own_prices, multipliers, timeline
from control_plane.catalog.services import create_integration, delete_integration, update_integration
from control_plane.core.errors import Invalid
from control_plane.core.models import OutboxEvent
from shared.own_prices import OwnPriceBook, PricedCall
from shared.price_book import PriceBook
from shared.redact import Secret
from shared.schema.rows import ModelPriceRow, ProviderPricesRow, Rate, UnitRate
from tests.control_plane.factories import make_tenant

pytestmark = pytest.mark.django_db

KEY = Secret("sk-0123456789abcdef")
NOON = datetime(2031, 5, 5, 12, tzinfo=UTC)
LISTED = ModelPriceRow("gpt-4o", ["equals", "gpt-4o"], input=(Rate(0, 2_500_000_000),))
BOOK = PriceBook({"openai": ProviderPricesRow("openai", "v1", (LISTED,))})


class Clock:
    def __init__(self):
        self.now = NOON

    def pass_by(self, **time):
        self.now += timedelta(**time)


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(own_prices.timezone, "now", lambda: made.now)
    return made


@pytest.fixture
def tenant():
    return make_tenant()


@pytest.fixture
def account(tenant):
    return create_integration(tenant.actor, {"name": "Main", "ai_provider_id": "openai", "key": KEY})


def config(cents, **more):
    return {"type": "static", "pay_as_you_go": {"request_token": {"price": cents}}, **more}


def say(tenant, account, cents, slug="gpt-4o", **more):
    said = None if cents is None else config(cents, **more)
    set_models(tenant.actor, account, {"models": [{"slug": slug, "enabled": True, "pricing_config": said}]})


def rows(tenant):
    return {row_id: row for _, row_id, row in export_own_prices(tenant.organisation)}


def nano(tenant, account, moment):
    """Return the rate of gpt-4o at a moment, as a gateway finds it."""
    micros = int(moment.timestamp()) * 1_000_000
    call = PricedCall("openai", "gpt-4o", "", micros, str(account.pk))
    return OwnPriceBook(rows(tenant), BOOK).find(call).row.input[0].nano_per_mtok


def test_a_price_in_cents_per_token_reaches_gateways_to_the_nano_dollar(tenant, account):
    prices = {"request_token": {"price": 0.00025}, "response_token": {"price": 0.1}, "reasoning_token": {"price": 0}}
    given = {
        "type": "static",
        "pay_as_you_go": {**prices, "additional_units": {"image": {"price": 4}, "audio_second": {"price": 0.01}}},
    }
    set_models(tenant.actor, account, {"models": [{"slug": "m", "enabled": True, "pricing_config": given}]})
    (row,) = rows(tenant).values()
    (held,) = row.models["m"]
    assert (row.id, row.org, row.slug) == (str(account.pk), str(tenant.organisation.pk), account.slug)
    assert held.rates == {"input": 2_500_000_000, "output": 1_000_000_000_000, "reasoning": 0}
    assert held.units == {"images": UnitRate(40_000_000, 1), "audio_ms": UnitRate(100_000, 1000)}


def test_the_price_of_texts_is_the_price_of_all_tokens_where_no_other_is_said(tenant, account):
    of_text = own_prices.own_prices(NOON, {"request_text_token": {"price": 1}})
    both = own_prices.own_prices(NOON, {"request_token": {"price": 2}, "request_text_token": {"price": 1}})
    assert (of_text.rates["input"], both.rates["input"]) == (10**13, 2 * 10**13)


def test_multipliers_have_the_names_of_what_is_counted():
    given = {
        "default": 0.9, "request_token": 1, "image": {"default": 1.5}, "additional_units": {"web_search": 0, "stray": 3},
        "prediction_accepted_token": 2,
    }  # fmt: skip
    assert multipliers(NOON, given).factors == {"default": "0.9", "input": "1", "images": "1.5", "web_searches": "0"}


def test_an_integration_of_which_nothing_was_said_pays_list_prices(tenant, account):
    assert rows(tenant) == {}


def test_a_change_holds_from_its_moment_and_leaves_what_was_before_it(clock, tenant, account):
    say(tenant, account, 1)
    clock.pass_by(hours=2)
    say(tenant, account, 2)
    assert [nano(tenant, account, NOON + timedelta(hours=h)) for h in (-1, 0, 1.9, 2, 9)] == [
        2_500_000_000, 10**13, 10**13, 2 * 10**13, 2 * 10**13,
    ]  # fmt: skip


def test_a_price_of_tomorrow_is_known_to_gateways_today_and_holds_from_its_second(clock, tenant, account):
    say(tenant, account, 1)
    midnight = NOON.replace(hour=0) + timedelta(days=1)
    say(tenant, account, 2, valid_from=midnight.isoformat())
    moments = (midnight - timedelta(seconds=1), midnight)
    assert [nano(tenant, account, each) for each in moments] == [10**13, 2 * 10**13]


def test_what_is_said_later_goes_before_what_was_announced(clock, tenant, account):
    later = NOON + timedelta(days=3)
    say(tenant, account, 2, valid_from=later.isoformat())
    say(tenant, account, 5)
    assert nano(tenant, account, later) == 5 * 10**13


def test_without_a_price_of_its_own_a_model_costs_the_list_price_again(clock, tenant, account):
    say(tenant, account, 1)
    clock.pass_by(hours=1)
    say(tenant, account, None)
    assert [nano(tenant, account, NOON + timedelta(hours=h)) for h in (0, 1)] == [10**13, 2_500_000_000]


def test_a_model_that_is_forgotten_costs_the_list_price_again(clock, tenant, account):
    say(tenant, account, 1)
    clock.pass_by(hours=1)
    drop_models(tenant.actor, account, ["gpt-4o"])
    assert nano(tenant, account, clock.now) == 2_500_000_000


def test_prices_of_which_only_the_past_knows_are_not_sent_but_kept(clock, tenant, account):
    for cents in (1, 2, 3):
        say(tenant, account, cents)
        clock.pass_by(days=5)
    (row,) = rows(tenant).values()
    assert [held.rates["input"] for held in row.models["gpt-4o"]] == [3 * 10**13]
    assert [said.prices["request_token"]["price"] for said in SaidPrice.objects.all()] == [1, 2, 3]


def test_saying_the_same_again_changes_nothing(clock, tenant, account):
    midnight = (NOON.replace(hour=0) + timedelta(days=1)).isoformat()
    say(tenant, account, 1, valid_from=midnight)
    clock.pass_by(days=30)
    say(tenant, account, 1, valid_from=midnight)
    assert SaidPrice.objects.count() == 1


def test_what_is_over_cannot_be_priced_anew(clock, tenant, account):
    with pytest.raises(Invalid, match="valid_from"):
        say(tenant, account, 1, valid_from=(NOON - timedelta(hours=1)).isoformat())
    assert SaidPrice.objects.count() == 0


def test_multipliers_hold_from_the_moment_they_are_said(clock, tenant):
    given = {
        "name": "b",
        "ai_provider_id": "openai",
        "key": KEY,
        "pricing_adjustments": {"multiplier": {"default": 0.5}},
    }
    account = create_integration(tenant.actor, given)
    clock.pass_by(hours=1)
    update_integration(tenant.actor, Integration.objects.get(pk=account.pk), {"pricing_adjustments": None})
    moments = [NOON - timedelta(seconds=1), NOON, NOON + timedelta(minutes=59), NOON + timedelta(hours=1)]
    assert [nano(tenant, account, each) for each in moments] == [
        2_500_000_000,
        1_250_000_000,
        1_250_000_000,
        2_500_000_000,
    ]


def test_a_change_of_prices_is_published_and_one_of_the_name_renders_no_prices(tenant, account):
    OutboxEvent.objects.all().delete()
    say(tenant, account, 1)
    update_integration(tenant.actor, account, {"name": "n"})
    update_integration(tenant.actor, account, {"pricing_adjustments": {"multiplier": {"default": 2}}})
    told = ["integration_prices" in event.sections for event in OutboxEvent.objects.order_by("created_at")]
    assert told == [True, False, True]


def test_prices_of_others_and_of_what_is_gone_are_not_sent(tenant, account):
    say(tenant, account, 1)
    assert rows(make_tenant()) == {}
    delete_integration(tenant.actor, account)
    assert rows(tenant) == {}


def test_the_export_of_many_takes_as_many_queries_as_that_of_one(tenant, account, django_assert_num_queries):
    for number in range(3):
        other = create_integration(tenant.actor, {"name": f"n{number}", "ai_provider_id": "openai", "key": KEY})
        say(tenant, other, 1, slug="a")
        say(tenant, other, 2, slug="b")
    with django_assert_num_queries(1):
        assert len(rows(tenant)) == 3


@pytest.mark.parametrize(("said", "cutoff", "kept"), [
    ([], 9, []), ([1, 2, 3], 0, [1, 2, 3]), ([1, 2, 3], 2, [2, 3]), ([1, 2, 3], 9, [3]), ([3, 1], 0, [1]), ([1, 5, 3], 0, [1, 3]),
    ([2, 2], 0, [2]),
])  # fmt: skip
def test_a_timeline_holds_what_holds_from_a_moment_on(said, cutoff, kept):
    start = timezone.now()
    rows = [SaidPrice(valid_from=start + timedelta(days=day)) for day in said]
    assert [row.valid_from - start for row in timeline(rows, start + timedelta(days=cutoff))] == [
        timedelta(days=day) for day in kept
    ]
