import orjson

from data_plane.http.keys import PAYLOADS
from shared.ids import uuid7
from tests.data_plane import kit
from tests.data_plane.gateway_kit import gateway


async def test_a_body_kept_here_is_read_by_its_own_workspace_only(tmp_path):
    from data_plane.recorder.payloads import PayloadStore

    store = PayloadStore(tmp_path / "payloads")
    mine, other = str(uuid7()), str(uuid7())
    store.put({"id": mine, "ws": kit.WS, "request": {"a": 1}, "response": {"b": 2}})
    store.put({"id": other, "ws": "ws-2", "request": {}, "response": {}})
    async with gateway(tmp_path) as gw:
        status, body, _ = await gw.get(f"/v1/logs/{mine}")
        assert (status, orjson.loads(body)["request"]) == (200, {"body": {"a": 1}})
        for missing in (other, str(uuid7()), "not-an-id", "..%2f..%2fx"):
            assert (await gw.get(f"/v1/logs/{missing}"))[0] == 404
        assert (await gw.get(f"/v1/logs/{mine}", key=None))[0] == 401
    assert PAYLOADS is not None
