"""What does the machine say of itself, and how is it asked?

Clouds tell a program who it is by environment variables, by files and by addresses that only their own machines reach.
Those addresses are refused to everybody else (`shared/hosts.py`); here they are asked, and nothing that a caller or an
account says has a part in any of them.
"""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

from data_plane.core.types import UpstreamRequest
from data_plane.upstream.client import UpstreamClient
from shared.errors import GatewayError, UpstreamInvalid
from shared.hosts import Address
from shared.redact import Secret

#: Token services are a network away, metadata services on the machine or nowhere.
TIMEOUT_MS: Final = 10_000
METADATA_TIMEOUT_MS: Final = 2_000
MAX_BYTES: Final = 256 * 1024
FORM: Final = {"content-type": "application/x-www-form-urlencoded"}

log = structlog.get_logger(module=__name__)


class IdentityRefused(UpstreamInvalid):
    """A cloud did not give the identity that was asked for, or the machine has none there."""

    code = "upstream_identity_refused"


@dataclass(frozen=True, slots=True)
class Told:
    """An answer; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes = field(repr=False)

    def json(self) -> Mapping[str, Any]:
        """Return the object that the answer is; raises ValueError."""
        return read_object(self.content)


def read_object(content: bytes) -> dict[str, Any]:
    """Return the JSON object that `content` is; raises ValueError."""
    try:
        told: Any = msgspec.json.decode(content)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(told, dict):
        raise ValueError("no object")
    return told


def refused(cloud: str, step: str, **facts: object) -> IdentityRefused:
    """Return the error for a step that failed, once it is logged with `facts`, none of which may be secret."""
    log.warning("identity_refused", cloud=cloud, step=step, **facts)
    return IdentityRefused(f"The gateway was not given the identity at {cloud} that this account calls by.")


async def ask(client: UpstreamClient, request: UpstreamRequest, *, cloud: str, step: str) -> Told:
    """Return the answer to a request, whatever its status; raises IdentityRefused when there is none."""
    try:
        response = await client.send(request)
        try:
            content = await response.read(MAX_BYTES)
        finally:
            response.close()
    except GatewayError as fault:
        raise refused(cloud, step, reason=fault.code) from None
    return Told(response.status, response.headers, content)


def _anywhere(_name: str, _address: Address, _trusted: Collection[str]) -> bool:
    return True


class Machine:
    """The variables of this machine, its files, and the addresses that it is told of."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        """`variables` are those that the clouds' own programs read, by name."""
        self._variables = variables
        self._client = UpstreamClient(frozenset(), may_reach=_anywhere)

    def variable(self, name: str) -> str:
        """Return a variable, "" when it is not set."""
        return self._variables.get(name, "")

    def secret(self, name: str) -> Secret | None:
        """Return a variable that is secret, None when it is not set."""
        value = self._variables.get(name)
        return Secret(value) if value else None

    async def ask(self, request: UpstreamRequest, *, cloud: str, step: str) -> Told:
        """Return the answer of an address that the machine or its operator names; raises IdentityRefused."""
        return await ask(self._client, request, cloud=cloud, step=step)

    async def close(self) -> None:
        """Close every connection."""
        await self._client.close()


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


async def read_file(path: Path, *, cloud: str, step: str) -> bytes:
    """Return what stands in a file; raises IdentityRefused when it cannot be read or is too large."""
    try:
        content = await asyncio.to_thread(_read, path)
    except (OSError, ValueError):
        raise refused(cloud, step, reason="file_unreadable") from None
    if len(content) > MAX_BYTES:
        raise refused(cloud, step, reason="file_too_large")
    return content


def get(url: str, headers: Mapping[str, str], *, method: str = "GET") -> UpstreamRequest:
    """Return the request for what a metadata service tells."""
    return UpstreamRequest(url, dict(headers), b"", stream=False, timeout_ms=METADATA_TIMEOUT_MS, method=method)


def post(url: str, body: bytes, headers: Mapping[str, str] = FORM) -> UpstreamRequest:
    """Return a request to a token service: a form, unless `headers` say otherwise."""
    sent = {"accept": "application/json", **headers}
    return UpstreamRequest(url, sent, body, stream=False, timeout_ms=TIMEOUT_MS)
