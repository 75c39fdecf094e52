"""A gateway in this process: the real application around a snapshot of the test's making, and what it recorded."""

from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web
from prometheus_client import CollectorRegistry

from data_plane.app import build_app
from data_plane.core.duplex import SessionLimits
from data_plane.core.identity import OwnIdentity
from data_plane.http.metrics import Metrics
from data_plane.pipeline.deps import Deps
from data_plane.providers.registry import load_providers
from data_plane.recorder.payloads import PayloadStore
from data_plane.sync.snapshot import Holder
from data_plane.upstream.client import UpstreamClient
from data_plane.upstream.identity.identities import make_identities
from data_plane.upstream.sockets import Sockets
from data_plane.upstream.tokens import Tokens
from tests.data_plane import kit

TRUSTED = frozenset({"127.0.0.1", "localhost"})


class Recorded:
    """Stands where the recorder stands and keeps what it is given."""

    def __init__(self):
        self.items = []

    def record(self, record, shipped=None, kept=None, size=0):
        self.items.append((record, shipped, kept))

    def totals(self):
        return {}

    @property
    def last(self):
        return self.items[-1][0]


class Gateway:
    """A running gateway; `send` posts a chat with the usual key."""

    def __init__(self, url, session, deps):
        self.url, self.session, self.deps = url, session, deps
        self.recorded = deps.recorder

    async def send(self, body=None, headers=None, *, key=kit.KEY_TEXT, raw=None, path="/v1/chat/completions"):
        sent = {"content-type": "application/json", **({"x-portkey-api-key": key} if key else {}), **(headers or {})}
        data = raw if raw is not None else kit.msgspec.json.encode(body if body is not None else CHAT)
        async with self.session.post(self.url + path, data=data, headers=sent) as response:
            return response.status, await response.read(), response.headers

    async def get(self, path, headers=None, *, key=kit.KEY_TEXT):
        sent = {**({"x-portkey-api-key": key} if key else {}), **(headers or {})}
        async with self.session.get(self.url + path, headers=sent) as response:
            return response.status, await response.read(), response.headers


CHAT = {"model": "@main/gpt-4o", "messages": [{"role": "user", "content": "hello there"}]}
STREAM = {**CHAT, "stream": True}


def pointed_at(fake, slug="main", **changes):
    """Return (virtual key, secret) of a provider at the fake's address."""
    secret = kit.sealed_row(f"secret-{slug}", key=changes.pop("key", fake.key), hosts=("127.0.0.1",))
    row = kit.virtual_key(slug, custom_host=fake.base_url, secret=secret.id, **changes)
    return row, secret


def at(*fakes, **changes):
    """Return the sections for virtual keys `main`, `second`, … at the fakes' addresses."""
    pairs = [
        pointed_at(fake, slug, provider=fake.kind)
        for fake, slug in zip(fakes, ("main", "second", "third"), strict=False)
    ]
    return {"virtual_keys": [row for row, _ in pairs], "secrets": [secret for _, secret in pairs], **changes}


@asynccontextmanager
async def gateway(
    tmp_path, *, snapshot=None, propagation_wait_s=0.0, max_body=1024 * 1024, draw=lambda: 0.0, variables=None,
    own_identity="saved", sockets=None, session_limits=None, batches=None, relay=None, **sections
):  # fmt: skip
    """Run a gateway on `snapshot`, or on one of `sections`; None as `snapshot` and no sections is the usual one.

    `variables` are those of the machine by which it has an identity at a cloud; `own_identity` says who may use that.
    """
    holder = Holder()
    holder.swap(snapshot or kit.snapshot(**sections))
    client = UpstreamClient(TRUSTED)
    identities = make_identities(client, variables or {}, allowed=OwnIdentity(own_identity), trusted_hosts=TRUSTED)
    deps = Deps(
        holder=holder, providers=load_providers(), client=client, tokens=Tokens(client), identities=identities, recorder=Recorded(), trusted_hosts=TRUSTED,
        gateway="gw-test", propagation_wait_s=propagation_wait_s, draw=draw, sockets=sockets or Sockets(TRUSTED),
        session_limits=session_limits or SessionLimits(),
    )  # fmt: skip
    app = build_app(
        deps, PayloadStore(tmp_path / "payloads"), Metrics(CollectorRegistry()), max_body, batches=batches, relay=relay
    )
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, max_line_size=65536, max_field_size=65536)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield Gateway(f"http://127.0.0.1:{runner.addresses[0][1]}", session, deps)
    await runner.cleanup()
    await deps.sockets.close()
    await identities.close()
    await client.close()
