"""The wrapper: its command sees the services, its exit status comes through, nothing is left."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.with_services import main

REPOSITORY = Path(__file__).resolve().parents[3]
NAMES = ("DATABASE_URL", "REDIS_URL", "GATEHOUSE_SECRET_KEY", "GATEHOUSE_FERNET_KEYS", "GATEHOUSE_SIGNING_DIR")
SHOW = f"import os; print(*(os.environ[name] for name in {NAMES!r}), sep='\\n', flush=True)"


def bare(folder, **more):
    return {name: value for name, value in os.environ.items() if name not in NAMES} | {"TMPDIR": str(folder)} | more


def wrapper(folder, *command, **more):
    return subprocess.Popen(
        [sys.executable, "-m", "deploy.local.with_services", *command],
        env=bare(folder, **more), cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_the_command_sees_its_services_and_its_exit_status_comes_through(tmp_path):
    script = (
        SHOW + "\nimport psycopg, redis, sys\npsycopg.connect(os.environ['DATABASE_URL']).close()\n"
        "redis.Redis.from_url(os.environ['REDIS_URL']).ping()\nsys.exit(7)"
    )
    with wrapper(tmp_path, sys.executable, "-c", script) as process:
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 7, errors
    assert len(output.split()) == 5
    assert list(tmp_path.iterdir()) == []


def test_given_urls_reach_the_command_unchanged(tmp_path):
    given = {"DATABASE_URL": "postgresql://db.example/x", "REDIS_URL": "redis://cache.example/1"}
    with wrapper(tmp_path, sys.executable, "-c", SHOW, **given) as process:
        output, _ = process.communicate(timeout=60)
    assert output.split()[:2] == list(given.values())


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_is_passed_on_and_nothing_is_left(tmp_path, number, status):
    script = f"import signal, time\nsignal.signal({int(number)}, signal.SIG_DFL)\n{SHOW}\nwhile True: time.sleep(0.05)"
    with wrapper(tmp_path, sys.executable, "-c", script) as process:
        ports = [int(process.stdout.readline().rpartition(":")[2].partition("/")[0]) for _ in range(2)]
        process.send_signal(number)
        process.wait(60)
    assert process.returncode == status
    assert list(tmp_path.iterdir()) == []
    listening = Path("/proc/net/tcp").read_text()
    assert not any(f"0100007F:{port:04X} 00000000:0000 0A" in listening for port in ports)


def test_a_command_that_does_not_exist_is_a_sentence(tmp_path):
    with wrapper(tmp_path, str(tmp_path / "ghost")) as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors.startswith("with_services: ")
    assert errors.count("\n") == 1


def test_without_a_command_it_says_how_it_is_used(capsys):
    assert main([]) == 2
    assert capsys.readouterr().err.startswith("usage: ")
