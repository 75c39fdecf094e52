"""`make soak`: what do slow streams, large bodies and slow readers do to everybody else's p99?

Ordinary chats arrive at a steady, low rate; their latency counts from the moment they were due, so that a stall is felt
by all that it holds up.  Quiet windows and disturbed ones take turns in one run, and a disturbed window is compared with
the quiet ones beside it.  How much two quiet windows differ is the noise.  Ends with 1 when a disturbance moves the p99
by more than 10 % beyond that.
"""

import argparse
import asyncio
import gc
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path

from tests.fakes.paced_provider import KEY, raise_file_limit
from tests.performance.bench import family_of, percentile
from tests.system.system_kit import Program, System, free_port

ROUNDS = 5
WINDOW_S = 8.0
WARM_UP_S = 1.0
RATE = 100
CONNECTIONS = 24
ALLOWED = 1.10
STREAMS, STREAM_BYTES, STREAM_PAUSE_MS = 1000, 200, 1000
BODY_BYTES = 32 * 1024 * 1024
BODY_EVERY_S = 4.0
#: A caller with 100 Mbit/s: at the speed of the loopback the sender alone would take a core away from all others.
BODY_BYTES_PER_S = 12_500_000
BODY_PIECE_BYTES = 256 * 1024
READERS = 50
READER_PAUSE_S = 1.0


def request_bytes(key, model, text="word " * 300, **fields):
    body = json.dumps({"model": model, **fields, "messages": [{"role": "user", "content": text}]}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def read_whole(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    await reader.readexactly(int(re.search(rb"(?i)content-length: (\d+)", head)[1]))


# The ordinary load


async def window(port, request, seconds):
    """Return the seconds that each chat took, counted from when it was due; keeps to the rate whatever comes back."""
    free, times = asyncio.Queue(), [0.0] * int(seconds * RATE)
    for _ in range(CONNECTIONS):
        free.put_nowait(await asyncio.open_connection("127.0.0.1", port))

    async def one(number, due):
        reader, writer = await free.get()
        writer.write(request)
        await read_whole(reader)
        times[number] = time.perf_counter() - due
        free.put_nowait((reader, writer))

    begin = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(len(times)):
            due = begin + number / RATE
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(one(number, due))
    while not free.empty():
        free.get_nowait()[1].close()
    return times


# The disturbances, each in a process of its own: it prints a line when it is at work, and is killed when it is over


async def slow_streams(port, key, ready):
    request = request_bytes(key, f"@paced/stream-100000-{STREAM_BYTES}-{STREAM_PAUSE_MS}", stream=True)

    async def one(due_s):
        await asyncio.sleep(due_s)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        opened.append(writer)
        while await reader.read(65536):
            pass
        raise ConnectionError("a stream ended")

    # Spread over twice their pause, or they would all send at the same moment.
    opened, spread_s = [], 2 * STREAM_PAUSE_MS / 1000
    async with asyncio.TaskGroup() as group:
        for number in range(STREAMS):
            group.create_task(one(number * spread_s / STREAMS))
        while len(opened) < STREAMS:
            await asyncio.sleep(0.05)
        ready()


async def send_paced(writer, content):
    begin = time.monotonic()
    for offset in range(0, len(content), BODY_PIECE_BYTES):
        await asyncio.sleep(max(0.0, begin + offset / BODY_BYTES_PER_S - time.monotonic()))
        writer.write(content[offset : offset + BODY_PIECE_BYTES])
        await writer.drain()


async def large_bodies(port, key, ready):
    frame = request_bytes(key, "@blind/large", "")
    request = request_bytes(key, "@blind/large", "x" * (BODY_BYTES - len(frame)))
    ready()
    while True:
        due = time.monotonic() + BODY_EVERY_S
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await send_paced(writer, request)
        await read_whole(reader)
        writer.close()
        await asyncio.sleep(max(0.0, due - time.monotonic()))


async def past_the_gateway(_port, key, ready):
    await large_bodies(int(os.environ["SOAK_PROVIDER_PORT"]), key, ready)


async def slow_readers(port, key, ready):
    request = request_bytes(key, "@paced/stream-1024-65536-0", stream=True)
    loop = asyncio.get_running_loop()

    async def one():
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            await loop.sock_connect(sock, ("127.0.0.1", port))
            await loop.sock_sendall(sock, request)
            assert (await loop.sock_recv(sock, 12)) == b"HTTP/1.1 200"
            opened.append(sock)
            while await loop.sock_recv(sock, 1):
                await asyncio.sleep(READER_PAUSE_S)

    opened = []
    async with asyncio.TaskGroup() as group:
        for _ in range(READERS):
            group.create_task(one())
        while len(opened) < READERS:
            await asyncio.sleep(0.05)
        # What fits into the buffers of the kernel has been taken by then.
        await asyncio.sleep(2.0)
        ready()


CONTROL = "past the gateway"
PROVIDERS = {"plain": ["--blind"], "blind": ["--blind"], "paced": []}
DISTURBANCES = {
    "slow streams": (slow_streams, f"{STREAMS} streams, an event each {STREAM_PAUSE_MS} ms"),
    "large bodies": (
        large_bodies,
        f"{BODY_BYTES >> 20} MiB each {BODY_EVERY_S:g} s, at {BODY_BYTES_PER_S >> 20} MiB/s",
    ),
    CONTROL: (past_the_gateway, "the same, sent to the provider: what the machine itself does"),
    "slow readers": (slow_readers, f"{READERS} readers of 64 MiB, a byte each {READER_PAUSE_S:g} s"),
}


@contextmanager
def disturbance(name, system):
    """Run a disturbance; yields when it is at work."""
    command = [
        sys.executable,
        "-m",
        "tests.performance.soak",
        "--disturb",
        name,
        "--port",
        str(system.ports["gateway"]),
    ]
    blind = system.programs["blind"].command
    environment = {**os.environ, "SOAK_KEY": system.key, "SOAK_PROVIDER_PORT": blind[blind.index("--port") + 1]}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            yield
            assert process.poll() is None, f"{name} ended early"
        finally:
            process.kill()


# The run


class Windows:
    """Latencies by what went on meanwhile, in the order they were measured; and what the gateway held then."""

    def __init__(self, system):
        self.system = system
        self.request = request_bytes(system.key, "@plain/chat")
        self.times = {name: [] for name in ("quiet", *DISTURBANCES)}
        self.held = {name: [] for name in self.times}

    def measure(self, name, seconds=WINDOW_S):
        gc.collect()
        # What the last window left behind is over by the end of the warm-up, which does not count.
        times = asyncio.run(window(self.system.ports["gateway"], self.request, seconds + WARM_UP_S))
        times = times[int(WARM_UP_S * RATE) :]
        self.times[name].append(times)
        self.held[name].append(self.gateway_bytes())
        return times

    def gateway_bytes(self):
        total = 0
        for pid in family_of(self.system.programs["gateway"].process.pid)[1:]:
            status = Path(f"/proc/{pid}/status").read_text()
            total += int(re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)[1]) * 1024
        return total


def prepare(folder):
    """Start everything, with providers of our own: none of those that a disturbance keeps busy serves the ordinary load."""
    system = System(folder).build()
    system.start_all()
    for slug, options in PROVIDERS.items():
        port = free_port()
        command = [sys.executable, "-m", "tests.fakes.paced_provider", "--port", str(port), *options]
        system.programs[slug] = Program(slug, command, system.base, folder / f"{slug}.log").start()
        made = {
            "name": slug,
            "slug": slug,
            "provider": "openai",
            "key": KEY,
            "workspace_id": system.demo["workspace_id"],
        }
        assert (
            system.admin("POST", "/virtual-keys", made | {"custom_host": f"http://127.0.0.1:{port}/v1"})["slug"] == slug
        )
    system.wait_current()
    return system


def run(windows, names, rounds, seconds):
    windows.measure("quiet", 2.0)
    windows.times["quiet"].clear()
    windows.held["quiet"].clear()
    for number in range(rounds):
        windows.measure("quiet", seconds)
        for name in names:
            with disturbance(name, windows.system):
                windows.measure(name, seconds)
            windows.measure("quiet", seconds)
        print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)


