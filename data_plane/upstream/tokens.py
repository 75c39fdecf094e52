"""Changes credentials for short-lived tokens, once for all requests that need the same one (see `renewed.py`)."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec

from data_plane.core.types import TokenAsk, UpstreamRequest
from data_plane.upstream.client import UpstreamClient
from data_plane.upstream.renewed import Renewed
from shared.errors import UpstreamInvalid
from shared.redact import Secret

TIMEOUT_MS: Final = 10_000
MAX_BYTES: Final = 256 * 1024
EARLY_S: Final = 60.0
DEFAULT_LIFE_S: Final = 300.0


class TokenRefused(UpstreamInvalid):
    """The provider did not change the credential for a token."""

    code = "upstream_token_refused"


def _refused() -> TokenRefused:
    return TokenRefused("The provider's token service did not accept the credential.")


def read_token(content: bytes) -> tuple[Secret, float]:
    """Return the token of an OAuth answer and how many seconds it holds; raises TokenRefused for what is none."""
    try:
        told: Any = msgspec.json.decode(content)
        token, life_s = told["access_token"], float(told.get("expires_in", DEFAULT_LIFE_S))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        raise _refused() from None
    if not isinstance(token, str) or not token or not life_s < float("inf"):
        raise _refused()
    return Secret(token), life_s


async def fetch_token(client: UpstreamClient, ask: TokenAsk) -> tuple[Secret, float]:
    """Return a new token and how many seconds it holds; raises TokenRefused, or as `UpstreamClient.send` does."""
    headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json", **ask.headers}
    request = UpstreamRequest(ask.url, headers, ask.form, stream=False, timeout_ms=TIMEOUT_MS)
    response = await client.send(request)
    try:
        content = await response.read(MAX_BYTES)
    finally:
        response.close()
    if not 200 <= response.status < 300:
        raise _refused()
    return read_token(content)


class Tokens:
    """The tokens of one process."""

    def __init__(self, client: UpstreamClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._renewed: Renewed[Secret] = Renewed(clock, early_s=EARLY_S)

    async def get(self, ask: TokenAsk) -> Secret:
        """Return a token that holds for a minute at least; raises TokenRefused, or as `UpstreamClient.send` does."""
        return await self._renewed.get(ask.key, partial(fetch_token, self._client, ask))
