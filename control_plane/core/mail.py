"""Does an e-mail go out too?  When a mail server is set; nothing depends on it, because links are shown as well."""

import smtplib

import structlog
from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction

log = structlog.get_logger(module=__name__)


def post(to: str, subject: str, text: str) -> None:
    """Send an e-mail once the running transaction has committed; without a mail server, do nothing.

    A mail server that fails is logged, without the text, which may hold a link.
    """
    if settings.EMAIL_HOST:
        transaction.on_commit(lambda: _send(to, subject, text))


def _send(to: str, subject: str, text: str) -> None:
    try:
        send_mail(" ".join(subject.split()), text, settings.DEFAULT_FROM_EMAIL, [to])
    except (smtplib.SMTPException, OSError) as fault:
        log.warning("mail_failed", subject=subject, reason=type(fault).__name__)
