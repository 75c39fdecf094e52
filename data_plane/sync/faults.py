"""Failpoints: places where a test may kill the process, to show that a restart finds a whole configuration.

Without `GATEHOUSE_FAULT` in the environment a failpoint is one comparison.
"""

import os
import signal
from typing import Final

_ARMED: Final = os.environ.get("GATEHOUSE_FAULT", "")


def failpoint(name: str) -> None:
    """Die here, as by `kill -9`, if this is the armed failpoint."""
    if _ARMED and name == _ARMED:
        os.kill(os.getpid(), signal.SIGKILL)
