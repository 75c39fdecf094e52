"""Both planes and a provider as real processes, and the means to stop, kill and restart each of them."""

import base64
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

ROOT = Path(__file__).parents[2]
PROVIDER_KEY = "sk-sentinel-provider-key-0123456789"
BOUND_S = 45.0


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(done, what, bound_s=BOUND_S, every_s=0.02):
    """Return the first true value of `done()`; fail with `what` after `bound_s`."""
    until = time.monotonic() + bound_s
    while not (found := done()):
        assert time.monotonic() < until, f"waited {bound_s:g} s in vain: {what}"
        time.sleep(every_s)
    return found


def fetch(url, *, key=None, body=None, headers=None, method=None, timeout_s=20.0):
    """Return (status, decoded JSON or None, headers); (0, None, {}) when nobody answers."""
    sent = {**({"authorization": f"Bearer {key}"} if key else {}), **(headers or {})}
    data = None if body is None else json.dumps(body).encode()
    if data is not None:
        sent.setdefault("content-type", "application/json")
    request = urllib.request.Request(url, data=data, headers=sent, method=method)
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            return answer.status, decoded(answer.read()), dict(answer.headers)
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, decoded(answer.read()), dict(answer.headers)
    except (OSError, urllib.error.URLError):
        return 0, None, {}


def decoded(content):
    try:
        return json.loads(content)
    except ValueError:
        return None


class Program:
    """One process, in a group of its own; its output goes to a file."""

    def __init__(self, name, command, environment, log):
        self.name, self.command, self.environment, self.log = name, command, environment, log
        self.process = None

    def start(self):
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                env=self.environment,
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def signal_all(self, number):
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def kill(self):
        """Kill the process and all its children, as a power cut would."""
        self.signal_all(signal.SIGKILL)
        self.process.wait(10)

    def stop(self):
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(30)
        self.signal_all(signal.SIGKILL)
        self.process.wait(10)


