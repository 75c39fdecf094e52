"""How does one message leave?  Without any database, so that several can be under way at once."""

import json
import smtplib
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.core.mail import EmailMessage

from control_plane.alerts.messages import headline, mail_text, slack_json
from control_plane.alerts.models import EMAIL, SLACK
from control_plane.alerts.targets import Target, post
from control_plane.core.outgoing import OutgoingFailed
from shared.hosts import host_of

Json = dict[str, Any]
DELIVERY_HEADER: Final = "x-gatehouse-delivery"
NO_MAIL_SERVER: Final = "no mail server is set (GATEHOUSE_MAIL_URL)"


@dataclass(frozen=True, slots=True)
class Parcel:
    """One message on its way; `target` None: by e-mail to `address`.

    `id` is the same at every attempt, so that a receiver can tell a repetition from another message.
    """

    id: UUID
    channel: str
    address: str
    target: Target | None
    message: Json


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an attempt: "" for sent, else why not; `is_final`: another attempt would fail as well."""

    fault: str = ""
    is_final: bool = False


def send(parcel: Parcel) -> Outcome:
    """Send a message and return what came of it; may take some 15 seconds."""
    if parcel.channel == EMAIL:
        return _mail(parcel)
    if parcel.target is None:
        return Outcome("the address cannot be decrypted with the configured keys", is_final=True)
    said = slack_json(parcel.message) if parcel.channel == SLACK else parcel.message
    headers = {"user-agent": "Gatehouse", DELIVERY_HEADER: str(parcel.id)}
    try:
        post(parcel.target, json.dumps(said).encode(), headers)
    except OutgoingFailed as fault:
        return Outcome(str(fault))
    return Outcome()


def _mail(parcel: Parcel) -> Outcome:
    if not settings.EMAIL_HOST:
        return Outcome(NO_MAIL_SERVER, is_final=True)
    headers = {
        "Message-ID": f"<{parcel.id}@{host_of(settings.PUBLIC_URL) or 'gatehouse'}>",
        "Auto-Submitted": "auto-generated",
    }
    said = EmailMessage(
        headline(parcel.message),
        mail_text(parcel.message),
        settings.DEFAULT_FROM_EMAIL,
        [parcel.address],
        headers=headers,
    )
    try:
        said.send()
    except (smtplib.SMTPException, OSError, ValueError) as fault:
        return Outcome(f"the mail server did not take it: {type(fault).__name__}")
    return Outcome()
