"""List prices, for anybody who asks."""

from datetime import UTC, datetime

import pytest

from control_plane.catalog import public_prices
from control_plane.catalog.public_prices import pricing_json
from shared.price_book import PriceBook
from shared.schema.rows import ModelPriceRow, PriceChange, ProviderPricesRow, Rate, UnitRate
from tests.control_plane.factories import Api

NOW = datetime(2031, 5, 5, 12, tzinfo=UTC)
ROW = ModelPriceRow(
    "m", ["equals", "m"], input=(Rate(0, 2_500_000_000), Rate(200_000, 5_000_000_000)), cache_read=(Rate(0, 1_000_000),),
    units={"web_searches": UnitRate(10_000_000_000, 1000), "audio_ms": UnitRate(360_000_000, 3_600_000)},
    changes=(PriceChange(from_s=int(NOW.timestamp()) + 1, rates={"input": (Rate(0, 1),)}),),
)  # fmt: skip


@pytest.fixture
def listed(monkeypatch):
    book = PriceBook({"azure": ProviderPricesRow("azure", "v", (ROW,))})
    monkeypatch.setattr(public_prices, "_book", lambda _day: book)


def test_prices_are_us_cents_for_each_token_and_unit(listed):
    told = pricing_json("azure", "m", NOW)
    assert told["pay_as_you_go"] == {
        "request_token": {"price": 0.00025}, "cache_read_input_token": {"price": 1e-7},
        "additional_units": {"web_search": {"price": 1.0}, "audio_second": {"price": 0.01}},
    }  # fmt: skip
    assert told["currency"] == "USD"
    assert told["calculate"]["request"] == {"operation": "sum", "operands": [
        {"operation": "multiply", "operands": [{"value": "input_tokens"}, {"value": "rates.request_token"}]},
        {"operation": "multiply", "operands": [{"value": "cache_read_tokens"}, {"value": "rates.cache_read_input_token"}]},
    ]}  # fmt: skip


def test_a_provider_is_known_by_its_id_and_its_list(listed):
    assert pricing_json("azure-openai", "m", NOW) == pricing_json("azure", "m", NOW) is not None
    assert pricing_json("nobody", "m", NOW) is pricing_json("azure", "other", NOW) is None


@pytest.mark.django_db
def test_anybody_may_ask_and_gets_what_the_price_list_says():
    client = Api().client
    answer = client.get("/v1/model-configs/pricing/openai/gpt-4o")
    assert answer.status_code == 200
    assert answer.json()["pay_as_you_go"]["request_token"]["price"] == 0.00025
    assert client.get("/v1/model-configs/pricing/openrouter/anthropic/claude-opus-4.5").status_code == 200
    assert client.post("/v1/model-configs/pricing/openai/gpt-4o", {}).status_code == 405


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["openai/unheard-of", "nobody/gpt-4o", f"openai/{'x' * 300}", "openai/%00"])
def test_what_is_unknown_is_not_found(path):
    answer = Api().client.get(f"/v1/model-configs/pricing/{path}")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"]
