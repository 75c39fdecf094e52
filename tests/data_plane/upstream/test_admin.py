import pytest

from data_plane.upstream.admin import AdminRelay
from shared.errors import GatewayError


class Body:
    begun = False

    def __init__(self, *pieces):
        self.pieces = pieces

    async def __aiter__(self):
        self.begun = True
        for piece in self.pieces:
            yield piece


async def test_nobody_there_is_a_gateways_error():
    relay = AdminRelay("http://127.0.0.1:1/")
    with pytest.raises(GatewayError):
        await relay.send("POST", "/v1/configs", {"content-length": "2"}, Body(b"{}"), None)
    await relay.close()


async def test_only_the_operators_own_address_may_be_private():
    relay = AdminRelay("http://10.255.255.1:9")
    assert relay._client._pool._trusted == frozenset({"10.255.255.1"})
    await relay.close()
