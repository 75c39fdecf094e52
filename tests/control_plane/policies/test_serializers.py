"""Policies as the API reads and shows them."""

from decimal import Decimal

import pytest

from control_plane.budgets.models import Budget
from control_plane.policies.models import UsageLimitPolicy
from control_plane.policies.serializers import (
    RatePolicySerializer,
    UsagePolicySerializer,
    usage_json,
    usage_map,
    usage_policy_json,
)
from control_plane.policies.viewsets import RatePolicyViewSet, UsagePolicyViewSet


def test_money_is_read_as_it_was_written():
    reader = UsagePolicySerializer(data={**UsagePolicyViewSet.example, "credit_limit": 0.1})
    reader.is_valid(raise_exception=True)
    assert reader.validated_data["credit_limit"] == Decimal("0.1")


@pytest.mark.parametrize(
    "change",
    [{"credit_limit": None}, {"credit_limit": "5"}, {"credit_limit": True}, {"type": "money"}, {"name": "x" * 256},
     {"description": "x" * 501}, {"target": "agents"}, {"status": "gone"}, {"periodic_reset": "daily"},
     {"periodic_reset_days": 366}, {"next_usage_reset_at": "soon"}, {"organisation_id": "x"}],
)  # fmt: skip
def test_a_budget_that_cannot_be_is_refused(change):
    assert not UsagePolicySerializer(data={**UsagePolicyViewSet.example, **change}).is_valid()


@pytest.mark.parametrize(
    "change", [{"unit": "rps"}, {"unit": "tpd"}, {"type": "cost"}, {"value": "5"}, {"value": None}]
)
def test_a_rate_that_cannot_be_is_refused(change):
    assert not RatePolicySerializer(data={**RatePolicyViewSet.example, **change}).is_valid()


@pytest.mark.parametrize(
    ("kind", "stored", "shown"),
    [
        ("cost", 1_500_000_000, 1.5),
        ("cost", 2_000_000_000, 2),
        ("cost", 1, 1e-9),
        ("tokens", 1500, 1500),
        ("requests", 7, 7),
    ],
)
def test_cost_is_shown_in_dollars_and_the_rest_as_counted(kind, stored, shown):
    policy = UsageLimitPolicy(type=kind, credit_limit=stored, alert_threshold=stored)
    usage = Budget(kind="policy", unit=kind, value_key="api_key:a", spent=stored)
    told = usage_policy_json(policy)
    assert [told["credit_limit"], told["alert_threshold"], usage_json(usage)["current_usage"]] == [shown] * 3
    assert usage_map([usage]) == {
        "api_key:a": {
            "current_usage": shown,
            "status": "active",
            "is_threshold_alerts_sent": False,
            "is_exhausted_alerts_sent": False,
        }
    }
