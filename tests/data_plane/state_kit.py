"""A gateway's state folder as enrolment and a control plane would have left it, and an edge that can be talked to."""

import asyncio
import json
from contextlib import asynccontextmanager

import msgspec
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from data_plane.sync.enrol import load_identity
from shared import wire
from tests.data_plane import kit
from tests.data_plane.sync.control_kit import puller

INSTANCE = "gw-test-0001"


def write_identity(state, root_sha256):
    """Write what enrolment writes; return the identity."""
    keys = state / "keys"
    keys.mkdir(parents=True, mode=0o700)
    (keys / "identity.key").write_bytes(Ed25519PrivateKey.generate().private_bytes_raw())
    (keys / f"sealing-{kit.KID}.key").write_bytes(kit.PRIVATE)
    stored = {"org": kit.ORG, "group": kit.GROUP, "root_sha256": root_sha256, "instance": INSTANCE}
    (state / "identity.json").write_text(json.dumps(stored))
    return load_identity(state)


async def write_bundle(state, control, seq=1, **sections):
    """Publish a revision and store it as a running gateway would have."""
    await puller(control, state).take(control.publish(seq, **sections))


async def until(found, bound_s=10.0):
    """Return the first true value of `found()`."""
    async with asyncio.timeout(bound_s):
        while not (value := found()):
            await asyncio.sleep(0.005)
    return value


class Edge:
    """A control plane's edge over HTTP: serves what `control` publishes, keeps the status reports.

    `gateways` is what it answers to those; while it `holds`, it does not answer them.
    """

    def __init__(self, control):
        self.control = control
        self.head, self._seq = None, 0
        self.reports = []
        self.away = False
        self.gateways, self.holds, self.asked = 0, False, []
        self._changed = asyncio.Condition()

    async def publish(self, seq, **changes):
        async with self._changed:
            self.head, self._seq = self.control.publish(seq, **changes), seq
            self._changed.notify_all()

    @property
    def last(self):
        return self.reports[-1] if self.reports else None

    async def handle(self, request):
        part = request.path.removeprefix(wire.DP_PREFIX)
        self.asked.append(part)
        if self.away:
            return web.Response(status=503)
        if part == "/status":
            self.reports.append(msgspec.json.decode(await request.read(), type=wire.StatusReport))
            while self.holds:
                await asyncio.sleep(0.01)
            return web.json_response({"gateways": self.gateways})
        if part.endswith("/head"):
            return await self._head(request.query["known"])
        answer = await self.control.call("GET", request.path)
        return web.Response(status=answer.status, body=answer.body)

    async def _head(self, known):
        """Hold the poll until there is a revision that the gateway does not know."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.head is not None and known != f"1.{self._seq}")
            return web.Response(body=self.head)


@asynccontextmanager
async def serving(edge):
    """Serve `edge`; yield its URL."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", edge.handle)
    # Polls that wait are cut off at the end.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
