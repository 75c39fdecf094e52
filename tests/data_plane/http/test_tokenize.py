import orjson
import pytest

from tests.data_plane.gateway_kit import gateway

PATH = "/v1/gateway/tokenize"


@pytest.mark.parametrize(("body", "tokens"), [
    ({"input": "x" * 40}, 10), ({"text": "x" * 40, "model": "gpt-4o"}, 10), ({"prompt": ["x" * 40, "x" * 40]}, 20),
    ({"messages": [{"role": "user", "content": "x" * 40}]}, 14), ({"input": ""}, 0),
])  # fmt: skip
async def test_what_a_model_would_read_is_estimated(tmp_path, body, tokens):
    async with gateway(tmp_path) as gw:
        status, answered, headers = await gw.send(body, path=PATH)
        told = {"object": "tokens", "model": body.get("model"), "input_tokens": tokens, "estimated": True}
        assert (status, orjson.loads(answered)) == (200, told)
        assert headers["x-portkey-trace-id"]


@pytest.mark.parametrize("raw", [b"{}", b"[]", b"{", b'{"input":null}'])
async def test_what_says_nothing_is_a_clear_400(tmp_path, raw):
    async with gateway(tmp_path) as gw:
        assert (await gw.send(raw=raw, path=PATH))[0] == 400


async def test_a_key_is_needed(tmp_path):
    async with gateway(tmp_path) as gw:
        assert (await gw.send({"input": "x"}, path=PATH, key=None))[0] == 401
