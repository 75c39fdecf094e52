"""What does `make up` run: which programs, with which environment, on which ports?"""

import os
import secrets
import sys
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.local.children import POLITE, Ladder
from shared.env import Env

REPOSITORY: Final = Path(__file__).resolve().parents[2]
LOOPBACK: Final = "127.0.0.1"
# What the gateway does not need to serve: it goes on when one of these dies.
CONTROL_PLANE: Final = frozenset({"control-plane", "edge", "publisher", "worker", "beat"})
# The gateway lets running requests finish (GATEHOUSE_SHUTDOWN_S) before it leaves.
_GATEWAY_LADDER: Final[Ladder] = ((POLITE[0][0], 25.0), POLITE[1])


@dataclass(frozen=True, slots=True)
class Layout:
    """The folder of one running system and what lies where in it."""

    home: Path

    @property
    def logs(self) -> Path:
        """Output of every child, one file each."""
        return self.home / "logs"

    @property
    def lock(self) -> Path:
        """Held while a system runs on this folder."""
        return self.home / "lock"

    @property
    def environment(self) -> Path:
        """Environment of the running control plane, for commands beside it; absent when nothing runs."""
        return self.home / "env"

    @property
    def demo(self) -> Path:
        """URLs and keys of the demo, for people and scripts."""
        return self.home / "demo.env"


@dataclass(frozen=True, slots=True)
class Ports:
    """Where everything listens; `names` says which variable changes which port."""

    host: str
    control: int
    edge: int
    gateway: int
    demo: int

    def names(self) -> tuple[tuple[str, int, str, str], ...]:
        """Return name, port, variable and address of each listener."""
        return (
            ("control plane", self.control, "GATEHOUSE_CONTROL_PORT", self.host),
            ("edge", self.edge, "GATEHOUSE_EDGE_PORT", LOOPBACK),
            ("gateway", self.gateway, "GATEHOUSE_GATEWAY_PORT", self.host),
            ("demo provider", self.demo, "GATEHOUSE_DEMO_PORT", LOOPBACK),
        )

    @property
    def control_url(self) -> str:
        """Base URL of pages and admin API."""
        return f"http://{LOOPBACK}:{self.control}"

    @property
    def edge_url(self) -> str:
        """Base URL of what gateways call."""
        return f"http://{LOOPBACK}:{self.edge}"

    @property
    def gateway_url(self) -> str:
        """Base URL of the gateway, without `/v1`."""
        return f"http://{LOOPBACK}:{self.gateway}"

    @property
    def demo_provider_url(self) -> str:
        """Base URL of the demo provider's API."""
        return f"http://{LOOPBACK}:{self.demo}/v1"


@dataclass(frozen=True, slots=True)
class Program:
    """One child to start: its name, command, what its environment adds, and how it is ended."""

    name: str
    command: tuple[str, ...]
    extra: Mapping[str, str]
    ladder: Ladder = POLITE


def read_layout() -> Layout:
    """Return the layout that the environment asks for."""
    env = Env("make up")
    home = env.path("GATEHOUSE_HOME", ".gatehouse", "Folder of `make up` for its data, logs and secrets.")
    return Layout(REPOSITORY / home)


def read_ports(pick: Callable[[], int]) -> Ports:
    """Return where to listen, as the environment says; `pick` gives a port for the demo provider's 0."""
    env = Env("make up")
    ports = Ports(
        host=env.text("GATEHOUSE_BIND", LOOPBACK, "Address on which gateway and control plane of `make up` listen."),
        control=env.integer("GATEHOUSE_CONTROL_PORT", 8000, "Port of pages and admin API.", least=1, most=65535),
        edge=env.integer("GATEHOUSE_EDGE_PORT", 8001, "Port of what gateways call.", least=1, most=65535),
        gateway=env.integer("GATEHOUSE_GATEWAY_PORT", 8787, "Port that the gateway listens on.", least=1, most=65535),
        demo=env.integer("GATEHOUSE_DEMO_PORT", 8790, "Port of the demo provider; 0 picks one.", most=65535),
    )
    return ports if ports.demo else Ports(ports.host, ports.control, ports.edge, ports.gateway, pick())


def read_secrets(folder: Path) -> dict[str, str]:
    """Return the control plane's lasting secrets, made in `folder` the first time."""
    folder.mkdir(mode=0o700, exist_ok=True)
    return {
        "GATEHOUSE_SECRET_KEY": _kept(folder / "django_secret_key", lambda: secrets.token_urlsafe(48)),
        "GATEHOUSE_FERNET_KEYS": _kept(
            folder / "fernet_keys", lambda: urlsafe_b64encode(secrets.token_bytes(32)).decode()
        ),
    }


