from data_plane.batches.store import BatchStore
from tests.data_plane import kit
from tests.data_plane.gateway_kit import gateway

OWN = {"x-portkey-provider": "gatehouse"}


async def test_every_answer_has_the_gateways_headers(tmp_path):
    async with gateway(tmp_path, batches=BatchStore(tmp_path / "b", 1000)) as gw:
        for path in ("/v1/files", "/v1/files/pk_file_" + "0" * 32):
            _, _, headers = await gw.get(path, headers={**OWN, "x-portkey-trace-id": "t-1"})
            assert headers["x-portkey-request-id"]
        _, _, headers = await gw.get("/v1/files", headers={**OWN, "x-portkey-trace-id": "t-1"})
        assert headers["x-portkey-trace-id"] == "t-1"


async def test_a_key_needs_the_scope_of_calls(tmp_path):
    row = kit.msgspec.structs.replace(kit.api_key(), scopes=frozenset({"logs.view"}))
    async with gateway(tmp_path, batches=BatchStore(tmp_path / "b", 1000), api_keys=[row]) as gw:
        status, _, _ = await gw.get("/v1/batches", headers=OWN)
        assert status == 403
