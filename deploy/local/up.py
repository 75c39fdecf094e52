"""`make up`: from an empty folder to a system that has just served a request, and back to nothing on Ctrl-C.

    lock, ports, disk -> PostgreSQL, Valkey -> secrets, tables, signing keys, demo -> programs -> healthy
    -> one real request and its log record -> summary -> wait

Every wait is bounded.  Whatever goes wrong ends with one sentence and exit status 1, after everything is stopped; only
the death of a part of the control plane, once all runs, is told and outlived, because that is what a gateway is for.
"""

import errno
import fcntl
import functools
import io
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from deploy.local import plan, probe, services
from deploy.local.children import (
    CannotStart,
    Family,
    Stopped,
    interruption_of,
    rotate,
    run,
    signals_ignored,
    signals_raise,
    spawn,
    tie_to_parent,
)
from deploy.local.plan import Layout, Ports
from deploy.local.postgres import free_port

_HEALTHY_S: Final = 45.0
_REQUEST_S: Final = 30.0
_RECORD_S: Final = 30.0
_COMMAND_S: Final = 120.0
_SENTENCE: Final = "Say hello to the gateway."
# Below this the databases are about to fail, and they fail with less clear words.
_RUNNING_FREE_BYTES: Final = 32 * 1024 * 1024

Demo = Mapping[str, str | None]


@dataclass(slots=True)
class Run:
    """One `make up`: where, on which ports, with which children, and what the control plane needs to know."""

    layout: Layout
    ports: Ports
    control: dict[str, str] = field(default_factory=dict)
    family: Family = field(default_factory=lambda: Family(plan.CONTROL_PLANE))
    is_interrupted: Callable[[], bool] = bool
    started: float = field(default_factory=time.monotonic)

    def environment(self) -> dict[str, str]:
        """Return the whole environment of the control plane's commands."""
        return {**base_environment(), **self.control}

    def glance(self) -> None:
        """Raise when the system may not go on although every child lives."""
        probe.require_free_disk(self.layout.home, _RUNNING_FREE_BYTES)
        if self.is_interrupted():
            raise Stopped(signal.SIGINT)

    def say(self, sentence: str) -> None:
        """Print a step with the seconds since the start."""
        print(f"{time.monotonic() - self.started:6.1f} s  {sentence}")


