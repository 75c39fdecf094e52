"""Nobody makes the control plane call what lies inside."""

import json
import socket
import threading

import pytest

from control_plane.core.outgoing import OutgoingFailed, checked_url, fetch_json


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
