"""Nobody makes the control plane call what lies inside."""

import json
import socket
import threading
import time

import pytest

from control_plane.core.outgoing import OutgoingFailed, checked_url, fetch_json
from tests.data_plane.upstream import conftest

certificate = conftest.certificate


def whole(connection):
    """Return a request with its body, which may come in a packet of its own."""
    asked = connection.recv(65536)
    head, _, body = asked.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    while len(body) < length and (more := connection.recv(65536)):
        asked, body = asked + more, body + more
    return asked


class Server:
    """Answers each connection with the same bytes."""

    def __init__(self, answer):
        self.answer, self.asked = answer, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        while True:
            connection, _ = self.listener.accept()
            with connection:
                asked = whole(connection)
                if asked == b"stop":
                    return
                self.asked.append(asked)
                try:
                    connection.sendall(self.answer)
                except OSError:
                    continue

    def stop(self):
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.sendall(b"stop")
        self.thread.join()
        self.listener.close()


@pytest.fixture
def answering(settings):
    settings.TRUSTED_CUSTOM_HOSTS = frozenset({"127.0.0.1", "localhost"})
    made = []

    def start(body, status="200 OK", headers=""):
        head = f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n{headers}connection: close\r\n\r\n"
        made.append(Server(head.encode() + body))
        return made[-1]

    yield start
    for server in made:
        server.stop()


def test_a_json_object_is_read(answering):
    server = answering(b'{"a": 1}')
    assert fetch_json(f"http://127.0.0.1:{server.port}/x?y=1") == {"a": 1}
    assert server.asked[0].startswith(b"GET /x?y=1 HTTP/1.1\r\n")


def test_a_form_is_posted(answering):
    server = answering(b"{}")
    fetch_json(f"http://localhost:{server.port}/t", form={"a": "b c"}, headers={"authorization": "Basic x"})
    asked = server.asked[0]
    assert asked.startswith(b"POST /t ")
    assert asked.endswith(b"a=b+c")
    assert b"authorization: Basic x" in asked


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[]", "200 OK"),
        (b"{", "200 OK"),
        (b"\xff", "200 OK"),
        (b"", "200 OK"),
        (b"{}", "404 Not Found"),
        (b"{}", "500 Oh"),
    ],
)
def test_anything_else_is_refused(answering, body, status):
    server = answering(body, status)
    with pytest.raises(OutgoingFailed):
        fetch_json(f"http://127.0.0.1:{server.port}/")


def test_a_redirect_is_not_followed(answering):
    inside = answering(b'{"secret": 1}')
    server = answering(b"", "302 Found", f"location: http://127.0.0.1:{inside.port}/\r\n")
    with pytest.raises(OutgoingFailed, match="302"):
        fetch_json(f"http://127.0.0.1:{server.port}/")
    assert inside.asked == []


def test_a_huge_answer_is_cut(answering):
    server = answering(json.dumps({"a": "x" * 2_000_000}).encode())
    with pytest.raises(OutgoingFailed, match="too long"):
        fetch_json(f"http://127.0.0.1:{server.port}/")


def test_a_name_that_leads_inside_is_refused_when_it_is_called(answering, settings, monkeypatch):
    server = answering(b"{}")
    settings.TRUSTED_CUSTOM_HOSTS = frozenset()
    place = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kwargs: [place])
    with pytest.raises(OutgoingFailed, match="may not be called"):
        fetch_json(f"https://login.example.com:{server.port}/")
    assert server.asked == []


@pytest.mark.parametrize(
    "url",
    ["http://login.example.com/", "https://127.0.0.1/", "https://localhost/", "https://169.254.169.254/", "ftp://a.example/",
     "https://user@a.example/", "", "https://a.internal/"],
)  # fmt: skip
def test_an_address_that_may_not_be_called_is_refused_as_written(settings, url):
    settings.TRUSTED_CUSTOM_HOSTS = frozenset()
    with pytest.raises(ValueError):
        checked_url(url)
    with pytest.raises(OutgoingFailed):
        fetch_json(url)


def test_a_certificate_that_nobody_vouches_for_is_refused(answering):
    server = answering(b"{}")
    with pytest.raises(OutgoingFailed, match="SSL"):
        fetch_json(f"https://localhost:{server.port}/")


# one deadline for all of it


