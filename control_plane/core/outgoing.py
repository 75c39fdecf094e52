"""How does the control plane call an address that a user named, such as an identity provider's?

By the rules of `shared/hosts.py`: the address as written is checked, and again every address that its name resolves to,
in the moment of connecting, so that a name that moves inside is refused too.  Redirects are not followed, answers are
of bounded size, and one deadline holds for all of it: finding the address, connecting, sending, and reading.
"""

import contextlib
import http.client
import json
import queue
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from django.conf import settings

from shared.hosts import check_outgoing_url, host_of, may_connect, parse_address

#: For one of the addresses of a name; the others have what is left.
CONNECT_TIMEOUT_S: Final = 3.0
DEADLINE_S: Final = 10.0
MOST_BYTES: Final = 1024 * 1024
_Place = tuple[Any, ...]


class OutgoingFailed(RuntimeError):
    """The call could not be made or its answer cannot be used; the sentence shows nothing of the network inside."""


def checked_url(url: str) -> str:
    """Return `url` when it may be called: https, or http on a trusted host.  Raises ValueError with what is wrong."""
    is_trusted = host_of(url) in settings.TRUSTED_CUSTOM_HOSTS
    return check_outgoing_url(url, settings.TRUSTED_CUSTOM_HOSTS, https_only=not is_trusted)


def _left_s(deadline: float) -> float:
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    return left_s


def _places(host: str, port: int, deadline: float) -> list[_Place]:
    """Return where a name leads; the resolver has no deadline of its own, so it is left behind when it hangs."""
    found: queue.SimpleQueue[list[_Place] | OSError | UnicodeError] = queue.SimpleQueue()

    def resolve() -> None:
        try:
            found.put([place for *_, place in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)])
        except (OSError, UnicodeError) as fault:
            found.put(fault)

    threading.Thread(target=resolve, daemon=True).start()
    try:
        places = found.get(timeout=_left_s(deadline))
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(places, Exception):
        raise places
    return places


def _dial(address: IPv4Address | IPv6Address, port: int, timeout_s: float) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if address.version == 6 else socket.AF_INET)
    try:
        sock.settimeout(timeout_s)
        sock.connect((str(address), port))
    except BaseException:
        sock.close()
        raise
    return sock


def _socket(host: str, port: int, deadline: float) -> socket.socket:
    for place in _places(host, port, deadline):
        address = parse_address(str(place[0]).partition("%")[0])
        if address is None or not may_connect(host, address, settings.TRUSTED_CUSTOM_HOSTS):
            raise OutgoingFailed("the name leads to an address that may not be called")
        try:
            return _dial(address, port, min(CONNECT_TIMEOUT_S, _left_s(deadline)))
        except OSError:
            _left_s(deadline)
    raise OutgoingFailed("no connection could be made")


@contextlib.contextmanager
def _cut_at(sock: socket.socket, deadline: float) -> Iterator[None]:
    """Cut a connection at a moment of the monotonic clock: one that trickles would never run into a timeout."""

    def cut() -> None:
        with contextlib.suppress(OSError):
            # Of the class itself: TLS has its own, which is not to be called while another thread reads.
            socket.socket.shutdown(sock, socket.SHUT_RDWR)

    sock.settimeout(_left_s(deadline))
    timer = threading.Timer(_left_s(deadline), cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextlib.contextmanager
def _connected(url: str, deadline: float) -> Iterator[http.client.HTTPConnection]:
    parts = urlsplit(url)
    host, is_https = parts.hostname or "", parts.scheme.lower() == "https"
    port = parts.port or (443 if is_https else 80)
    sock = _socket(host, port, deadline)
    connection = http.client.HTTPSConnection(host, port) if is_https else http.client.HTTPConnection(host, port)
    with contextlib.closing(connection):
        if not is_https:
            connection.sock = sock
            with _cut_at(sock, deadline):
                yield connection
            return
        with contextlib.closing(sock):
            # Shaking hands is part of what is cut, so it begins only afterwards.
            tls = ssl.create_default_context().wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
        connection.sock = tls
        with _cut_at(tls, deadline):
            tls.do_handshake()
            yield connection


@contextlib.contextmanager
def connected(url: str, deadline_s: float = DEADLINE_S) -> Iterator[http.client.HTTPConnection]:
    """Connect to `url`; the connection is cut `deadline_s` seconds after the beginning of the whole call.

    Raises OutgoingFailed when the address may not be called or cannot be reached, and in the place of whatever a call
    by this connection fails with.
    """
    deadline = time.monotonic() + deadline_s
    try:
        checked_url(url)
        with _connected(url, deadline) as connection:
            yield connection
        # What was cut looks like an answer that ended.
        _left_s(deadline)
    except ValueError as fault:
        raise OutgoingFailed(str(fault)) from None
    except (OSError, http.client.HTTPException) as fault:
        if time.monotonic() >= deadline:
            raise OutgoingFailed(f"no answer within {deadline_s:g} seconds") from None
        raise OutgoingFailed(f"the call failed: {type(fault).__name__}") from None


def path_of(url: str) -> str:
    """Return what of a URL is asked of its host: path and query."""
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _read(response: http.client.HTTPResponse) -> bytes:
    body = bytearray()
    while chunk := response.read1(64 * 1024):
        body += chunk
        if len(body) > MOST_BYTES:
            raise OutgoingFailed("the answer is too long")
    return bytes(body)


def fetch_json(
    url: str,
    *,
    form: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    deadline_s: float = DEADLINE_S,
) -> dict[str, Any]:
    """Return the JSON object at `url`: GET, or POST of `form`, within `deadline_s` seconds.

    Raises OutgoingFailed when the address may not be called, cannot be reached, or answers anything else than 200 with
    an object.
    """
    sent = {"accept": "application/json", **(headers or {})}
    if form is not None:
        sent["content-type"] = "application/x-www-form-urlencoded"
    with connected(url, deadline_s) as connection:
        body = urlencode(form) if form is not None else None
        connection.request("GET" if form is None else "POST", path_of(url), body, sent)
        response = connection.getresponse()
        raw = _read(response)
    if response.status != 200:
        raise OutgoingFailed(f"the answer has status {response.status}")
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        raise OutgoingFailed("the answer is not JSON") from None
    if not isinstance(value, dict):
        raise OutgoingFailed("the answer is not a JSON object")
    return value
