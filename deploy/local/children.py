"""Child processes: who ends them, in which order, and what is said when one dies?

Three things end a child: `Family.stop`, the death of this process (the kernel then signals the child, so that even
`kill -9` of the parent leaves nothing behind), and its own fault.  Each child leads its own session, because Ctrl-C in
a terminal must reach the parent only: the parent alone knows the order in which to stop.
"""

import ctypes
import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, Any, Final, NoReturn

_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_POLL_S: Final = 0.05
_NOTHING: Final[Mapping[str, Any]] = {}

Ladder = tuple[tuple[signal.Signals, float], ...]
POLITE: Final[Ladder] = ((signal.SIGTERM, 12.0), (signal.SIGKILL, 5.0))

_NUMBERS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

SERVICE: Final = 0
PROGRAM: Final = 1


class CannotStart(Exception):
    """The system cannot start or go on; the sentence is for the person at the keyboard."""


class Stopped(BaseException):
    """A signal asked this process to stop; not an Exception, so that no handler swallows it."""

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.number = number


@dataclass(frozen=True, slots=True)
class Child:
    """A running process: where its output goes, and the signals, each with its patience in seconds, that end it.

    Programs are stopped before the services that they use (`tier`).
    """

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    tier: int = PROGRAM
    ladder: Ladder = POLITE


def tie_to_parent(parent: int, death_signal: int) -> None:
    """Ask the kernel to signal this process when `parent` dies; ends it at once if that has happened already.

    Only Linux can do this; elsewhere nothing is done.
    """
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != parent:
            os._exit(1)


def spawn(
    name: str,
    command: Sequence[str],
    *,
    log: Path,
    environment: Mapping[str, str],
    folder: Path = Path("/"),
    tier: int = PROGRAM,
    ladder: Ladder = POLITE,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    rights: Mapping[str, Any] = _NOTHING,
) -> Child:
    """Start `command` with its output in `log`, tied to this process; `rights` are `subprocess`'s user and groups.

    The first rung of `ladder` is also the signal that the kernel sends when this process dies.  Raises `CannotStart`
    when the program cannot be executed.
    """
    tied = functools.partial(tie_to_parent, os.getpid(), ladder[0][0])
    with log.open("ab") as output:
        log.chmod(0o600)
        try:
            process = subprocess.Popen(  # noqa: S603 - the commands are this package's own
                command, stdin=stdin, stdout=output, stderr=subprocess.STDOUT, env=dict(environment), cwd=folder,
                start_new_session=True, preexec_fn=tied, **rights,  # noqa: PLW1509 - no threads at this point
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError) as fault:
            raise CannotStart(f"{name} cannot be started: {fault}.") from None
    return Child(name, process, log, tier, ladder)


