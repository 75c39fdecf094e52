"""Is it healthy, and does a request really go through?  What `make up` asks of ports, disk and HTTP."""

import errno
import http.client
import json
import shutil
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from deploy.local.children import CannotStart
from deploy.local.plan import Ports

LEAST_FREE_BYTES: Final = 200 * 1024 * 1024
_CALL_S: Final = 10.0
# The ports of a run that was killed a moment ago are free again within this time.
_PORT_PATIENCE_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer; `status` 0 means that none came."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the decoded body; None when it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


def call(url: str, *, key: str = "", body: Any = None, timeout_s: float = _CALL_S) -> Reply:
    """GET `url`, or POST `body` as JSON, with `key` as bearer token; never raises for the network."""
    parts = urlsplit(url)
    headers = {"Content-Type": "application/json"} if body is not None else {}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    line = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    try:
        content = None if body is None else json.dumps(body)
        line.request("GET" if body is None else "POST", parts.path or "/", body=content, headers=headers)
        answer = line.getresponse()
        return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    except (OSError, http.client.HTTPException):
        return Reply(0, {}, b"")
    finally:
        line.close()


def answers(url: str) -> bool:
    """Return whether `url` answers 200 now."""
    return call(url, timeout_s=2.0).status == 200


def require_free_ports(ports: Ports) -> None:
    """Raise `CannotStart`, naming the variable to change, unless every port can be listened on."""
    seen: dict[int, str] = {}
    for name, port, variable, host in ports.names():
        if port in seen:
            raise CannotStart(f"{name} and {seen[port]} are both to use port {port}; set {variable} to another one.")
        seen[port] = name
        deadline = time.monotonic() + _PORT_PATIENCE_S
        while fault := _listening_fault(host, port):
            if fault.errno != errno.EADDRINUSE:
                raise CannotStart(f"{name} cannot listen on {host}:{port} ({fault.strerror}); change {variable}.")
            if time.monotonic() > deadline:
                raise CannotStart(f"port {port} for the {name} is busy; stop what uses it, or set {variable}.")
            time.sleep(0.1)


def _listening_fault(host: str, port: int) -> OSError | None:
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()
    except OSError as fault:
        return fault
    return None


def require_free_disk(folder: Path, least_bytes: int = LEAST_FREE_BYTES) -> None:
    """Raise `CannotStart` when the disk of `folder` has less than `least_bytes` left."""
    free = shutil.disk_usage(folder).free
    if free < least_bytes:
        megabytes, least = free // 2**20, least_bytes // 2**20
        raise CannotStart(f"the disk of {folder} has {megabytes} MB left; at least {least} MB are needed.")


def chat(ports: Ports, key: str, model: str, sentence: str) -> Reply:
    """Send one chat through the gateway."""
    message = {"role": "user", "content": sentence}
    return call(f"{ports.gateway_url}/v1/chat/completions", key=key, body={"model": model, "messages": [message]})
