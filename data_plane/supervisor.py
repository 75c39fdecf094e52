"""The parent process of a gateway: runs the agent, keeps the workers alive, stops everything in order.

Each worker listens on a socket of its own that shares the port with the others'; the parent keeps all of them open,
so connections that arrive while a worker restarts are answered by the next one instead of being refused.
"""

import asyncio
import contextlib
import errno
import fcntl
import os
import resource
import shutil
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Final

import structlog
from prometheus_client.multiprocess import mark_process_dead

from data_plane import settings
from data_plane.agent import Agent
from data_plane.sync.enrol import EnrolmentDelayed, EnrolmentFailed, GatewayIdentity, enrol, load_identity
from data_plane.sync.link import LINK_FD, SOCKET_FD, Link
from shared.redact import Secret

BACKLOG: Final = 1024
ENROL_EVERY_S: Final = 1.0
RESTART_S: Final = 0.5
BATCH_START_S: Final = 3.0
LAST_WORDS_S: Final = 1.0
GRACE_S: Final = 5.0
DRAIN_S: Final = 3.0
PORT_WAIT_S: Final = 3.0
METRICS_DIR: Final = settings.STATE_DIR / "metrics"

log = structlog.get_logger(module=__name__)


class GatewayRefused(SystemExit):
    """The gateway cannot start; the sentence says why."""


def lock_state(folder: Path) -> int:
    """Take the state folder for this process alone; the descriptor must stay open.  Raises GatewayRefused."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(folder / "LOCK", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise GatewayRefused(f"Another gateway is running on the state folder {folder}.") from None
    except OSError as fault:
        raise GatewayRefused(f"The state folder {folder} cannot be used: {fault.strerror}.") from None
    return descriptor


def bind_sockets(host: str, port: int, count: int) -> list[socket.socket]:
    """Return `count` sockets bound to one port; raises GatewayRefused when somebody else has it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        port = probe_port(family, host, port)
        sockets = []
        for _ in range(count):
            sock = socket.socket(family, socket.SOCK_STREAM)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind((host, port))
            sock.set_inheritable(True)
            sockets.append(sock)
    except OSError as fault:
        raise GatewayRefused(
            f"The gateway cannot listen on {host}:{port}: {fault.strerror}. Set GATEHOUSE_GATEWAY_PORT to a free port."
        ) from None
    return sockets


def probe_port(family: socket.AddressFamily, host: str, port: int) -> int:
    """Return the port if nobody listens on it; waits for the workers of a killed predecessor, raises OSError."""
    until = time.monotonic() + PORT_WAIT_S
    while True:
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                # Without SO_REUSEPORT this fails when any other process listens there, ours or not.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port))
                return int(probe.getsockname()[1])
        except OSError as fault:
            if fault.errno != errno.EADDRINUSE or time.monotonic() >= until:
                raise
            time.sleep(0.05)


async def identify(state: Path) -> GatewayIdentity:
    """Return this gateway's identity, enrolling first when it has none; waits for the control plane then."""
    identity = load_identity(state)
    if identity is not None:
        return identity
    if not settings.ENROLMENT_TOKEN or not settings.ROOT_SHA256:
        raise EnrolmentFailed(
            "This gateway is not enrolled: set GATEHOUSE_ENROLMENT_TOKEN and GATEHOUSE_ROOT_SHA256 once."
        )
    while True:
        try:
            return await enrol(
                state, settings.EDGE_URL, Secret(settings.ENROLMENT_TOKEN), settings.ROOT_SHA256, settings.GROUP_NAME
            )
        except EnrolmentDelayed as fault:
            log.warning("enrolment_delayed", reason=str(fault))
            await asyncio.sleep(ENROL_EVERY_S)


