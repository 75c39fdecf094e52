"""Where does a webhook lead, and how does its receiver know that a message is ours?

The whole URL and the secret are sealed in the row of the destination: whoever knows the URL of a webhook may often post
there.  What is sent to one with a secret is signed as `t=<Unix seconds>,v1=<hex HMAC-SHA256 of "t.body">`.
"""

import hashlib
import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import msgspec

from control_plane.alerts.models import Destination
from control_plane.core.audit import MASK
from control_plane.core.outgoing import DEADLINE_S, OutgoingFailed, connected, path_of
from shared.redact import Secret

SIGNATURE_HEADER: Final = "x-gatehouse-signature"


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that is posted to, and the secret that signs it; "" for none."""

    url: Secret
    secret: Secret


class _Sealed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    url: str
    secret: str = ""


def shown_url(url: str) -> str:
    """Return what people may see of a URL: its host, because path and query of a webhook may be a credential."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/{MASK}"


def keep(row: Destination, target: Target) -> None:
    """Put a target into its row, sealed, and what people may see of it; the caller saves the row."""
    url = target.url.reveal()
    row.address, row.is_signed = shown_url(url), bool(target.secret)
    row.seal(Secret(msgspec.json.encode(_Sealed(url, target.secret.reveal())).decode()))


def target_of(row: Destination) -> Target:
    """Return the target of a webhook's row.  Raises SecretUnreadable when no configured key opens it."""
    kept = msgspec.json.decode(row.opened().reveal(), type=_Sealed)
    return Target(Secret(kept.url), Secret(kept.secret))


def signature(secret: Secret, body: bytes, at: int) -> str:
    """Return what proves that `body` was sent by whoever knows `secret`, at a Unix second."""
    digest = hmac.new(secret.reveal().encode(), b"%d.%b" % (at, body), hashlib.sha256)
    return f"t={at},v1={digest.hexdigest()}"


def post(target: Target, body: bytes, headers: Mapping[str, str], *, deadline_s: float = DEADLINE_S) -> None:
    """Post JSON to a target, within `deadline_s` seconds for all of it; redirects are not followed.

    Raises OutgoingFailed, with a sentence that shows nothing of the network inside, when the address may not be called,
    cannot be reached, or answers anything but 2xx.
    """
    url = target.url.reveal()
    sent = {"content-type": "application/json", **headers}
    if target.secret:
        sent[SIGNATURE_HEADER] = signature(target.secret, body, int(time.time()))
    with connected(url, deadline_s) as connection:
        connection.request("POST", path_of(url), body, sent)
        status = connection.getresponse().status
    if not 200 <= status < 300:
        raise OutgoingFailed(f"the answer has status {status}")