def _kept(file: Path, make: Callable[[], str]) -> str:
    if not file.exists():
        write_private(file, make() + "\n")
    return file.read_text().strip()


def write_private(file: Path, text: str) -> None:
    """Write `text` for this user's eyes only; a reader sees the old file or the new one, never a half."""
    unfinished = file.with_name(f"{file.name}.new")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as sink:
        sink.write(text)
        sink.flush()
        os.fsync(sink.fileno())
    unfinished.replace(file)


def read_pairs(file: Path) -> dict[str, str]:
    """Return the NAME=value lines of a file; empty when there is no such file."""
    if not file.exists():
        return {}
    pairs = (line.partition("=") for line in file.read_text().splitlines() if "=" in line and line[0] != "#")
    return {name.strip(): value for name, _, value in pairs}


def write_pairs(file: Path, pairs: Mapping[str, str]) -> None:
    """Write NAME=value lines for this user's eyes only."""
    write_private(file, "".join(f"{name}={value}\n" for name, value in pairs.items()))


def control_environment(layout: Layout, ports: Ports, given: Mapping[str, str]) -> dict[str, str]:
    """Return what the control plane's programs need besides the two service URLs; what is `given` wins."""
    chosen = {
        **read_secrets(layout.home / "secrets"),
        "GATEHOUSE_SIGNING_DIR": str(layout.home / "signing"),
        "GATEHOUSE_PUBLIC_URL": ports.control_url,
        "GATEHOUSE_GATEWAY_URL": ports.gateway_url,
        "TRUSTED_CUSTOM_HOSTS": "localhost,127.0.0.1,::1",
        "GATEHOUSE_DEBUG": "false",
        "DJANGO_SETTINGS_MODULE": "control_plane.settings",
    }
    return {name: given.get(name) or value for name, value in chosen.items()}


def python(*arguments: str) -> tuple[str, ...]:
    """Return the command that runs this interpreter with `arguments`."""
    return (sys.executable, *arguments)


def programs(layout: Layout, ports: Ports, control: Mapping[str, str], demo: Mapping[str, str | None]) -> list[Program]:
    """Return the children in the order of their start.

    `control` is the whole environment of the control plane; the gateway gets none of it: it must work from its bundle
    alone, and holds no secret of the other plane.  `demo` is what `bootstrap_demo` printed.
    """
    celery = python("-m", "celery", "-A", "control_plane.celery")
    gunicorn = python("-m", "gunicorn", "control_plane.wsgi", "--worker-class", "gthread", "--workers", "2")
    beat = layout.home / "beat"
    beat.mkdir(mode=0o700, exist_ok=True)
    return [
        Program("demo-provider", python("-m", "deploy.local.demo_provider", "--port", str(ports.demo)), {}),
        Program(
            "control-plane",
            (*gunicorn, "--threads", "8", "--no-control-socket", "--bind", f"{ports.host}:{ports.control}"),
            control,
        ),
        Program("edge", python("-m", "control_plane.edge"), {**control, "GATEHOUSE_EDGE_PORT": str(ports.edge)}),
        Program("publisher", python("manage.py", "run_publisher"), control),
        Program(
            "worker",
            (*celery, "worker", "--pool", "threads", "--concurrency", "4", "--loglevel", "WARNING", "--without-gossip"),
            control,
        ),
        Program("beat", (*celery, "beat", "--schedule", str(beat / "schedule"), "--loglevel", "WARNING"), control),
        Program(
            "gateway", python("-m", "data_plane", "serve"), _gateway_environment(layout, ports, demo), _GATEWAY_LADDER
        ),
    ]


def _gateway_environment(layout: Layout, ports: Ports, demo: Mapping[str, str | None]) -> dict[str, str]:
    return {
        "GATEHOUSE_GATEWAY_HOST": ports.host,
        "GATEHOUSE_GATEWAY_PORT": str(ports.gateway),
        "GATEHOUSE_GATEWAY_STATE_DIR": str(layout.home / "gateway"),
        "GATEHOUSE_EDGE_URL": ports.edge_url,
        "GATEHOUSE_ADMIN_URL": ports.control_url,
        # There is nobody to spare on one machine, and whoever restarts the control plane wants to go on at once.
        "GATEHOUSE_MAX_BACKOFF_S": os.environ.get("GATEHOUSE_MAX_BACKOFF_S") or "1",
        "GATEHOUSE_ENROLMENT_TOKEN": demo.get("enrolment_token") or "",
        "GATEHOUSE_ROOT_SHA256": demo.get("root_sha256") or "",
        "TRUSTED_CUSTOM_HOSTS": os.environ.get("TRUSTED_CUSTOM_HOSTS") or "localhost,127.0.0.1,::1",
    }