class Supervisor:
    """The workers of one gateway."""

    def __init__(self, agent: Agent, sockets: list[socket.socket]) -> None:
        self._agent = agent
        self._sockets = sockets
        self._processes: set[asyncio.subprocess.Process] = set()
        self._stopping = False

    async def keep(self, sock: socket.socket | None) -> None:
        """Run a worker on `sock` (None: one for batches), and another one whenever it ends, until stopping."""
        if sock is None:
            # Whoever waits for an answer comes before a batch, also while a gateway starts.
            await asyncio.sleep(BATCH_START_S)
        while not self._stopping:
            ours, theirs = socket.socketpair()
            env, passed = os.environ | {LINK_FD: str(theirs.fileno())}, [theirs.fileno()]
            if sock is not None:
                env[SOCKET_FD] = str(sock.fileno())
                passed.append(sock.fileno())
            command = "batch-worker" if sock is None else "worker"
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "data_plane", command, env=env, pass_fds=passed
            )
            theirs.close()
            self._processes.add(process)
            attached = asyncio.create_task(self._agent.attach(await Link.over(ours)))
            code = await process.wait()
            self._processes.discard(process)
            mark_process_dead(process.pid, str(METRICS_DIR))  # type: ignore[no-untyped-call]  # has no annotations
            # The line ends with the worker; what it said last is still to be read.
            await asyncio.wait({attached}, timeout=LAST_WORDS_S)
            attached.cancel()
            await asyncio.gather(attached, return_exceptions=True)
            if not self._stopping:
                log.error("worker_died", code=code)
                await asyncio.sleep(RESTART_S)

    async def run(self) -> None:
        """Keep every worker running until cancelled, then stop them in order."""
        places = [*self._sockets, *([None] if settings.BATCH_CONCURRENCY else [])]
        keepers = [asyncio.create_task(self.keep(place)) for place in places]
        background = asyncio.create_task(self._agent.run())
        try:
            # Unlike `gather`, `wait` leaves the tasks alone when it is cancelled: workers are to end by themselves.
            done, _ = await asyncio.wait([*keepers, background], return_when=asyncio.FIRST_EXCEPTION)
            fault = next((task.exception() for task in done if task.exception()), None)
            if fault is not None:
                log.error("gateway_failed", exc_info=fault)
                raise GatewayRefused("The gateway has stopped because of a defect of its own; its log says more.")
        finally:
            self._stopping = True
            for process in self._processes:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGTERM)
            await asyncio.wait(keepers, timeout=settings.SHUTDOWN_S + GRACE_S)
            for process in self._processes:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
            # What the workers wrote at the end is carried away while there is time; the rest stays on disk.
            await self._agent.drain(DRAIN_S)
            background.cancel()
            await asyncio.gather(background, *keepers, return_exceptions=True)
            await self._agent.hand_back()
            await self._agent.close()


def harden() -> None:
    """Write no core dumps, which would hold provider keys in plain text, and no file that others can read."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(0o077)


def clean_metrics() -> None:
    """Make the folder in which workers share their counts, empty: counts begin anew with the gateway."""
    shutil.rmtree(METRICS_DIR, ignore_errors=True)
    METRICS_DIR.mkdir(parents=True, mode=0o700)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(METRICS_DIR)


async def serve() -> None:
    """Run the gateway until SIGTERM or SIGINT."""
    harden()
    state = settings.STATE_DIR
    lock_state(state)
    sockets = bind_sockets(settings.GATEWAY_HOST, settings.GATEWAY_PORT, settings.WORKERS)
    clean_metrics()
    loop, main = asyncio.get_running_loop(), asyncio.current_task()
    for number in (signal.SIGTERM, signal.SIGINT):
        if main is not None:
            loop.add_signal_handler(number, main.cancel)
    agent = Agent(await identify(state), state)
    loaded = await asyncio.to_thread(agent.puller.load)
    log.info("gateway_starting", configuration="stored" if loaded else "none", workers=len(sockets))
    with contextlib.suppress(asyncio.CancelledError):
        await Supervisor(agent, sockets).run()
