import orjson
import pytest

from tests.data_plane.gateway_kit import gateway


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/", "/v2/chat/completions", "/%00", "/../etc/passwd"])
async def test_an_unknown_path_is_404_in_json(tmp_path, path):
    async with gateway(tmp_path) as gw:
        status, body, headers = await gw.get(path)
        assert (status, orjson.loads(body)["message"]) == (404, "Not Found")
        assert headers["x-portkey-trace-id"]


async def test_a_wrong_method_is_405_in_json(tmp_path):
    async with gateway(tmp_path) as gw:
        status, body, _ = await gw.get("/v1/universal")
        assert (status, orjson.loads(body)["error"]["code"]) == (405, "method_not_allowed")