class System:
    """One installation: a database of its own, a control plane, a gateway, and a strict provider."""

    def __init__(self, folder, *, edge_port=None):
        self.folder = folder
        self.ports = {name: free_port() for name in ("control", "edge", "gateway", "provider")}
        self.control = f"http://127.0.0.1:{self.ports['control']}"
        self.gateway = f"http://127.0.0.1:{self.ports['gateway']}"
        self.provider = f"http://127.0.0.1:{self.ports['provider']}/v1"
        self.edge_url = f"http://127.0.0.1:{edge_port or self.ports['edge']}"
        self.state = folder / "gateway"
        self.database_url = self._own_database()
        self.programs = {}
        self.keys = {}
        base = {name: value for name, value in os.environ.items() if not name.startswith(("GATEHOUSE_", "PYTEST"))}
        base |= {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost"}
        self.base = base
        self.control_environment = base | {
            "DATABASE_URL": self.database_url,
            "REDIS_URL": os.environ["REDIS_URL"],
            "GATEHOUSE_SECRET_KEY": secrets.token_urlsafe(48),
            "GATEHOUSE_FERNET_KEYS": base64.urlsafe_b64encode(os.urandom(32)).decode(),
            "GATEHOUSE_SIGNING_DIR": str(folder / "signing"),
            "GATEHOUSE_EDGE_PORT": str(self.ports["edge"]),
            "GATEHOUSE_PUBLIC_URL": self.control,
            "DJANGO_SETTINGS_MODULE": "control_plane.settings",
        }

    @staticmethod
    def _own_database():
        given = urlsplit(os.environ["DATABASE_URL"])
        name = f"system_{secrets.token_hex(4)}"
        with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return urlunsplit(given._replace(path=f"/{name}"))

    def query(self, sql, *arguments):
        """Return the rows of a query on the control plane's database."""
        with psycopg.connect(self.database_url) as connection:
            return connection.execute(sql, arguments).fetchall()

    def manage(self, *arguments):
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.control_environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    def _add(self, name, command, environment):
        self.programs[name] = Program(name, command, environment, self.folder / f"{name}.log")

    def build(self):
        """Make the tables, the keys and the demo organisation, and say which programs there are."""
        self.manage("migrate", "--no-input", "--verbosity", "0")
        self.manage("create_signing_keys")
        made = json.loads(
            self.manage("bootstrap_demo", "--json", "--demo-provider-url", self.provider).splitlines()[-1]
        )
        self.demo = made
        self.admin_key, self.key = made["admin_api_key"], made["api_key"]
        python = sys.executable
        self._add(
            "provider", [python, "-m", "deploy.local.demo_provider", "--port", str(self.ports["provider"])], self.base
        )
        self._add(
            "control",
            [python, "-m", "gunicorn", "control_plane.wsgi", "--worker-class", "gthread", "--workers", "1", "--threads", "8",
             "--no-control-socket", "--bind", f"127.0.0.1:{self.ports['control']}"],
            self.control_environment,
        )  # fmt: skip
        self._add("edge", [python, "-m", "control_plane.edge"], self.control_environment)
        self._add("publisher", [python, "manage.py", "run_publisher"], self.control_environment)
        self._add("gateway", [python, "-m", "data_plane", "serve"], self.gateway_environment())
        return self

    def gateway_environment(self):
        return self.base | {
            "GATEHOUSE_GATEWAY_PORT": str(self.ports["gateway"]),
            "GATEHOUSE_GATEWAY_STATE_DIR": str(self.state),
            "GATEHOUSE_GATEWAY_WORKERS": "2",
            "GATEHOUSE_EDGE_URL": self.edge_url,
            "GATEHOUSE_ADMIN_URL": self.control,
            "GATEHOUSE_ENROLMENT_TOKEN": self.demo["enrolment_token"] or "",
            "GATEHOUSE_ROOT_SHA256": self.demo["root_sha256"],
            "GATEHOUSE_SHUTDOWN_S": "5",
            "GATEHOUSE_MAX_BACKOFF_S": "1",
        }

    def start(self, *names):
        for name in names or self.programs:
            self.programs[name].start()
        return self

    def start_all(self):
        self.start()
        self.wait_ready()
        wait_for(lambda: self.chat()[0] == 200, "a first chat is answered")
        return self

    def wait_ready(self):
        for page in (
            f"{self.control}/readyz",
            f"http://127.0.0.1:{self.ports['edge']}/readyz",
            f"{self.gateway}/readyz",
        ):
            wait_for(lambda page=page: fetch(page)[0] == 200, page)

    def kill_control_plane(self):
        for name in ("control", "edge", "publisher"):
            self.programs[name].kill()

    def start_control_plane(self):
        """Start it again, and wait until the gateway hears from it."""
        self.start("control", "edge", "publisher")
        self.wait_ready()
        key = self.new_key("heard of")["key"]
        wait_for(lambda: self.chat(key=key)[0] == 200, "the gateway hears from the control plane again")

    def stop(self):
        for name in ("gateway", "publisher", "edge", "control", "provider"):
            if name in self.programs:
                self.programs[name].stop()

    def chat(self, key=None, model="@demo/gpt-4o", text="hello", timeout_s=20.0, **headers):
        """Return (status, body, headers) of one chat."""
        body = {"model": model, "messages": [{"role": "user", "content": text}]}
        return fetch(
            f"{self.gateway}/v1/chat/completions", key=key or self.key, body=body, headers=headers, timeout_s=timeout_s
        )

    def admin(self, method, path, body=None):
        """Return the body of an Admin API call that must succeed."""
        status, answer, _ = fetch(f"{self.control}/v1{path}", key=self.admin_key, body=body, method=method)
        assert status == 200, (status, answer)
        return answer

    def new_key(self, name="key", **fields):
        body = {
            "name": name,
            "workspace_id": self.demo["workspace_id"],
            "scopes": ["completions.write", "logs.view"],
            **fields,
        }
        return self.admin("POST", "/api-keys/workspace/service", body)

    def report(self):
        """Return the newest status report of the gateway."""
        rows = self.query(
            "SELECT i.report FROM gateways_gatewayinstance i JOIN gateways_gatewaygroup g ON g.id = i.group_id"
            " WHERE g.name = 'local' ORDER BY i.last_seen_at DESC LIMIT 1"
        )
        return rows[0][0] if rows else {}

    def newest_seq(self):
        """Return the newest published revision of the gateway's group."""
        sql = "SELECT max(v.seq) FROM gateways_bundleversion v JOIN gateways_gatewaygroup g ON g.id = v.group_id WHERE g.name = 'local'"
        return self.query(sql)[0][0]

    def wait_current(self):
        """Wait until everything is published and in use by the gateway."""
        wait_for(
            lambda: self.query("SELECT count(*) FROM core_outboxevent WHERE done_at IS NULL")[0][0] == 0,
            "all is published",
        )
        newest = self.newest_seq()
        wait_for(lambda: self.report().get("active", {}).get("seq", 0) >= newest, "the gateway is current")

    def stored(self, *ids):
        """Return how often each log record is stored, of those given or of all."""
        if ids:
            rows = self.query("SELECT id::text, count(*) FROM logs_record WHERE id = ANY(%s) GROUP BY 1", list(ids))
        else:
            rows = self.query("SELECT id::text, count(*) FROM logs_record GROUP BY 1")
        return dict(rows)
