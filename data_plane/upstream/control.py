"""Calls to the control plane: signed, bounded, never on the path of a request.

Every call carries a token made for it alone.  When the control plane says that our clock is off, the offset is
learned from its answer and the call is made once more.
"""

import asyncio
import email.utils
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import aiohttp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from yarl import URL

from shared.crypto.request_token import sign_request

MAX_BYTES: Final = 40 * 1024 * 1024
CONNECT_TIMEOUT_S: Final = 10.0


class ControlUnreachable(Exception):
    """The control plane gave no answer."""


@dataclass(frozen=True, slots=True)
class ControlAnswer:
    """One answer of the control plane; header names are in lower case."""

    status: int
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Speaker:
    """In whose name calls are signed."""

    group: str
    instance: str
    key: Ed25519PrivateKey


class ControlClient:
    """Talks to one control plane's edge."""

    def __init__(self, base_url: str, speaker: Speaker | None) -> None:
        """`speaker` is None only for enrolment, before there is an identity."""
        self._base_url = base_url.rstrip("/")
        self._speaker = speaker
        self.offset_s = 0.0
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def call(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 30.0,
        limit: int = MAX_BYTES,
    ) -> ControlAnswer:
        """Return the answer to one call; `path` includes the query.  Raises ControlUnreachable."""
        answer = await self._once(method, path, body, dict(headers or {}), timeout_s=timeout_s, limit=limit)
        if answer.status == 401 and "date" in answer.headers and b"clock_skew" in answer.body:
            self._learn_offset(answer.headers["date"])
            answer = await self._once(method, path, body, dict(headers or {}), timeout_s=timeout_s, limit=limit)
        return answer

    async def _once(
        self, method: str, path: str, body: bytes, headers: dict[str, str], *, timeout_s: float, limit: int
    ) -> ControlAnswer:
        if self._speaker is not None:
            token = sign_request(
                self._speaker.key, group=self._speaker.group, instance=self._speaker.instance,
                method=method, path=path, body=body, offset_s=self.offset_s,
            )  # fmt: skip
            headers["authorization"] = f"Bearer {token}"
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._session.request(
                    method, URL(self._base_url + path, encoded=True), data=body or None, headers=headers,
                    allow_redirects=False,
                ) as response,
            ):  # fmt: skip
                content = await _bounded(response, limit)
                lowered = {name.lower(): value for name, value in response.headers.items()}
                return ControlAnswer(response.status, content, lowered)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as fault:
            raise ControlUnreachable(type(fault).__name__) from None

    def _learn_offset(self, date: str) -> None:
        try:
            theirs = email.utils.parsedate_to_datetime(date).timestamp()
        except ValueError:
            return
        self.offset_s = theirs - time.time()

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()


async def _bounded(response: aiohttp.ClientResponse, limit: int) -> bytes:
    parts, size = [], 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > limit:
            raise ValueError("the answer is too large")
        parts.append(part)
    return b"".join(parts)
