import asyncio
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import pytest

from data_plane import supervisor
from data_plane.supervisor import GatewayRefused, bind_sockets, clean_metrics, identify, lock_state
from data_plane.sync.enrol import EnrolmentFailed
from tests.architecture.source_tree import ROOT
from tests.data_plane import kit
from tests.data_plane.gateway_kit import CHAT, STREAM, at
from tests.data_plane.state_kit import Edge, serving, until, write_bundle, write_identity
from tests.data_plane.sync.control_kit import ControlPlane
from tests.fakes.provider import FakeProvider, Reply

NOBODY = "http://127.0.0.1:9"
CHUNK = {
    "id": "c",
    "object": "chat.completion.chunk",
    "model": "gpt-4o",
    "choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": None}],
}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment(state, **changes):
    given = {name: value for name, value in os.environ.items() if not name.startswith("GATEHOUSE_")}
    return {
        **given, "GATEHOUSE_GATEWAY_STATE_DIR": str(state), "GATEHOUSE_GATEWAY_WORKERS": "2", "GATEHOUSE_EDGE_URL": NOBODY,
        "GATEHOUSE_SHUTDOWN_S": "2", "TRUSTED_CUSTOM_HOSTS": "127.0.0.1", **changes,
    }  # fmt: skip


# one at a time


def test_a_second_gateway_on_the_same_state_folder_is_refused(tmp_path):
    held = lock_state(tmp_path / "state")
    with pytest.raises(GatewayRefused, match="Another gateway is running on the state folder"):
        lock_state(tmp_path / "state")
    os.close(held)
    os.close(lock_state(tmp_path / "state"))


def test_a_state_folder_that_cannot_be_made_is_refused_in_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(GatewayRefused, match=r"cannot be used: .+\."):
        lock_state(tmp_path / "file" / "state")


def test_the_state_folder_is_its_owners_alone(tmp_path):
    os.close(lock_state(tmp_path / "state"))
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "state/LOCK").stat().st_mode) == 0o600


# the port


def test_all_workers_share_one_port():
    sockets = bind_sockets("127.0.0.1", 0, 3)
    assert len({sock.getsockname() for sock in sockets}) == 1
    assert all(os.get_inheritable(sock.fileno()) for sock in sockets)
    for sock in sockets:
        sock.close()


@pytest.mark.parametrize("shared", [False, True])
def test_a_port_that_somebody_has_is_said_in_one_sentence(monkeypatch, shared):
    monkeypatch.setattr(supervisor, "PORT_WAIT_S", 0.1)
    with socket.socket() as other:
        if shared:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(GatewayRefused) as raised:
            bind_sockets("127.0.0.1", port, 1)
    assert (
        str(raised.value)
        == f"The gateway cannot listen on 127.0.0.1:{port}: Address already in use. Set GATEHOUSE_GATEWAY_PORT to a free port."
    )


def test_a_port_that_becomes_free_in_a_moment_is_waited_for():
    other = socket.socket()
    other.bind(("127.0.0.1", 0))
    other.listen()
    port = other.getsockname()[1]
    closing = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.3)"], pass_fds=(other.fileno(),))
    other.close()
    (sock,) = bind_sockets("127.0.0.1", port, 1)
    assert closing.wait(5) == 0
    sock.close()


@pytest.mark.parametrize("host", ["192.0.2.1", "not an address"])
def test_an_address_that_is_not_this_hosts_is_refused(host):
    with pytest.raises(GatewayRefused, match="cannot listen on"):
        bind_sockets(host, 0, 1)


# hardening


def test_a_hardened_process_writes_no_core_and_nothing_that_others_can_read(tmp_path):
    script = "import resource, sys; from data_plane.supervisor import harden; harden(); open(sys.argv[1], 'w').close(); print(resource.getrlimit(resource.RLIMIT_CORE))"
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "made")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == "(0, 0)"
    assert stat.S_IMODE((tmp_path / "made").stat().st_mode) == 0o600