def noise_of(quiet):
    """Return how much the p99 of quiet windows differs from window to window: the median ratio of neighbours."""
    p99s = [percentile(times, 0.99) for times in quiet]
    return statistics.median(max(a, b) / min(a, b) for a, b in pairwise(p99s))


def report(windows, names):
    """Print the table; return the names of the disturbances that move the p99 too much."""
    quiet, moved = windows.times["quiet"], []
    noise = noise_of(quiet)
    columns = f"{'p50 ms':>9}{'p99 ms':>9}{'max ms':>9}{'p99 ratio':>11}{'min':>7}{'max':>7}{'MB held':>9}"
    print(f"{'':18}{columns}   during")
    for name in ("quiet", *names):
        whole = [spent for times in windows.times[name] for spent in times]
        figures = [percentile(whole, share) for share in (0.5, 0.99, 1.0)]
        line = f"{name:18}{figures[0]:9.2f}{figures[1]:9.2f}{figures[2]:9.2f}"
        held = max(windows.held[name]) / 1e6
        if name == "quiet":
            print(f"{line}{'':25}{held:9.0f}   {RATE} chats a second, {len(quiet)} windows of {len(quiet[0])} chats")
            continue
        ratios = []
        for number, times in enumerate(windows.times[name]):
            before = number * (len(names) + 1) + names.index(name)
            beside = quiet[before] + quiet[before + 1]
            ratios.append(percentile(times, 0.99) / percentile(beside, 0.99))
        ratio = statistics.median(ratios)
        if name != CONTROL and ratio > ALLOWED * noise:
            moved.append(name)
        print(f"{line}{ratio:11.2f}{min(ratios):7.2f}{max(ratios):7.2f}{held:9.0f}   {DISTURBANCES[name][1]}")
    print(f"\nnoise: the p99 of a quiet window and of the next differ by a factor of {noise:.2f} (median)")
    for name in moved:
        print(f"{name}: moves the p99 of other requests by more than {ALLOWED - 1:.0%} beyond the noise")
    return moved


def soak(arguments):
    names = arguments.only or list(DISTURBANCES)
    with tempfile.TemporaryDirectory(prefix="gatehouse-soak-") as folder:
        system = None
        try:
            system = prepare(Path(folder))
            windows = Windows(system)
            gc.freeze()
            run(windows, names, arguments.rounds, arguments.window_s)
            return 1 if report(windows, names) else 0
        finally:
            if system is not None:
                for slug in PROVIDERS.keys() & system.programs.keys():
                    system.programs[slug].stop()
                system.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--window-s", type=float, default=WINDOW_S)
    parser.add_argument("--only", action="append", choices=DISTURBANCES)
    parser.add_argument("--disturb", choices=DISTURBANCES, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    raise_file_limit()
    if not arguments.disturb:
        return soak(arguments)
    work = DISTURBANCES[arguments.disturb][0]
    with suppress(KeyboardInterrupt):
        asyncio.run(work(arguments.port, os.environ["SOAK_KEY"], lambda: print("ready", flush=True)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
