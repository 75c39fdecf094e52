from prometheus_client import CollectorRegistry

from data_plane.http.metrics import Metrics


def test_a_request_is_counted_by_endpoint_provider_and_status():
    metrics = Metrics(CollectorRegistry())
    metrics.request("chat", "openai", 200, 0.3)
    metrics.tokens("openai", taken=5, given=7)
    metrics.tokens("openai", taken=0, given=0)
    text = metrics.render().decode()
    assert 'gatehouse_request_seconds_count{endpoint="chat"} 1.0' in text
    assert 'gatehouse_tokens_total{kind="output",provider="openai"} 7.0' in text
