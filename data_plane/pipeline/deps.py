"""Everything with a connection, a clock or a dice: built once in `app.py`, closed there, replaceable in a test."""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from data_plane.pipeline.resolve import PlanMemo
from data_plane.providers.base import Provider
from data_plane.recorder.recorder import Recorder
from data_plane.sync.snapshot import Holder
from data_plane.upstream.client import UpstreamClient

if TYPE_CHECKING:
    from data_plane.pipeline.stream import StreamRelay


@dataclass(frozen=True, slots=True)
class Deps:
    """What the stages of a request need besides the request.

    `propagation_wait_s`: how long a request that names something unknown waits for a revision that may bring it,
    while this gateway is connected; a key made a moment ago works at once.
    """

    holder: Holder
    providers: Mapping[str, Provider]
    client: UpstreamClient
    recorder: Recorder
    trusted_hosts: frozenset[str]
    gateway: str
    propagation_wait_s: float = 1.0
    clock: Callable[[], float] = time.perf_counter
    draw: Callable[[], float] = random.random
    memo: PlanMemo = field(default_factory=PlanMemo)
    streams: set["StreamRelay"] = field(default_factory=set)
