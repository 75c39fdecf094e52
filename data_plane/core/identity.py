"""How does an account get what authorises it, when it has no stored key of its own?  The asking, as data.

A provider says what it wants (`IdentityAsk`), `upstream/identity` gets it from the machine or a cloud's token service,
and what comes back (`Granted`) stands in the place of the account's credential for a while.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from shared.redact import Secret


class OwnIdentity(StrEnum):
    """Who may use the gateway's own identity, which is its operator's."""

    OFF = "off"
    SAVED = "saved"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class AwsKey:
    """An access key; `token` belongs to temporary ones."""

    key_id: str
    secret: Secret
    token: Secret | None = None


@dataclass(frozen=True, slots=True)
class AwsIdentity:
    """An identity at AWS: `base` (None: the gateway's own), or the `role` that it takes on.

    `region` is where the token service is asked; what it gives holds everywhere.
    """

    region: str
    base: AwsKey | None = None
    role: str = ""
    external_id: str = ""


class AzureWay(StrEnum):
    """How the gateway shows Azure who it is.

    `managed`: the machine's identity.  `workload`: a token that its cluster puts into a file.  `federated`: an
    application that trusts the machine's identity.
    """

    MANAGED = "managed"
    WORKLOAD = "workload"
    FEDERATED = "entraFederated"


@dataclass(frozen=True, slots=True)
class AzureIdentity:
    """An identity at Azure, for `scope`; `client` is the machine's or workload's ("": the only one, or the default)."""

    way: AzureWay
    scope: str
    client: str = ""
    tenant: str = ""
    application: str = ""


@dataclass(frozen=True, slots=True)
class ExternalAccount:
    """A Google account that is proven by another cloud's token, found in a `file` or at a `url`.

    `member` is where the token stands in a JSON answer, "" for plain text.  `impersonate` is the address that changes
    the result for a token of a service account, "" when there is none.
    """

    audience: str
    token_type: str
    token_url: str
    file: str = ""
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    member: str = ""
    impersonate: str = ""
    lifetime_s: int = 3600
    client_id: str = ""
    client_secret: Secret | None = None
    project: str = ""


@dataclass(frozen=True, slots=True)
class GoogleIdentity:
    """An identity at Google: an external `account`, None for the gateway's own."""

    account: ExternalAccount | None = None


@dataclass(frozen=True, slots=True)
class IdentityAsk:
    """What an account asks for in place of a stored credential.

    `key` names the result among others without holding a secret.  `path` is the setting that asks.  `is_own`: the
    gateway's own identity takes part, so its operator decides who may ask.  `bound` are the settings that a saved
    account says itself: a request may not say them otherwise.  `hosts` matches whole names of hosts that the gateway's
    own identity may be shown to.
    """

    key: str
    wanted: AwsIdentity | AzureIdentity | GoogleIdentity
    path: str
    bound: tuple[str, ...]
    is_own: bool
    hosts: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class Granted:
    """What an account was given for a while: a token in the place of its key, and settings in the place of its own."""

    key: Secret | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