def test_counts_begin_anew_with_the_gateway(tmp_path, monkeypatch):
    monkeypatch.setattr(supervisor, "METRICS_DIR", tmp_path / "metrics")
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "old.db").write_text("x")
    clean_metrics()
    assert os.environ["PROMETHEUS_MULTIPROC_DIR"] == str(tmp_path / "metrics")
    assert list((tmp_path / "metrics").iterdir()) == []


# identity


async def test_an_identity_that_is_stored_needs_neither_token_nor_network(tmp_path, monkeypatch):
    monkeypatch.setattr(supervisor.settings, "EDGE_URL", NOBODY)
    made = write_identity(tmp_path, "ab" * 32)
    assert (await identify(tmp_path)).instance == made.instance


async def test_a_gateway_that_never_enrolled_says_what_it_needs(tmp_path):
    with pytest.raises(EnrolmentFailed, match="GATEHOUSE_ENROLMENT_TOKEN and GATEHOUSE_ROOT_SHA256"):
        await identify(tmp_path)


# the whole gateway, as a process, without a control plane


def command_of(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


class Gateway:
    """A gateway process and its workers."""

    def __init__(self, process, port, log):
        self.process, self.port, self.log = process, port, log
        self.url = f"http://127.0.0.1:{port}"

    def workers(self):
        """Return the ids of the running children that serve requests."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        found = {int(pid) for pid in children.read_text().split()} if children.exists() else set()
        return {pid for pid in found if b"batch-worker" not in command_of(pid)}

    async def status(self, session, path="/readyz"):
        try:
            async with session.get(self.url + path) as response:
                return response.status
        except aiohttp.ClientError:
            return 0

    async def chat(self, session, body=CHAT):
        async with session.post(
            f"{self.url}/v1/chat/completions", json=body, headers={"x-portkey-api-key": kit.KEY_TEXT}
        ) as response:
            return response.status, await response.read()

    async def end(self, bound_s=15.0):
        self.process.terminate()
        return await asyncio.wait_for(self.process.wait(), bound_s)


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
async def session():
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as made:
        yield made


@pytest.fixture
async def start(tmp_path, session):
    """Return a function that starts a gateway on a state folder and waits until it is ready to serve."""
    running = []

    async def started(state, ready=200, **changes):
        port = free_port()
        log = tmp_path / f"log-{len(running)}"
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "data_plane", "serve", cwd=ROOT, stdout=output, stderr=output,
                env=environment(state, GATEHOUSE_GATEWAY_PORT=str(port), **changes),
            )  # fmt: skip
        made = Gateway(process, port, log)
        running.append(made)
        async with asyncio.timeout(30):
            while await made.status(session) != ready:
                assert process.returncode is None, log.read_text()
                await asyncio.sleep(0.05)
        return made

    yield started
    for made in running:
        workers = made.workers()
        if made.process.returncode is None:
            made.process.kill()
            await made.process.wait()
        await until(lambda workers=workers: not any(map(is_alive, workers)), 15)


@pytest.fixture
async def fake():
    async with FakeProvider() as made:
        yield made


@pytest.fixture
async def state(tmp_path, fake):
    """A state folder with an identity and a stored revision whose provider is the fake."""
    control = ControlPlane()
    write_identity(tmp_path / "state", control.root_sha256)
    await write_bundle(tmp_path / "state", control, 5, **at(fake))
    return tmp_path / "state"


async def test_a_gateway_that_starts_without_its_control_plane_serves(start, state, fake, session):
    gateway = await start(state)
    assert len(gateway.workers()) == 2
    status, body = await gateway.chat(session)
    assert (status, json.loads(body)["object"]) == (200, "chat.completion")
    status, body = await gateway.chat(session, STREAM)
    assert body.endswith(b"data: [DONE]\n\n")
    assert len(fake.seen) == 2
    assert kit.PROVIDER_KEY not in gateway.log.read_text()
    assert fake.key not in gateway.log.read_text()


async def test_its_stored_revision_is_not_used_when_somebody_changed_it(start, state, session):
    for path in (state / "bundles" / "blobs").rglob("*"):
        if path.is_file():
            path.chmod(0o600)
            path.write_bytes(path.read_bytes()[:-1] + b"!")
    gateway = await start(state, ready=503)
    assert (await gateway.chat(session))[0] == 503


async def test_a_worker_that_is_killed_is_replaced_and_the_port_goes_on_answering(start, state, session):
    gateway = await start(state)
    before = gateway.workers()
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    answers = []
    async with asyncio.timeout(30):
        while len(gateway.workers() - {victim}) < 2 or len(answers) < 20:
            answers.append((await gateway.chat(session))[0])
    assert set(answers) == {200}
    assert len(gateway.workers() & before) == 1
    assert "worker_died" in gateway.log.read_text()


async def test_a_stop_leaves_no_process_behind(start, state):
    gateway = await start(state)
    workers = gateway.workers()
    began = time.monotonic()
    assert await gateway.end() == 0
    assert time.monotonic() - began < 10
    assert not any(map(is_alive, workers))
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", gateway.port)) != 0


async def test_a_stop_does_not_wait_for_ever_for_a_stream_that_does_not_end(start, state, fake):
    fake.add(Reply(sse=[CHUNK], hang_after=1))
    gateway = await start(state)
    workers = gateway.workers()
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{gateway.url}/v1/chat/completions", json=STREAM, headers={"x-portkey-api-key": kit.KEY_TEXT}
        ) as response,
    ):
        await response.content.readany()
        assert await gateway.end(bound_s=25) == 0
    assert not any(map(is_alive, workers))


async def test_workers_do_not_outlive_a_gateway_that_is_killed(start, state):
    gateway = await start(state)
    workers = gateway.workers()
    gateway.process.kill()
    await gateway.process.wait()
    await until(lambda: not any(map(is_alive, workers)), 15)


async def test_a_second_gateway_ends_with_one_sentence_and_the_first_serves_on(start, state, session):
    gateway = await start(state)
    second = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-m", "data_plane", "serve"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        env=environment(state, GATEHOUSE_GATEWAY_PORT=str(free_port())),
    )  # fmt: skip
    assert (second.returncode, second.stdout) == (1, "")
    assert re.fullmatch(r"Another gateway is running on the state folder .*\.\n", second.stderr)
    assert await gateway.status(session) == 200


async def test_files_that_a_running_gateway_makes_are_its_owners_alone(start, state, session):
    before = set(state.rglob("*"))
    gateway = await start(state)
    await gateway.chat(session)
    assert await gateway.end() == 0
    made = set(state.rglob("*")) - before
    assert {path.name for path in made} >= {"LOCK", "metrics", "spool", "usage", "payload"}
    assert [str(path) for path in made if path.stat().st_mode & 0o077] == []


async def test_what_a_gateway_recorded_offline_waits_on_its_disk(start, state, session):
    gateway = await start(state)
    await gateway.chat(session)
    assert await gateway.end() == 0
    stored = b"".join(path.read_bytes() for path in (state / "spool" / "usage").rglob("*") if path.is_file())
    assert kit.WS.encode() in stored
    assert kit.KEY_TEXT.encode() not in stored


async def test_a_gateway_gets_newer_revisions_from_its_control_plane(start, tmp_path, fake, session):
    control = ControlPlane()
    write_identity(tmp_path / "online", control.root_sha256)
    edge = Edge(control)
    async with serving(edge) as url:
        gateway = await start(tmp_path / "online", ready=503, GATEHOUSE_EDGE_URL=url)
        await edge.publish(1, **at(fake))
        await until(lambda: edge.last and edge.last.state == "ACTIVE" and edge.last.workers >= 2, 15)
        assert (await gateway.chat(session))[0] == 200
        await edge.publish(2, head={"revoked": [f"k:{kit.KEY_ID}"]}, **at(fake))
        await until(lambda: edge.last.active.seq == 2, 15)
        assert (await gateway.chat(session))[0] == 401
