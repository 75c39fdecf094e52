"""Changes credentials for short-lived tokens, once for all requests that need the same one.

A token is asked for again a minute before it ends.  While one request asks, the others wait for its answer; a refusal
is remembered for a moment, so that a wrong credential does not become a flood at the provider's door.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from data_plane.core.types import TokenAsk, UpstreamRequest
from data_plane.upstream.client import UpstreamClient
from shared.errors import GatewayError, UpstreamInvalid
from shared.redact import Secret

TIMEOUT_MS: Final = 10_000
MAX_BYTES: Final = 256 * 1024
EARLY_S: Final = 60.0
REFUSED_S: Final = 5.0
DEFAULT_LIFE_S: Final = 300.0
MOST: Final = 1000


class TokenRefused(UpstreamInvalid):
    """The provider did not change the credential for a token."""

    code = "upstream_token_refused"


@dataclass(frozen=True, slots=True)
class _Held:
    until_s: float
    token: Secret | None


class Tokens:
    """The tokens of one process."""

    def __init__(self, client: UpstreamClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._asking: dict[str, asyncio.Task[Secret]] = {}

    async def get(self, ask: TokenAsk) -> Secret:
        """Return a token that holds for a minute at least; raises TokenRefused, or as `UpstreamClient.send` does."""
        held = self._held.get(ask.key)
        if held is not None and held.until_s > self._clock():
            if held.token is None:
                raise TokenRefused(_REFUSED)
            return held.token
        asking = self._asking.get(ask.key)
        if asking is None:
            asking = asyncio.create_task(self._ask(ask))
            self._asking[ask.key] = asking
            asking.add_done_callback(lambda _: self._asking.pop(ask.key, None))
        # A caller that leaves must not take the answer from those who wait beside it.
        return await asyncio.shield(asking)

    async def _ask(self, ask: TokenAsk) -> Secret:
        try:
            token, life_s = await self._fetch(ask)
        except GatewayError:
            self._hold(ask.key, _Held(self._clock() + REFUSED_S, None))
            raise
        self._hold(ask.key, _Held(self._clock() + max(1.0, life_s - EARLY_S), token))
        return token

    def _hold(self, key: str, held: _Held) -> None:
        self._held[key] = held
        self._held.move_to_end(key)
        if len(self._held) > MOST:
            self._held.popitem(last=False)

    async def _fetch(self, ask: TokenAsk) -> tuple[Secret, float]:
        headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json", **ask.headers}
        request = UpstreamRequest(ask.url, headers, ask.form, stream=False, timeout_ms=TIMEOUT_MS)
        response = await self._client.send(request)
        try:
            content = await response.read(MAX_BYTES)
        finally:
            response.close()
        if not 200 <= response.status < 300:
            raise TokenRefused(_REFUSED)
        try:
            told: Any = msgspec.json.decode(content)
            life_s = float(told.get("expires_in", DEFAULT_LIFE_S))
            return Secret(told["access_token"]), life_s
        except (msgspec.DecodeError, KeyError, TypeError, ValueError, AttributeError):
            raise TokenRefused(_REFUSED) from None


_REFUSED: Final = "The provider's token service did not accept the credential."