class Trickling:
    """Answers by sending `first`, and then a piece of `more` again and again, until it is left alone."""

    def __init__(self, first, more, tls=None):
        self.over = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"{'https' if tls else 'http'}://localhost:{self.listener.getsockname()[1]}/"
        self.thread = threading.Thread(target=self.serve, args=(first, more, tls))
        self.thread.start()

    def serve(self, first, more, tls):
        plain, _ = self.listener.accept()
        with tls.wrap_socket(plain, server_side=True) if tls else plain as connection:
            connection.recv(65536)
            connection.sendall(first)
            while more and not self.over.wait(0.02):
                try:
                    connection.sendall(more)
                except OSError:
                    return
            self.over.wait(30)

    def stop(self):
        self.over.set()
        self.thread.join()
        self.listener.close()


@pytest.fixture
def trickling(settings):
    settings.TRUSTED_CUSTOM_HOSTS = frozenset({"localhost"})
    made = []

    def start(*how):
        made.append(Trickling(*how))
        return made[-1].url

    yield start
    for server in made:
        server.stop()


OK_HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("first", "more"),
    [(OK_HEAD, b"x: y\r\n"), (OK_HEAD + b"\r\n", b" "), (OK_HEAD + b"content-length: 100000\r\n\r\n", b" "),
     (OK_HEAD + b"transfer-encoding: chunked\r\n\r\n", b"1\r\n \r\n"), (b"", b""), (b"HTTP/1.1 2", b"0"),
     (b"", b"HTTP/1.1 100 Continue\r\n\r\n")],
    ids=["headers", "body", "body of a known length", "chunks", "nothing", "status", "interim answers"],
)  # fmt: skip
def test_whatever_trickles_is_cut_at_the_deadline(trickling, first, more):
    with pytest.raises(OutgoingFailed, match=r"^no answer within 0\.5 seconds$"):
        fetch_json(trickling(first, more), deadline_s=0.5)


def test_what_trickles_through_tls_is_cut_at_the_deadline(trickling, certificate, monkeypatch):
    tls, file = certificate("localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with pytest.raises(OutgoingFailed, match=r"^no answer within 0\.5 seconds$"):
        fetch_json(trickling(OK_HEAD, b"x: y\r\n", tls), deadline_s=0.5)


def test_a_handshake_that_trickles_is_cut_at_the_deadline(trickling):
    # The head of a record of 16 KiB, which then comes byte by byte.
    url = trickling(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc", b"\0").replace("http:", "https:")
    with pytest.raises(OutgoingFailed, match=r"^no answer within 0\.5 seconds$"):
        fetch_json(url, deadline_s=0.5)


@pytest.fixture
def dead_port():
    """A port that takes no connection and refuses none, as an address without a host."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port, waiting = listener.getsockname()[1], []
        for _ in range(4):
            waiting.append(socket.socket())
            waiting[-1].setblocking(False)
            waiting[-1].connect_ex(("127.0.0.1", port))
        yield port
        for each in waiting:
            each.close()


def leading_to(monkeypatch, *addresses):
    places = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kwargs: places)


def test_many_addresses_without_a_host_have_one_deadline(settings, monkeypatch, dead_port):
    settings.TRUSTED_CUSTOM_HOSTS = frozenset({"localhost"})
    leading_to(monkeypatch, *["127.0.0.1"] * 500)
    monkeypatch.setattr("control_plane.core.outgoing.CONNECT_TIMEOUT_S", 0.2)
    began = time.monotonic()
    with pytest.raises(OutgoingFailed, match=r"^no answer within 0\.7 seconds$"):
        fetch_json(f"http://localhost:{dead_port}/", deadline_s=0.7)
    assert time.monotonic() - began < 30


def test_an_address_that_does_not_answer_leaves_the_others_to_try(answering, monkeypatch):
    server = answering(b'{"a": 1}')
    with monkeypatch.context() as patched:
        leading_to(patched, "::1", "127.0.0.1")
        assert fetch_json(f"http://localhost:{server.port}/") == {"a": 1}
    assert len(server.asked) == 1


def test_a_resolver_that_hangs_is_left_at_the_deadline(settings, monkeypatch):
    settings.TRUSTED_CUSTOM_HOSTS = frozenset({"localhost"})
    answers = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kwargs: answers.wait(30) and [])
    with pytest.raises(OutgoingFailed, match=r"^no answer within 0\.2 seconds$"):
        fetch_json("http://localhost:9/", deadline_s=0.2)
    answers.set()


def test_a_name_that_nobody_knows_is_a_failure(settings, monkeypatch):
    settings.TRUSTED_CUSTOM_HOSTS = frozenset({"localhost"})

    def unknown(*_args, **_kwargs):
        raise socket.gaierror(8, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(OutgoingFailed, match="the call failed: gaierror"):
        fetch_json("http://localhost:9/")