def run(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a short command to its end and return what it wrote; never raises for its exit status.

    `options` are those of `subprocess.run`; without `timeout` it may take 60 seconds.  Raises `CannotStart` when it
    cannot be executed or takes longer.
    """
    settings = {"timeout": 60.0, "stdin": subprocess.DEVNULL, "capture_output": True, "text": True} | options
    if "input" in options:
        del settings["stdin"]
    try:
        return subprocess.run(command, check=False, **settings)  # noqa: S603 - the commands are this package's own
    except subprocess.TimeoutExpired:
        raise CannotStart(f"{Path(command[0]).name} took longer than {settings['timeout']:g} s.") from None
    except (OSError, subprocess.SubprocessError) as fault:
        raise CannotStart(f"{Path(command[0]).name} cannot be started: {fault}.") from None


def tail(log: Path, lines: int = 12) -> str:
    """Return the last lines of a log, indented; empty when there are none."""
    if not log.exists():
        return ""
    with log.open("rb") as source:
        source.seek(max(0, log.stat().st_size - 16_384))
        text = source.read().decode("utf-8", "replace")
    return "\n".join(f"    {line}" for line in text.strip().splitlines()[-lines:])


def rotate(log: Path) -> None:
    """Move the log of the previous run aside, so that a tail shows this run only."""
    if log.exists():
        log.replace(log.with_suffix(".log.1"))


def end_orphan(pid_file: Path, *, folder: Path, first: signal.Signals) -> None:
    """End the process whose number `pid_file` starts with, if it works in `folder`; at first by the signal `first`.

    A server can outlive a killed parent for a moment, and two servers on one data folder destroy it.  A number that
    now belongs to something else is left alone, as is everything where there is no /proc.  Raises `CannotStart` if
    the process stays.
    """
    try:
        pid = int(pid_file.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return
    for asked, patience_s in ((first, 15.0), (signal.SIGKILL, 5.0)):
        if not _works_in(pid, folder):
            return
        with suppress(ProcessLookupError):
            os.kill(pid, asked)
        deadline = time.monotonic() + patience_s
        while _works_in(pid, folder) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
    if _works_in(pid, folder):
        raise CannotStart(f"process {pid} of an earlier run does not stop.")


def _works_in(pid: int, folder: Path) -> bool:
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == folder.resolve()
    except OSError:
        return False


class Family:
    """The children of one run."""

    def __init__(self, expendable: frozenset[str] = frozenset()) -> None:
        """Children named in `expendable` may die once the system runs; `losses` are those that did."""
        self._children: list[Child] = []
        self.expendable = expendable
        self.losses: list[str] = []

    def adopt(self, child: Child) -> Child:
        """Take `child` in: from now on it is watched and stopped with the others."""
        self._children.append(child)
        return child

    def check(self) -> None:
        """Raise `CannotStart`, naming the child and showing the end of its log, when one has died."""
        for child in self._children:
            status = child.process.poll()
            if status is not None:
                said = tail(child.log)
                raise CannotStart(
                    f"{child.name} has died ({_reason(status)}), so everything is stopped. Its log is {child.log}"
                    + (f" and ends:\n{said}" if said else " and is empty.")
                )

    def wait(self, done: Callable[[], bool], *, bound_s: float, sentence: str, every_s: float = 0.1) -> None:
        """Wait until `done()`; raise `CannotStart` when a child dies or, with `sentence`, after `bound_s`."""
        deadline = time.monotonic() + bound_s
        while not done():
            self.check()
            if time.monotonic() > deadline:
                raise CannotStart(sentence)
            time.sleep(every_s)

    def watch(self, glance: Callable[[], None], *, every_s: float = 0.2) -> NoReturn:
        """Stay until a child dies (`CannotStart`), a signal arrives (`Stopped`), or `glance` raises.

        A child in `expendable` may die: that is said, and the others go on.
        """
        while True:
            self._let_go()
            self.check()
            glance()
            time.sleep(every_s)

    def _let_go(self) -> None:
        for child in [each for each in self._children if each.name in self.expendable]:
            status = child.process.poll()
            if status is not None:
                self._children.remove(child)
                self.losses.append(child.name)
                print(
                    f"{child.name} has died ({_reason(status)}); the gateway keeps serving without it. Its log is "
                    f"{child.log}. Stop with Ctrl-C and start again to have it back.",
                    file=sys.stderr,
                )
                # Its own children, of which it can no longer take care, end with it.
                _stop_together([child])

    def stop(self) -> None:
        """End every child, programs before services, the last started first; returns when none is left."""
        for tier in sorted({child.tier for child in self._children}, reverse=True):
            _stop_together([child for child in reversed(self._children) if child.tier == tier])
        self._children.clear()


def _stop_together(children: Sequence[Child]) -> None:
    for rung in range(max(len(child.ladder) for child in children)):
        alive = [child for child in children if child.process.poll() is None and rung < len(child.ladder)]
        for child in alive:
            with suppress(ProcessLookupError):
                child.process.send_signal(child.ladder[rung][0])
        started = time.monotonic()
        for child in alive:
            with suppress(subprocess.TimeoutExpired):
                child.process.wait(max(0.0, started + child.ladder[rung][1] - time.monotonic()))
    for child in children:
        # A leader that was killed cannot end its workers; they are still in its session's group.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.process.pid, signal.SIGKILL)


def _reason(status: int) -> str:
    return f"exit status {status}" if status >= 0 else f"killed by {signal.Signals(-status).name}"


def interruption_of(pid: int) -> Callable[[], bool]:
    """Return a question: has process `pid`, GNU make, been sent SIGINT since now?

    Make does not pass SIGINT on: a terminal sends it to the child as well.  Sent to make alone, it drops make's handler
    and make waits for the child, for ever if the child does not ask.
    """
    had = _catches_interrupt(pid)
    return lambda: had and not _catches_interrupt(pid)


def _catches_interrupt(pid: int) -> bool:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return False
    caught = next((line.split()[1] for line in lines if line.startswith("SigCgt:")), "0")
    return bool(int(caught, 16) >> (signal.SIGINT - 1) & 1)


@contextmanager
def signals_raise() -> Iterator[None]:
    """Within the block SIGINT, SIGTERM and SIGHUP raise `Stopped` once; later ones do nothing.

    Later ones are ignored because shutting down is bounded in time, and an interrupted shutdown leaves processes.
    """

    def stop(number: int, _frame: FrameType | None) -> None:
        for each in _NUMBERS:
            signal.signal(each, signal.SIG_IGN)
        raise Stopped(number)

    before = {number: signal.signal(number, stop) for number in _NUMBERS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def signals_ignored() -> Iterator[None]:
    """Within the block those signals do nothing: shutting down is bounded in time by itself."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _NUMBERS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
