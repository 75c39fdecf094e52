import pytest
from prometheus_client import CollectorRegistry

from data_plane.core.limit import Limit
from data_plane.http.metrics import Metrics
from data_plane.limits.admission import Admission
from shared.errors import RateLimited


def test_a_request_is_counted_by_endpoint_provider_and_status():
    metrics = Metrics(CollectorRegistry())
    metrics.request("chat", "openai", 200, 0.3)
    metrics.tokens("openai", taken=5, given=7)
    metrics.tokens("openai", taken=0, given=0)
    text = metrics.render().decode()
    assert 'gatehouse_request_seconds_count{endpoint="chat"} 1.0' in text
    assert 'gatehouse_tokens_total{kind="output",provider="openai"} 7.0' in text


async def test_refusals_by_limits_of_rate_are_counted():
    registry = CollectorRegistry()
    made, admission = Metrics(registry), Admission()
    limit = Limit("k:1", "this API key", "requests", "rpd", 1, True)
    await admission.admit([limit])
    with pytest.raises(RateLimited):
        await admission.admit([limit])
    admission.failures = 3
    made.rates(admission)
    text = made.render().decode()
    assert 'gatehouse_rate_limited{kind="requests"} 1.0' in text
    assert "gatehouse_rate_limit_store_failures 3.0" in text
