"""Webhooks lead outside, are sealed, and cannot hold up whoever posts there."""

import socket
import threading
import time

import pytest

from control_plane.alerts.models import Destination
from control_plane.alerts.targets import Target, post, shown_url, signature, target_of
from control_plane.core.outgoing import OutgoingFailed
from control_plane.core.sealed import SecretUnreadable
from shared.redact import Secret
from tests.control_plane.alerts.alert_kit import SECRET, make_destination, receiving
from tests.control_plane.factories import make_tenant
from tests.data_plane.upstream import conftest

certificate = conftest.certificate


def to(url, secret=""):
    return Target(Secret(url), Secret(secret))


def test_the_signature_is_the_one_that_others_compute():
    made = signature(Secret("key"), b'{"a":1}', 1700000000)
    assert made == "t=1700000000,v1=a438e398bfafc57e4396bb7fc2304422f0f768e965d073ca313cb52e22e6ad03"


def test_people_see_the_host_of_a_url_alone():
    assert shown_url("https://hooks.slack.com/services/T/B/x?y=1") == "https://hooks.slack.com/****"
    assert shown_url("https://h.example:8443") == "https://h.example:8443/****"


@pytest.mark.django_db
def test_url_and_secret_are_sealed_to_their_row():
    tenant = make_tenant()
    first, second = (
        make_destination(tenant, url=f"https://h.example/{name}?t=4711", secret=SECRET) for name in ("one", "two")
    )
    target = target_of(Destination.objects.get(pk=first.pk))
    assert (target.url.reveal(), target.secret.reveal()) == ("https://h.example/one?t=4711", SECRET)
    stored = str(Destination.objects.values().get(pk=first.pk))
    assert not any(text in stored for text in (SECRET, "4711", "one?"))
    assert SECRET not in repr(target)
    Destination.objects.filter(pk=first.pk).update(ciphertext=second.ciphertext)
    with pytest.raises(SecretUnreadable):
        target_of(Destination.objects.get(pk=first.pk))


@pytest.mark.parametrize("status", [300, 301, 307, 400, 429, 500])
def test_whatever_is_not_2xx_is_a_failure_and_no_redirect_is_followed(settings, status):
    with receiving(settings) as inside, receiving(settings, status) as receiver:
        receiver.headers["location"] = inside.url
        with pytest.raises(OutgoingFailed, match=f"status {status}"):
            post(to(receiver.url), b"{}", {})
    assert len(receiver.asked) == 1
    assert inside.asked == []


@pytest.mark.parametrize("status", [200, 202, 204])
def test_every_2xx_is_success(settings, status):
    with receiving(settings, status) as receiver:
        post(to(receiver.url), b"{}", {})
    assert len(receiver.asked) == 1


def test_a_private_address_is_refused_and_not_called(settings):
    with receiving(settings) as receiver:
        settings.TRUSTED_CUSTOM_HOSTS = frozenset()
        with pytest.raises(OutgoingFailed):
            post(to(receiver.url.replace("http:", "https:")), b"{}", {})
    assert receiver.asked == []


def test_a_name_that_leads_inside_later_is_refused_when_it_is_called(settings, monkeypatch):
    with receiving(settings) as receiver:
        settings.TRUSTED_CUSTOM_HOSTS = frozenset()
        port = receiver.server.server_port
        place = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kwargs: [place])
        with pytest.raises(OutgoingFailed, match="may not be called"):
            post(to(f"https://hooks.example.com:{port}/"), b"{}", {})
    assert receiver.asked == []


def test_nobody_there_is_a_failure_that_tells_nothing_of_the_network(settings):
    settings.TRUSTED_CUSTOM_HOSTS = frozenset({"127.0.0.1"})
    with pytest.raises(OutgoingFailed) as failed:
        post(to("http://127.0.0.1:9/x?t=4711"), b"{}", {})
    assert str(failed.value) == "no connection could be made"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_answer_that_trickles_is_cut_at_the_deadline(settings, certificate, monkeypatch, scheme):
    settings.TRUSTED_CUSTOM_HOSTS = frozenset({"localhost"})
    tls, file = certificate("localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    listener, over, asked = socket.create_server(("127.0.0.1", 0)), threading.Event(), []

    def trickle():
        plain, _ = listener.accept()
        with plain if scheme == "http" else tls.wrap_socket(plain, server_side=True) as connection:
            asked.append(connection.recv(65536))
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
            while not over.wait(0.05):
                try:
                    connection.sendall(b"x: y\r\n")
                except OSError:
                    return

    thread = threading.Thread(target=trickle)
    thread.start()
    began = time.monotonic()
    with pytest.raises(OutgoingFailed, match=r"no answer within 1 seconds"):
        post(to(f"{scheme}://localhost:{listener.getsockname()[1]}/hook"), b"{}", {}, deadline_s=1)
    over.set()
    thread.join()
    listener.close()
    assert time.monotonic() - began < 5
    assert asked[0].startswith(b"POST /hook HTTP/1.1\r\n")


def test_a_receiver_that_hangs_up_without_an_answer_is_a_failure(settings):
    settings.TRUSTED_CUSTOM_HOSTS = frozenset({"127.0.0.1"})
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up():
            connection, _ = listener.accept()
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(OutgoingFailed, match="the call failed"):
            post(to(f"http://127.0.0.1:{listener.getsockname()[1]}/"), b"{}", {})
        thread.join()
