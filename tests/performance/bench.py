"""`make bench`: CPU per request and added latency of the whole gateway, beside a bare aiohttp proxy in the same run.

CPU time is read from the kernel's account of the processes, so a noisy neighbour does not count; both are measured in
turn, and what is compared is the ratio within each round.  The gateway does everything that it does in use: key,
config, virtual key with a sealed credential, translation, price, record with bodies, spool and upload.
"""

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.system.system_kit import Program, System, fetch, free_port, wait_for

ROUNDS = 7
REQUESTS = 1500
CONNECTIONS = 16
LATENCY_REQUESTS = 600
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
CHAT = {
    "model": "gpt-4o",
    "messages": [{"role": "system", "content": "You are terse. " * 20}, {"role": "user", "content": "word " * 300}],
}


def family_of(pid):
    """Return the process and all its descendants."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += family_of(int(child))
    return found


def cpu_s(pids):
    """Return the CPU seconds that the processes have used."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS_PER_S


def request_bytes(port, headers):
    body = json.dumps(CHAT).encode()
    lines = [
        "POST /v1/chat/completions HTTP/1.1",
        f"host: 127.0.0.1:{port}",
        "content-type: application/json",
        f"content-length: {len(body)}",
    ]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def one(reader, writer, request):
    """Send one request on a kept connection; return its seconds."""
    began = time.perf_counter()
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head[:300]
    length = next(int(line[15:]) for line in head.split(b"\r\n") if line[:15].lower() == b"content-length:")
    await reader.readexactly(length)
    return time.perf_counter() - began


async def load(port, headers, requests, connections):
    """Return the seconds of each of `requests`, sent over `connections` kept connections."""
    request, times = request_bytes(port, headers), []

    async def client(count):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(count):
            times.append(await one(reader, writer, request))
        writer.close()

    await asyncio.gather(*(client(requests // connections) for _ in range(connections)))
    return times


class Contender:
    """Something that is measured: its port, its headers, its processes.

    `micros` is the CPU of the processes that answer requests, `background` that of their parent, if it has another job.
    """

    def __init__(self, name, port, headers, pid):
        self.name, self.port, self.headers, self.pid = name, port, headers, pid
        self.micros, self.background, self.times = [], [], []

    def burn(self, requests=REQUESTS):
        """Send a round of load and note the CPU time per request."""
        parent, *children = family_of(self.pid)
        serving, behind = (children, [parent]) if children else ([parent], [])
        before, behind_before = cpu_s(serving), cpu_s(behind)
        asyncio.run(load(self.port, self.headers, requests, CONNECTIONS))
        self.micros.append((cpu_s(serving) - before) / requests * 1e6)
        self.background.append((cpu_s(behind) - behind_before) / requests * 1e6)

    def feel(self):
        """Send requests one by one and note how long each takes."""
        self.times += asyncio.run(load(self.port, self.headers, LATENCY_REQUESTS // 3, 1))


def percentile(times, share):
    return sorted(times)[min(len(times) - 1, int(len(times) * share))] * 1000


def prepare(folder):
    """Start everything; return (system, programs of our own, bare proxy, gateway, upstream itself)."""
    system = System(folder).build()
    python, upstream, proxy = sys.executable, system.ports["provider"], free_port()
    system.programs["provider"] = Program(
        "provider", [python, "-m", "tests.performance.upstream", "--port", str(upstream)], system.base, folder / "p.log"
    )
    system.programs["gateway"].environment["GATEHOUSE_GATEWAY_WORKERS"] = "1"
    bare = Program(
        "bare",
        [
            python,
            "-m",
            "tests.performance.bare_proxy",
            "--port",
            str(proxy),
            "--target",
            f"http://127.0.0.1:{upstream}",
        ],
        system.base,
        folder / "b.log",
    )
    bare.start()
    system.start_all()
    config = system.admin("POST", "/configs", {
        "name": "bench", "workspace_id": system.demo["workspace_id"],
        "config": {"strategy": {"mode": "fallback"}, "retry": {"attempts": 2}, "targets": [{"virtual_key": "demo"}, {"virtual_key": "demo"}]},
    })  # fmt: skip
    headers = {
        "authorization": f"Bearer {system.key}",
        "x-portkey-config": config["slug"],
        "x-portkey-metadata": '{"team":"bench"}',
    }
    wait_for(
        lambda: fetch(f"http://127.0.0.1:{proxy}/v1/chat/completions", body=CHAT)[0] == 200, "the bare proxy answers"
    )
    system.wait_current()
    return system, bare, Contender("bare aiohttp proxy", proxy, {}, bare.process.pid), Contender(
        "gatehouse gateway", system.ports["gateway"], headers | {"x-portkey-api-key": system.key}, system.programs["gateway"].process.pid
    ), Contender("upstream alone", upstream, {}, system.programs["provider"].process.pid)  # fmt: skip


def measure(bare, gateway, direct):
    for contender in (bare, gateway):
        contender.burn(500)
        contender.micros.clear()
        contender.background.clear()
    for _ in range(ROUNDS):
        bare.burn()
        gateway.burn()
    for _ in range(3):
        for contender in (direct, bare, gateway):
            contender.feel()


def report(bare, gateway, direct):
    """Print the table and the ratios, round by round against each other."""
    serving = [ours / theirs for ours, theirs in zip(gateway.micros, bare.micros, strict=True)]
    whole = [
        (ours + behind) / theirs
        for ours, behind, theirs in zip(gateway.micros, gateway.background, bare.micros, strict=True)
    ]
    print(f"{'':22}{'CPU us/request':>16}{'background':>12}{'added p50 ms':>15}{'added p99 ms':>15}")
    for contender in (bare, gateway):
        added = [percentile(contender.times, share) - percentile(direct.times, share) for share in (0.5, 0.99)]
        micros, background = statistics.median(contender.micros), statistics.median(contender.background)
        print(f"{contender.name:22}{micros:16.0f}{background:12.0f}{added[0]:15.2f}{added[1]:15.2f}")
    print(f"\nCPU of the gateway / the bare proxy, {ROUNDS} rounds (median, min, max):")
    for name, ratios in (("processes that serve", serving), ("and the upload of records", whole)):
        print(f"  {name:26}{statistics.median(ratios):6.2f}{min(ratios):6.2f}{max(ratios):6.2f}")


def main():
    with tempfile.TemporaryDirectory(prefix="gatehouse-bench-") as folder:
        system, own, bare, gateway, direct = prepare(Path(folder))
        try:
            measure(bare, gateway, direct)
            report(bare, gateway, direct)
        finally:
            own.stop()
            system.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
