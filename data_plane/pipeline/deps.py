"""Everything with a connection, a clock or a dice: built once in `app.py`, closed there, replaceable in a test."""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from data_plane.core.duplex import SessionLimits
from data_plane.limits.admission import Admission
from data_plane.limits.budgets import Budgets
from data_plane.pipeline.plans import PlanMemo
from data_plane.pipeline.resolve import NO_RULES, Rules
from data_plane.providers.base import Provider
from data_plane.recorder.allowance import Allowance
from data_plane.recorder.recorder import Recorder
from data_plane.sync.snapshot import Holder
from data_plane.upstream.client import UpstreamClient
from data_plane.upstream.identity.identities import Identities
from data_plane.upstream.sockets import Sockets
from data_plane.upstream.tokens import Tokens
from shared.client_address import Network
from shared.routing.breaker import Breakers
from shared.routing.sticky import StickyMemory


class Relay(Protocol):
    """An answer on its way from a provider to a caller."""

    def is_denied(self, denied: frozenset[str]) -> bool:
        """Return whether the caller is among the revoked."""

    def refuse(self) -> None:
        """Break the answer off: its caller was revoked."""

    def close(self) -> None:
        """Drop the provider's connection unless the answer came to its end."""


@dataclass(frozen=True, slots=True)
class Deps:
    """What the stages of a request need besides the request.

    `propagation_wait_s`: how long a request that names something unknown waits for a revision that may bring it,
    while this gateway is connected; a key made a moment ago works at once.  `propagates` names the W3C trace headers
    that providers get.  `boot` is the gateway's run, which holds the leases of budgets.  `jitter` spreads the waits
    between retries.  `proxies` may say, by `x-forwarded-for`, who calls.
    """

    holder: Holder
    providers: Mapping[str, Provider]
    client: UpstreamClient
    tokens: Tokens
    identities: Identities
    recorder: Recorder
    trusted_hosts: frozenset[str]
    gateway: str
    propagation_wait_s: float = 1.0
    clock: Callable[[], float] = time.perf_counter
    draw: Callable[[], float] = random.random
    memo: PlanMemo = field(default_factory=PlanMemo)
    rules: Rules = NO_RULES
    admission: Admission = field(default_factory=Admission)
    budgets: Budgets = field(default_factory=Budgets)
    boot: str = ""
    breakers: Breakers = field(default_factory=lambda: Breakers(time.monotonic))
    sticky: StickyMemory = field(default_factory=lambda: StickyMemory(time.time))
    jitter: bool = False
    propagates: frozenset[str] = frozenset({"traceparent"})
    proxies: tuple[Network, ...] = ()
    max_upload_bytes: int = 2 * 1024 * 1024 * 1024
    kept: Allowance = field(default_factory=Allowance)
    streams: set[Relay] = field(default_factory=set)
    sockets: Sockets = field(default_factory=Sockets)
    session_limits: SessionLimits = field(default_factory=SessionLimits)
