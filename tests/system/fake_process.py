"""A strict fake provider as a process of its own."""

import os
import subprocess
import sys
from contextlib import contextmanager

from tests.fakes.provider import KEYS
from tests.system.system_kit import ROOT


@contextmanager
def fake_provider(kind):
    """Yield (base URL, key) of a running fake."""
    command = [sys.executable, "-m", "tests.fakes.provider", "--port", "0", "--kind", kind]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT) as process:
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1", KEYS[kind]
        finally:
            process.terminate()
