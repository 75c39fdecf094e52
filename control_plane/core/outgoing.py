"""How does the control plane call an address that a user named, such as an identity provider's?

By the rules of `shared/hosts.py`: the address as written is checked, and again every address that its name resolves to,
in the moment of connecting, so that a name that moves inside is refused too.  Redirects are not followed, answers are
JSON objects of bounded size, and the whole call has a deadline.
"""

import http.client
import json
import socket
import ssl
import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from django.conf import settings

from shared.hosts import check_outgoing_url, host_of, may_connect, parse_address

CONNECT_TIMEOUT_S: Final = 5.0
DEADLINE_S: Final = 10.0
MOST_BYTES: Final = 1024 * 1024


class OutgoingFailed(RuntimeError):
    """The call could not be made or its answer cannot be used; the sentence shows nothing of the network inside."""


def checked_url(url: str) -> str:
    """Return `url` when it may be called: https, or http on a trusted host.  Raises ValueError with what is wrong."""
    is_trusted = host_of(url) in settings.TRUSTED_CUSTOM_HOSTS
    return check_outgoing_url(url, settings.TRUSTED_CUSTOM_HOSTS, https_only=not is_trusted)


def _socket(host: str, port: int) -> socket.socket:
    for *_, place in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        address = parse_address(str(place[0]).partition("%")[0])
        if address is None or not may_connect(host, address, settings.TRUSTED_CUSTOM_HOSTS):
            raise OutgoingFailed("the name leads to an address that may not be called")
        try:
            return socket.create_connection((str(address), port), timeout=CONNECT_TIMEOUT_S)
        except OSError:
            continue
    raise OutgoingFailed("no connection could be made")


def _connection(url: str) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme.lower() == "https":
        port = parts.port or 443
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(host, port)
        connection.sock = ssl.create_default_context().wrap_socket(_socket(host, port), server_hostname=host)
    else:
        port = parts.port or 80
        connection = http.client.HTTPConnection(host, port)
        connection.sock = _socket(host, port)
    return connection


def _read(response: http.client.HTTPResponse, deadline: float) -> bytes:
    body = bytearray()
    while chunk := response.read1(64 * 1024):
        body += chunk
        if len(body) > MOST_BYTES or time.monotonic() > deadline:
            raise OutgoingFailed("the answer is too long or too slow")
    return bytes(body)


def fetch_json(
    url: str, *, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return the JSON object at `url`: GET, or POST of `form`.

    Raises OutgoingFailed when the address may not be called, cannot be reached, or answers anything else than 200 with
    an object.
    """
    deadline = time.monotonic() + DEADLINE_S
    try:
        checked_url(url)
        parts = urlsplit(url)
        connection = _connection(url)
        try:
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            body = urlencode(form) if form is not None else None
            sent = {"accept": "application/json", **(headers or {})}
            if form is not None:
                sent["content-type"] = "application/x-www-form-urlencoded"
            connection.request("GET" if form is None else "POST", target, body, sent)
            response = connection.getresponse()
            raw = _read(response, deadline)
        finally:
            connection.close()
        if response.status != 200:
            raise OutgoingFailed(f"the answer has status {response.status}")
        value = json.loads(raw)
    except ValueError as fault:
        reason = (
            "the answer is not JSON" if isinstance(fault, json.JSONDecodeError | UnicodeDecodeError) else str(fault)
        )
        raise OutgoingFailed(reason) from None
    except (OSError, http.client.HTTPException) as fault:
        raise OutgoingFailed(f"the call failed: {type(fault).__name__}") from None
    if not isinstance(value, dict):
        raise OutgoingFailed("the answer is not a JSON object")
    return value
