"""Where the application keeps what its handlers need."""

from typing import Final

from aiohttp import web

from data_plane.batches.store import BatchStore
from data_plane.http.metrics import Metrics
from data_plane.pipeline.deps import Deps
from data_plane.recorder.payloads import PayloadStore
from data_plane.upstream.admin import AdminRelay

DEPS: Final = web.AppKey("deps", Deps)
METRICS: Final = web.AppKey("metrics", Metrics)
BATCHES: Final = web.AppKey("batches", BatchStore)
RELAY: Final = web.AppKey("relay", AdminRelay)
PAYLOADS: Final = web.AppKey("payloads", PayloadStore)
