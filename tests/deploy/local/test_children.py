"""Children: watched while they live, gone when they should be."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from deploy.local.children import (
    POLITE,
    PROGRAM,
    SERVICE,
    CannotStart,
    Family,
    Stopped,
    end_orphan,
    interruption_of,
    rotate,
    run,
    signals_ignored,
    signals_raise,
    spawn,
    tail,
)

REPOSITORY = Path(__file__).resolve().parents[3]
LOOP = "import time\nprint('up', flush=True)\nwhile True: time.sleep(0.05)"
STUBBORN = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + LOOP
HASTY = ((signal.SIGTERM, 0.3), (signal.SIGKILL, 5.0))


def eventually(condition, bound_s=10.0):
    deadline = time.monotonic() + bound_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def says(log, word):
    return lambda: log.exists() and word in log.read_text()


@pytest.fixture
def family():
    members = Family()
    yield members
    members.stop()


def start(family, logs, script, name="child", **options):
    log = logs / f"{name}.log"
    child = spawn(name, [sys.executable, "-c", script], log=log, environment=dict(os.environ), **options)
    return family.adopt(child)


def test_a_dead_child_is_named_with_its_status_and_the_end_of_its_log(family, tmp_path):
    child = start(family, tmp_path, "import sys; print('out of cheese'); sys.exit(3)", name="cheese-shop")
    child.process.wait(10)
    with pytest.raises(CannotStart) as fault:
        family.check()
    assert "cheese-shop has died (exit status 3)" in str(fault.value)
    assert "out of cheese" in str(fault.value)


def test_a_killed_child_is_told_with_its_signal(family, tmp_path):
    child = start(family, tmp_path, LOOP)
    child.process.kill()
    child.process.wait(10)
    with pytest.raises(CannotStart, match="killed by SIGKILL"):
        family.watch(lambda: None)


def test_waiting_ends_with_its_sentence_when_the_time_is_over(family, tmp_path):
    start(family, tmp_path, LOOP)
    with pytest.raises(CannotStart, match="never healthy"):
        family.wait(lambda: False, bound_s=0.05, sentence="never healthy", every_s=0.01)


def test_waiting_ends_at_once_when_a_child_dies(family, tmp_path):
    start(family, tmp_path, "raise SystemExit(1)", name="frail")
    with pytest.raises(CannotStart, match="frail has died"):
        family.wait(lambda: False, bound_s=30.0, sentence="too late", every_s=0.01)


def test_stop_ends_a_child_that_ignores_the_polite_signal(family, tmp_path):
    child = start(family, tmp_path, STUBBORN, ladder=HASTY)
    assert eventually(says(child.log, "up"))
    family.stop()
    assert child.process.returncode == -signal.SIGKILL


def test_stop_ends_the_workers_that_a_killed_leader_leaves(family, tmp_path):
    script = (
        "import signal, subprocess, sys\n"
        "worker = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('worker', worker.pid, flush=True)\nworker.wait()"
    )
    child = start(family, tmp_path, script, ladder=HASTY)
    assert eventually(says(child.log, "worker"))
    worker = int(child.log.read_text().split()[1])
    family.stop()
    assert eventually(lambda: not is_alive(worker))


def test_programs_are_stopped_before_the_services_they_use(family, tmp_path):
    diary = tmp_path / "diary"
    script = (
        "import signal, sys, time\n"
        "def leave(*_):\n"
        f"    open({str(diary)!r}, 'a').write(sys.argv[1] + '\\n'); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, leave)\n" + LOOP
    )
    for name, tier in (("database", SERVICE), ("program", PROGRAM)):
        command = [sys.executable, "-c", script, name]
        log = tmp_path / f"{name}.log"
        family.adopt(spawn(name, command, log=log, environment=dict(os.environ), tier=tier))
        assert eventually(says(log, "up"))
    family.stop()
    assert diary.read_text().split() == ["program", "database"]


def test_children_die_with_a_parent_that_is_killed(tmp_path):
    log = tmp_path / "child.log"
    parent_script = (
        "import os, sys, time\nfrom pathlib import Path\nfrom deploy.local.children import spawn\n"
        f"command, log = [sys.executable, '-c', {LOOP!r}], Path({str(log)!r})\n"
        "child = spawn('child', command, log=log, environment=dict(os.environ))\n"
        "print(child.process.pid, flush=True)\ntime.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", parent_script], stdout=subprocess.PIPE, cwd=REPOSITORY) as parent:
        child = int(parent.stdout.readline())
        assert eventually(says(log, "up"))
        parent.kill()
    assert eventually(lambda: not is_alive(child))


def test_a_program_that_does_not_exist_is_a_sentence(tmp_path):
    with pytest.raises(CannotStart, match="ghost cannot be started"):
        spawn("ghost", [str(tmp_path / "ghost")], log=tmp_path / "ghost.log", environment={})


def test_a_log_is_for_its_owner_only(family, tmp_path):
    child = start(family, tmp_path, LOOP)
    assert child.log.stat().st_mode & 0o777 == 0o600


def test_a_rotated_log_keeps_the_previous_run_beside_it(tmp_path):
    log = tmp_path / "web.log"
    log.write_text("before")
    rotate(log)
    assert not log.exists()
    assert (tmp_path / "web.log.1").read_text() == "before"


def test_a_tail_is_the_last_lines_and_empty_without_a_log(tmp_path):
    log = tmp_path / "web.log"
    assert tail(log) == ""
    log.write_text("".join(f"line {number}\n" for number in range(100)))
    assert tail(log, lines=2) == "    line 98\n    line 99"


def test_a_command_that_takes_too_long_is_a_sentence():
    with pytest.raises(CannotStart, match=r"took longer than 0\.2 s"):
        run([sys.executable, "-c", LOOP], timeout=0.2)


def test_an_orphan_that_works_in_the_folder_is_ended(family, tmp_path):
    child = start(family, tmp_path, LOOP, folder=tmp_path)
    assert eventually(says(child.log, "up"))
    pid_file = tmp_path / "pid"
    pid_file.write_text(f"{child.process.pid}\nmore\n")
    end_orphan(pid_file, folder=tmp_path, first=signal.SIGTERM)
    assert child.process.wait(10) == -signal.SIGTERM


def test_a_process_that_works_elsewhere_is_no_orphan(family, tmp_path):
    child = start(family, tmp_path, LOOP, folder=Path("/"))
    pid_file = tmp_path / "pid"
    pid_file.write_text(str(child.process.pid))
    end_orphan(pid_file, folder=tmp_path, first=signal.SIGTERM)
    assert child.process.poll() is None


@pytest.mark.parametrize("content", ["", "not a number", "999999999"])
def test_a_useless_pid_file_is_no_fault(tmp_path, content):
    pid_file = tmp_path / "pid"
    pid_file.write_text(content)
    end_orphan(pid_file, folder=tmp_path, first=signal.SIGTERM)
    assert pid_file.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_raises_and_the_next_ones_do_nothing(number):
    with pytest.raises(Stopped) as stop, signals_raise():
        try:
            os.kill(os.getpid(), number)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
    assert stop.value.number == number


def test_an_interruption_of_make_alone_is_noticed():
    """Make drops its handler when it is interrupted, and then only waits for us."""
    script = (
        "import signal, sys\nsignal.signal(signal.SIGINT, lambda *_: None)\nprint(flush=True)\nsys.stdin.readline()\n"
        "signal.signal(signal.SIGINT, signal.SIG_DFL)\nprint(flush=True)\nsys.stdin.readline()"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as make:
        make.stdout.readline()
        is_interrupted = interruption_of(make.pid)
        assert not is_interrupted()
        make.stdin.write("\n")
        make.stdout.readline()
        assert is_interrupted()


def test_signals_do_nothing_while_they_are_ignored():
    before = signal.getsignal(signal.SIGTERM)
    with signals_ignored():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_every_ladder_ends_with_a_signal_that_cannot_be_ignored():
    assert POLITE[-1][0] == signal.SIGKILL
    with suppress(ImportError):
        from deploy.local import postgres, services

        assert {postgres._LADDER[-1][0], services._LADDER[-1][0]} == {signal.SIGKILL}
