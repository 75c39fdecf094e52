"""Fields that requests about integrations share."""

from datetime import UTC, datetime

import pytest
from rest_framework.serializers import ValidationError

from control_plane.catalog.said_fields import (
    ModelConfigurationsField,
    PricingAdjustmentsField,
    PricingConfigField,
    SecretMappingsField,
)

MAPPING = {"target_field": "key", "secret_reference_id": "a"}


def prices(**kinds):
    return {"type": "static", "pay_as_you_go": kinds}


def test_prices_of_a_model_are_kept_as_they_are_said():
    said = prices(request_token={"price": 0.00025}, response_token={"price": 0})
    assert PricingConfigField().to_internal_value(said) == said
    assert PricingConfigField().to_internal_value({"pay_as_you_go": said["pay_as_you_go"]}) == said


def test_prices_of_units_and_a_moment_are_kept():
    said = prices(additional_units={"web_search": {"price": 1}})
    given = {**said, "valid_from": "2031-05-05T14:00:00+02:00"}
    kept = PricingConfigField().to_internal_value(given)
    assert kept["pay_as_you_go"] == said["pay_as_you_go"]
    assert datetime.fromisoformat(kept["valid_from"]) == datetime(2031, 5, 5, 12, tzinfo=UTC)
    assert PricingConfigField().to_internal_value(kept) == kept


@pytest.mark.parametrize("fault", [
    [], {}, prices(), {"type": "tiered", **prices(request_token={"price": 1})} | {"type": "tiered"},
    prices(request_token={"price": -1}), prices(request_token={"price": True}), prices(request_token={"price": "1"}),
    prices(request_token={"price": float("nan")}), prices(request_token={}), prices(stray={"price": 1}),
    {**prices(request_token={"price": 1}), "stray": 1}, prices(request_token={"price": 101}),
    prices(additional_units=[]), prices(additional_units={"stray": {"price": 1}}), prices(additional_units={"image": 1}),
    {**prices(request_token={"price": 1}), "valid_from": "some day"},
    {**prices(request_token={"price": 1}), "valid_from": 7},
])  # fmt: skip
def test_prices_that_mean_nothing_are_refused(fault):
    with pytest.raises(ValidationError):
        PricingConfigField().to_internal_value(fault)


def test_adjustments_are_kept_without_what_goes_unsaid():
    said = {"multiplier": {"default": 0.8, "request_token": None, "image": {"default": 1.5}}}
    assert PricingAdjustmentsField().to_internal_value(said) == {
        "multiplier": {"default": 0.8, "image": {"default": 1.5}}
    }


@pytest.mark.parametrize("fault", [
    [], {"stray": 1}, {"multiplier": []}, {"multiplier": {"stray": 1}}, {"multiplier": {"default": -0.1}},
    {"multiplier": {"default": "1"}}, {"multiplier": {"image": 1}}, {"multiplier": {"additional_units": {"a": -1}}},
])  # fmt: skip
def test_adjustments_that_mean_nothing_are_refused(fault):
    with pytest.raises(ValidationError):
        PricingAdjustmentsField().to_internal_value(fault)


def test_the_headers_of_a_model_become_lower_case():
    said = {"custom_host": "https://a.example", "custom_headers": {"X-Region": "eu"}}
    assert ModelConfigurationsField().to_internal_value(said) == {**said, "custom_headers": {"x-region": "eu"}}


@pytest.mark.parametrize("fault", [
    [], {"stray": 1}, {"custom_host": 7}, {"custom_headers": []}, {"custom_headers": {"a": 1}},
    {"custom_headers": {"Authorization": "Bearer x"}}, {"custom_headers": {"x-api-key": "x"}},
    {"custom_headers": {"host": "x"}}, {"custom_headers": {"a b": "x"}}, {"custom_headers": {"x-a": "1\n2"}},
    {"custom_headers": {"x-a": "1", "X-A": "2"}},
])  # fmt: skip
def test_settings_of_a_model_that_cannot_be_used_are_refused(fault):
    with pytest.raises(ValidationError):
        ModelConfigurationsField().to_internal_value(fault)


@pytest.mark.parametrize("fault", [
    {}, [7], [{"target_field": "key"}], [{"secret_reference_id": "a"}], [{**MAPPING, "stray": 1}],
    [{**MAPPING, "secret_key": 7}], [{**MAPPING, "value_format": "yaml"}], [{**MAPPING, "target_field": "x" * 256}],
    [{**MAPPING, "secret_key": "a\x00"}],
])  # fmt: skip
def test_mappings_that_are_none_are_refused(fault):
    with pytest.raises(ValidationError):
        SecretMappingsField().to_internal_value(fault)
