"""E-mails go out when there is a mail server, and nothing depends on them."""

import pytest
from django.core import mail

from control_plane.core.mail import post

pytestmark = pytest.mark.django_db


def test_nothing_is_sent_without_a_mail_server(settings, django_capture_on_commit_callbacks):
    settings.EMAIL_HOST = ""
    with django_capture_on_commit_callbacks(execute=True):
        post("a@example.com", "s", "t")
    assert mail.outbox == []


def test_an_e_mail_goes_out_after_the_commit_with_one_line_of_subject(settings, django_capture_on_commit_callbacks):
    settings.EMAIL_HOST = "mail.example.com"
    with django_capture_on_commit_callbacks(execute=True):
        post("a@example.com", "Join Acme\r\nBcc: evil@example.com", "text")
        assert mail.outbox == []
    (sent,) = mail.outbox
    assert (sent.to, sent.subject, sent.body) == (["a@example.com"], "Join Acme Bcc: evil@example.com", "text")


def test_a_mail_server_that_is_away_stops_nothing(settings, django_capture_on_commit_callbacks):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_TIMEOUT = "127.0.0.1", 1, 1
    with django_capture_on_commit_callbacks(execute=True):
        post("a@example.com", "s", "t")
