import os
import signal
import subprocess
import sys

CODE = "from data_plane.sync.faults import failpoint; failpoint('here'); print('alive')"


def run(fault):
    return subprocess.run(
        [sys.executable, "-c", CODE],
        env={**os.environ, "GATEHOUSE_FAULT": fault},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_only_the_armed_failpoint_kills():
    assert run("").stdout == "alive\n"
    assert run("elsewhere").stdout == "alive\n"
    assert run("here").returncode == -signal.SIGKILL
