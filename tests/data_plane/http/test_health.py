import orjson

from data_plane.sync.snapshot import Snapshot
from tests.data_plane import kit
from tests.data_plane.gateway_kit import at, gateway
from tests.fakes.provider import FakeProvider


async def test_health_speaks_the_contracts_words(tmp_path):
    async with gateway(tmp_path) as gw:
        status, body, _ = await gw.get("/v1/health")
        assert (status, orjson.loads(body)["status"], orjson.loads(body)["message"]) == (
            200,
            "success",
            "Server is healthy",
        )


async def test_readiness_needs_a_configuration_and_nothing_else(tmp_path):
    async with gateway(tmp_path) as gw:
        assert (await gw.get("/readyz"))[0] == 200
        gw.deps.holder.current = None
        assert (await gw.get("/readyz"))[0] == 503
        assert (await gw.get("/livez"))[0] == 200
        status, body, _ = await gw.send()
        assert (status, orjson.loads(body)["error"]["code"]) == (503, "not_ready")


async def test_metrics_count_requests_by_bounded_labels(tmp_path):
    async with FakeProvider() as fake, gateway(tmp_path, **at(fake)) as gw:
        await gw.send()
        await gw.send(key=None)
        text = (await gw.get("/metrics"))[1].decode()
        assert 'gatehouse_requests_total{code="200",endpoint="chat",provider="openai"} 1.0' in text
        assert 'gatehouse_requests_total{code="401",endpoint="chat",provider="none"} 1.0' in text
        assert "gatehouse_config_active_seq 1.0" in text
        assert "gpt-4o" not in text
        assert isinstance(gw.deps.holder.current, Snapshot)
        assert kit.KEY_TEXT not in text
