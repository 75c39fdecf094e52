"""What a provider is held to that is reached by forwarded calls only."""

import orjson

from data_plane.providers.registry import load_providers
from tests.data_plane.gateway_kit import gateway
from tests.fakes.provider import FakeProvider, Reply


async def only_forwards(provider_id, tmp_path, *, base_url, header):
    """Fail unless the provider does nothing itself, and forwards a call with its credential in `header`."""
    provider = load_providers()[provider_id]
    assert (provider.base_url, dict(provider.operations), provider.lists_models) == (base_url, {}, False)
    async with FakeProvider([Reply(201, json={"result": 1})]) as fake, gateway(tmp_path) as gw:
        headers = {
            "x-portkey-provider": provider_id, "x-portkey-custom-host": fake.origin, "authorization": "Bearer the-key",
        }  # fmt: skip
        status, answered, _ = await gw.send({"points": [1]}, headers, path="/v1/proxy/collections/c?wait=true")
        chat, refused, _ = await gw.send({"model": "m", "messages": []}, headers)
    seen = fake.seen[0]
    assert (status, orjson.loads(answered), len(fake.seen)) == (201, {"result": 1}, 1)
    assert (seen.method, seen.target, seen.json) == ("POST", "/collections/c?wait=true", {"points": [1]})
    assert seen.headers[header[0]] == header[1]
    assert (chat, b"chat is not supported by " + provider_id.encode() in refused) == (400, True)
