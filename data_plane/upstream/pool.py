"""Connections to providers, kept by origin, made when there is none to spare.

Addresses are resolved by the guarded resolver and connected to exactly as resolved, for a few seconds at a time.
"""

import asyncio
import socket
import time
from collections import deque
from collections.abc import Callable, Collection
from typing import Final, NamedTuple

from data_plane.upstream.connection import Connection
from data_plane.upstream.ssrf import AddressRefused, GuardedResolver, MayReach
from data_plane.upstream.tls import tls_context
from shared.hosts import may_connect, parse_address

IDLE_S: Final = 30.0
MAX_IDLE: Final = 256
RESOLVED_S: Final = 10.0
MAX_RESOLVED: Final = 1024


class Origin(NamedTuple):
    """Where a URL leads: scheme, host and port."""

    scheme: str
    host: str
    port: int


class Pool:
    """Idle connections by origin; the youngest is used first, so that spare ones grow old and are closed."""

    def __init__(
        self,
        trusted: Collection[str],
        *,
        connect_s: float,
        silence_s: float,
        clock: Callable[[], float] = time.monotonic,
        may_reach: MayReach = may_connect,
    ) -> None:
        self._trusted = trusted
        self._may_reach = may_reach
        self._connect_s = connect_s
        self._silence_s = silence_s
        self._clock = clock
        self._resolver = GuardedResolver(trusted, may_reach)
        self._resolved: dict[tuple[str, int], tuple[float, list[str]]] = {}
        self._idle: dict[Origin, deque[tuple[float, Connection]]] = {}
        self._sweep_at = clock() + IDLE_S
        self._tls = tls_context()

    def idle(self, origin: Origin) -> Connection | None:
        """Return a kept connection that may still serve, None when there is none."""
        kept = self._idle.get(origin)
        while kept:
            since, connection = kept.pop()
            if connection.is_usable() and self._clock() - since < IDLE_S:
                return connection
            connection.close()
        return None

    def give_back(self, origin: Origin, connection: Connection) -> None:
        """Keep a connection whose answer has been read to its end; close what has been idle too long."""
        kept = self._idle.setdefault(origin, deque())
        now = self._clock()
        while kept and (now - kept[0][0] >= IDLE_S or len(kept) >= MAX_IDLE):
            kept.popleft()[1].close()
        kept.append((now, connection))
        if now >= self._sweep_at:
            self._sweep(now)

    def _sweep(self, now: float) -> None:
        """Close what is idle at origins that are called no more; callers name hosts, and could fill the memory."""
        self._sweep_at = now + IDLE_S
        for origin, kept in list(self._idle.items()):
            while kept and now - kept[0][0] >= IDLE_S:
                kept.popleft()[1].close()
            if not kept:
                del self._idle[origin]

    async def connect(self, origin: Origin) -> Connection:
        """Return a new connection; raises OSError (AddressRefused among them) or TimeoutError."""
        async with asyncio.timeout(self._connect_s):
            fault: OSError | None = None
            for address in await self._addresses(origin):
                try:
                    return await self._connect_to(origin, address)
                except OSError as failed:
                    fault = failed
            raise fault or OSError("the host has no address")

    async def _connect_to(self, origin: Origin, address: str) -> Connection:
        secure = origin.scheme == "https"
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(self._silence_s),
            address,
            origin.port,
            ssl=self._tls if secure else None,
            server_hostname=origin.host if secure else None,
        )
        return connection

    async def _addresses(self, origin: Origin) -> list[str]:
        literal = parse_address(origin.host)
        if literal is not None:
            if not self._may_reach(origin.host, literal, self._trusted):
                raise AddressRefused("the address is not allowed")
            return [str(literal)]
        known = self._resolved.get((origin.host, origin.port))
        now = self._clock()
        if known is not None and now - known[0] < RESOLVED_S:
            return known[1]
        found = await self._resolver.resolve(origin.host, origin.port, socket.AF_UNSPEC)
        if len(self._resolved) >= MAX_RESOLVED:
            self._resolved.clear()
        addresses = [result["host"] for result in found]
        self._resolved[origin.host, origin.port] = (now, addresses)
        return addresses

    async def close(self) -> None:
        """Close every idle connection."""
        for kept in self._idle.values():
            for _, connection in kept:
                connection.close()
        self._idle.clear()
        await self._resolver.close()