@contextmanager
def only_one(layout: Layout) -> Iterator[None]:
    """Hold the folder's lock; raise `CannotStart` when another process has it."""
    descriptor = os.open(layout.lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotStart(
                f"the system of {layout.home} is running already; stop it first (Ctrl-C there)."
            ) from None
        yield
    finally:
        os.close(descriptor)


def is_running(layout: Layout) -> bool:
    """Return whether a system runs on this folder."""
    if not layout.lock.exists():
        return False
    try:
        with only_one(layout):
            return False
    except CannotStart:
        return True


def base_environment() -> dict[str, str]:
    """Return what every child inherits: this environment without make's own variables."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}


def manage(environment: Mapping[str, str], *arguments: str) -> str:
    """Run one command of `manage.py` and return its output; raise `CannotStart` with its last words if it fails."""
    done = run(plan.python("manage.py", *arguments), cwd=plan.REPOSITORY, env=dict(environment), timeout=_COMMAND_S)
    if done.returncode:
        said = "\n".join(f"    {line}" for line in (done.stderr or done.stdout).strip().splitlines()[-8:])
        raise CannotStart(f"`manage.py {arguments[0]}` failed:\n{said}")
    return done.stdout


def manage_json(environment: Mapping[str, str], *arguments: str) -> dict[str, Any]:
    """Run one command of `manage.py` that ends its output with one JSON object, and return that."""
    lines = manage(environment, *arguments).strip().splitlines()
    try:
        found = json.loads(lines[-1])
    except (ValueError, IndexError):
        raise CannotStart(f"`manage.py {arguments[0]}` printed no JSON.") from None
    if not isinstance(found, dict):
        raise CannotStart(f"`manage.py {arguments[0]}` printed no JSON object.")
    return found


def prepare(current: Run) -> Demo:
    """Start the services, then make or update tables, signing keys and demo; return what the demo consists of."""
    layout, ports = current.layout, current.ports
    urls = services.start(current.family, layout.home, given=os.environ, logs=layout.logs, durable=True)
    current.say("PostgreSQL and Valkey are ready")
    current.control = {**plan.control_environment(layout, ports, os.environ), **urls}
    plan.write_pairs(layout.environment, current.control)
    manage(current.environment(), "migrate", "--no-input", "--verbosity", "0")
    current.say("tables are up to date")
    manage(current.environment(), "create_signing_keys")
    return bootstrap(current)


def bootstrap(current: Run) -> Demo:
    """Make or find the demo organisation; keys that exist are taken from `demo.env`, or made anew if that is lost."""
    known = plan.read_pairs(current.layout.demo)
    is_known = bool(known.get("GATEHOUSE_API_KEY") and known.get("GATEHOUSE_ADMIN_API_KEY"))
    command = ["bootstrap_demo", "--json", "--demo-provider-url", current.ports.demo_provider_url]
    demo = manage_json(current.environment(), *command, *(() if is_known else ("--new-keys",)))
    admin = demo.get("admin_api_key") or known.get("GATEHOUSE_ADMIN_API_KEY")
    api = demo.get("api_key") or known.get("GATEHOUSE_API_KEY")
    if not admin or not api:
        raise CannotStart("`manage.py bootstrap_demo` gave no keys, and there are none in demo.env.")
    pairs = {
        "GATEHOUSE_GATEWAY_URL": current.ports.gateway_url,
        "GATEHOUSE_CONTROL_URL": current.ports.control_url,
        "GATEHOUSE_ADMIN_API_KEY": admin,
        "GATEHOUSE_API_KEY": api,
    }
    plan.write_pairs(current.layout.demo, pairs)
    current.say("the organisation Demo is there")
    return {**demo, "admin_api_key": admin, "api_key": api}


def start_programs(current: Run, demo: Demo) -> None:
    """Start every program and wait until those with a health page answer."""
    ports = current.ports
    # What is given for the control plane is none of the gateway's and the demo provider's business.
    inherited = {name: value for name, value in base_environment().items() if name not in current.control}
    inherited |= {"PYTHONUNBUFFERED": "1", "PYTHONPATH": str(plan.REPOSITORY)}
    for program in plan.programs(current.layout, ports, current.control, demo):
        log = current.layout.logs / f"{program.name}.log"
        rotate(log)
        child = spawn(
            program.name, program.command, log=log, folder=plan.REPOSITORY, ladder=program.ladder,
            environment={**inherited, **program.extra},
        )  # fmt: skip
        current.family.adopt(child)
    current.say("programs are started")
    pages = {
        "control plane": f"{ports.control_url}/readyz",
        "edge": f"{ports.edge_url}/readyz",
        "gateway": f"{ports.gateway_url}/readyz",
    }
    for name, page in pages.items():
        sentence = f"the {name} is not healthy after {_HEALTHY_S:g} s ({page}); see {current.layout.logs}."
        current.family.wait(functools.partial(probe.answers, page), bound_s=_HEALTHY_S, sentence=sentence)
        current.say(f"{name} is healthy")


def prove(current: Run, demo: Demo) -> str:
    """Send one real request and wait for its log record; return the record's id."""
    key, model = demo["api_key"] or "", demo["model"] or ""
    replies: list[probe.Reply] = []

    def is_served() -> bool:
        # A gateway that was ready from its stored bundle may need a moment for keys made just now.
        replies.append(probe.chat(current.ports, key, model, _SENTENCE))
        return replies[-1].status == 200

    deadline = time.monotonic() + _REQUEST_S
    while not is_served():
        current.family.check()
        if time.monotonic() > deadline:
            last = replies[-1]
            said = last.body.decode("utf-8", "replace")[:300]
            raise CannotStart(f"the gateway does not serve the demo request: status {last.status}, {said}")
        time.sleep(0.2)
    current.say("a request went through the gateway")
    record = replies[-1].headers.get("x-portkey-request-id", "")
    if not record:
        raise CannotStart("the gateway's answer names no log record (x-portkey-request-id).")
    page = f"{current.ports.control_url}/v1/logs/{record}"
    current.family.wait(
        lambda: probe.call(page, key=key).status == 200,
        bound_s=_RECORD_S,
        sentence=f"the log record of the demo request does not appear within {_RECORD_S:g} s ({page}).",
        every_s=0.2,
    )
    current.say("its log record has arrived")
    return record


def summary(current: Run, demo: Demo, record: str) -> str:
    """Return what a newcomer needs to go on: addresses, keys, and a first call in two languages."""
    ports, key, model = current.ports, demo["api_key"], demo["model"]
    setup = demo.get("setup_url")
    owner = f"{setup}   (once, for {demo.get('owner_email')})" if setup else f"done: sign in at {ports.control_url}/"
    return f"""
Gatehouse is running.  Ctrl-C stops it; the data stays in {current.layout.home}.

  gateway          {ports.gateway_url}/v1
  control plane    {ports.control_url}/        (pages and admin API; the request just made: log {record})
  owner's set-up   {owner}
  admin API key    {demo["admin_api_key"]}
  workspace key    {key}
  both keys        {current.layout.demo}

  curl {ports.gateway_url}/v1/chat/completions \\
    -H "Authorization: Bearer {key}" -H "Content-Type: application/json" \\
    -d '{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello"}}]}}'

  from openai import OpenAI

  client = OpenAI(base_url="{ports.gateway_url}/v1", api_key="{key}")
  answer = client.chat.completions.create(model="{model}", messages=[{{"role": "user", "content": "Hello"}}])
  print(answer.choices[0].message.content)
"""


def serve(current: Run) -> None:
    """Bring everything up and stay until a child dies, the disk fills up or a signal arrives."""
    try:
        demo = prepare(current)
        start_programs(current, demo)
        record = prove(current, demo)
        print(summary(current, demo, record))
        current.family.watch(current.glance)
    finally:
        with signals_ignored():
            current.say("stopping")
            current.family.stop()
            current.layout.environment.unlink(missing_ok=True)
            current.say("everything is stopped")


def open_home(layout: Layout) -> None:
    """Make the folder; root's must let PostgreSQL's account through to its own part of it."""
    layout.home.mkdir(parents=True, exist_ok=True)
    layout.home.chmod(0o711 if os.geteuid() == 0 else 0o700)
    layout.logs.mkdir(mode=0o700, exist_ok=True)


def main(arguments: Sequence[str]) -> int:
    """Run the system until it is told to stop; return the exit status: 0, 130 after Ctrl-C, 1 with a sentence.

    A part of the control plane that dies is told of and does not end the gateway; the exit status is 1 then too.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    is_interrupted: Callable[[], bool] = bool
    current: Run | None = None
    if "--die-with-parent" in arguments:
        tie_to_parent(os.getppid(), signal.SIGTERM)
        is_interrupted = interruption_of(os.getppid())
    try:
        with signals_raise():
            layout, ports = plan.read_layout(), plan.read_ports(free_port)
            open_home(layout)
            with only_one(layout):
                probe.require_free_ports(ports)
                probe.require_free_disk(layout.home)
                current = Run(layout, ports, is_interrupted=is_interrupted)
                serve(current)
    except Stopped as stop:
        if stop.number == signal.SIGINT:
            return 130
        return 1 if current is not None and current.family.losses else 0
    except CannotStart as fault:
        print(f"make up: {fault}", file=sys.stderr)
    except OSError as fault:
        reason = "the disk is full" if fault.errno == errno.ENOSPC else fault.strerror
        print(f"make up: {reason}: {fault.filename or 'no file named'}.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
