"""The price of a call is that of the lists, of its integration, or what budgets take for want of one."""

import pytest

from control_plane.catalog.allowed_models import set_models
from control_plane.catalog.models import CustomProvider
from control_plane.explain.call import read_call
from control_plane.explain.price import price_of
from shared.schema.limits import UnpricedRule
from tests.control_plane.explain.explain_kit import key_and_provider
from tests.control_plane.factories import make_tenant
from tests.control_plane.ledger.ledger_kit import price_list

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant():
    return make_tenant()


@pytest.fixture(autouse=True)
def _lists(monkeypatch):
    lists = (price_list(2_500_000_000, 10_000_000_000, model="gpt-4o"),)
    for module in ("ledger.prices_now", "explain.price"):
        monkeypatch.setattr(f"control_plane.{module}.price_rows", lambda: iter(lists))


def price(tenant, model):
    return price_of(read_call(tenant.actor, {"model": model}))


def test_the_price_is_for_a_million_tokens_of_the_list(tenant):
    key_and_provider(tenant)
    told = price(tenant, "@main/gpt-4o")
    assert (told.status, told.input_nano, told.output_nano) == ("priced", 2_500_000_000, 10_000_000_000)
    assert (told.price_id, told.rule) == ("openai/gpt-4o@list-2", None)


def test_an_integrations_own_price_comes_first(tenant):
    _, saved = key_and_provider(tenant)
    own = {"type": "static", "pay_as_you_go": {"request_token": {"price": 0.0001}, "response_token": {"price": 0.0002}}}
    set_models(
        tenant.actor, saved.integration, {"models": [{"slug": "gpt-4o", "enabled": True, "pricing_config": own}]}
    )
    told = price(tenant, "@main/gpt-4o")
    assert (told.status, told.input_nano, told.output_nano) == ("override", 1_000_000_000, 2_000_000_000)


def unpriced(tenant, provider="main", **rule):
    tenant.organisation.budget_rules = {"unpriced": rule} if rule else {}
    tenant.organisation.save()
    told = price_of(read_call(tenant.actor, {"model": "nobody-knows-this", "provider": provider}))
    assert (told.status, told.input_nano, told.output_nano) == ("unpriced", None, None)
    return told.rule.rule, told.taken_input, told.taken_output


def test_without_a_price_budgets_take_what_the_dearest_model_of_the_provider_costs(tenant):
    key_and_provider(tenant)
    assert unpriced(tenant) == ("dearest", 2_500_000_000, 10_000_000_000)
    usual = UnpricedRule()
    assert unpriced(tenant, "anthropic") == ("dearest", usual.input, usual.output)


def test_without_a_price_the_organisations_rule_holds(tenant):
    key_and_provider(tenant)
    assert unpriced(tenant, rule="fixed", input_per_million=1, output_per_million=2) == (
        "fixed", 1_000_000_000, 2_000_000_000,
    )  # fmt: skip
    assert unpriced(tenant, rule="refuse") == ("refuse", None, None)


def test_a_custom_provider_is_as_dear_as_the_list_that_it_names(tenant):
    custom = CustomProvider.objects.create(
        organisation=tenant.organisation, slug="own", name="Own", base_url="https://own.example", price_source="openai"
    )
    assert unpriced(tenant, "own") == ("dearest", 2_500_000_000, 10_000_000_000)
    CustomProvider.objects.filter(pk=custom.pk).update(price_source="")
    assert unpriced(tenant, "own")[1] == UnpricedRule().input


def test_a_call_of_no_model_or_no_provider_has_no_price(tenant):
    key_and_provider(tenant)
    assert price_of(read_call(tenant.actor, {"provider": "main"})) is None
    assert price_of(read_call(tenant.actor, {"model": "gpt-4o"})) is None
