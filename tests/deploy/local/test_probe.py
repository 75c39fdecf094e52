"""Ports, disk and HTTP as `make up` sees them."""

import shutil
import socket
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from deploy.local import probe
from deploy.local.children import CannotStart
from deploy.local.plan import Ports
from deploy.local.postgres import free_port


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(probe, "_PORT_PATIENCE_S", 0.0)


@pytest.fixture
def ports():
    return Ports("127.0.0.1", free_port(), free_port(), free_port(), free_port())


@pytest.fixture
def echo():
    class Echo(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("X-Seen-Key", self.headers.get("Authorization", ""))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self):
            self.send_response(200 if self.path == "/readyz" else 503)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Echo)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def test_free_ports_pass(ports):
    assert probe.require_free_ports(ports) is None


@pytest.mark.parametrize(
    ("listener", "variable"),
    [
        ("control", "GATEHOUSE_CONTROL_PORT"),
        ("edge", "GATEHOUSE_EDGE_PORT"),
        ("gateway", "GATEHOUSE_GATEWAY_PORT"),
        ("demo", "GATEHOUSE_DEMO_PORT"),
    ],
)
def test_a_busy_port_is_one_sentence_that_names_its_variable(ports, listener, variable):
    with socket.create_server(("127.0.0.1", getattr(ports, listener))), pytest.raises(CannotStart) as fault:
        probe.require_free_ports(ports)
    sentence = str(fault.value)
    assert str(getattr(ports, listener)) in sentence
    assert variable in sentence
    assert "\n" not in sentence


def test_one_port_for_two_listeners_is_refused():
    port = free_port()
    with pytest.raises(CannotStart, match="both to use port"):
        probe.require_free_ports(Ports("127.0.0.1", port, port, free_port(), free_port()))


def test_an_address_of_another_machine_is_refused():
    with pytest.raises(CannotStart, match=r"cannot listen on 192\.0\.2\.1"):
        probe.require_free_ports(Ports("192.0.2.1", free_port(), free_port(), free_port(), free_port()))


def test_a_nearly_full_disk_is_a_sentence_with_what_is_left(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 50 * 2**20))
    with pytest.raises(CannotStart, match=r"has 50 MB left; at least 200 MB"):
        probe.require_free_disk(tmp_path)
    assert probe.require_free_disk(tmp_path, least_bytes=2**20) is None


def test_a_call_carries_the_key_and_the_body(echo):
    reply = probe.call(f"http://127.0.0.1:{echo}/x", key="abc", body={"a": 1})
    assert (reply.status, reply.json(), reply.headers["x-seen-key"]) == (200, {"a": 1}, "Bearer abc")


def test_only_a_page_that_says_200_is_healthy(echo):
    assert probe.answers(f"http://127.0.0.1:{echo}/readyz")
    assert not probe.answers(f"http://127.0.0.1:{echo}/other")


def test_nobody_listening_is_status_zero_and_no_error():
    reply = probe.call(f"http://127.0.0.1:{free_port()}/")
    assert (reply.status, reply.json()) == (0, None)
