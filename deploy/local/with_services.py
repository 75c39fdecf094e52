"""How does a command, such as pytest, get a real PostgreSQL and a real Valkey for as long as it runs?

    python -m deploy.local.with_services pytest -q

The variables must stand before pytest starts: its Django plug-in reads the settings before any fixture or conftest
runs.  Secrets that the settings need are made up as well, unless they are given.
"""

import base64
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

from deploy.local import postgres, services
from deploy.local.children import CannotStart, Family, Stopped, signals_ignored, signals_raise


def throwaway_secrets(folder: Path) -> dict[str, str]:
    """Return secrets for one session; whatever they protect goes with it."""
    return {
        "GATEHOUSE_SECRET_KEY": secrets.token_urlsafe(48),
        "GATEHOUSE_FERNET_KEYS": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "GATEHOUSE_SIGNING_DIR": str(folder / "signing"),
    }


def run_with_services(command: Sequence[str], given: Mapping[str, str]) -> int:
    """Run `command` beside the two services and return its exit status (128 + n for signal n).

    Everything started and every file made is gone when it returns, also after a signal.  Raises `CannotStart`.
    """
    family = Family()
    with tempfile.TemporaryDirectory(prefix="gatehouse-test-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        # The account of PostgreSQL must get through to its own folder.
        folder.chmod(0o711)
        try:
            with signals_raise():
                urls = services.start(family, folder, given=given, logs=folder / "logs", durable=False)
                return _run(command, {**throwaway_secrets(folder), **given, **urls})
        finally:
            with signals_ignored():
                family.stop()
                postgres.remove(folder / "postgres")


def _run(command: Sequence[str], environment: Mapping[str, str]) -> int:
    try:
        child = subprocess.Popen(command, env=dict(environment))  # noqa: S603 - running what the caller names is the job
    except OSError as fault:
        raise CannotStart(f"{command[0]} cannot be started: {fault}.") from None

    def forward(number: int, _frame: FrameType | None) -> None:
        # A terminal has sent its Ctrl-C to the command as well; a second one would cut its clean-up short.
        if number != signal.SIGINT or not sys.stdin.isatty():
            child.send_signal(number)

    before = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        status = child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return status if status >= 0 else 128 - status


def main(arguments: Sequence[str]) -> int:
    """Run the command in `arguments`; return the exit status of this process."""
    if not arguments:
        print("usage: python -m deploy.local.with_services COMMAND [ARGUMENT...]", file=sys.stderr)
        return 2
    try:
        return run_with_services(arguments, os.environ)
    except CannotStart as fault:
        print(f"with_services: {fault}", file=sys.stderr)
        return 1
    except Stopped as stop:
        return 128 + stop.number


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
