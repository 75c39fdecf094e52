"""The nouns that stages of a request hand to each other.

Each is produced once and read by the stages after it; none is a bag that stages write into (see `exchange.py`
for the one object that is).
"""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from data_plane.core.duplex import Conversation
from shared.pricing import Tokens
from shared.redact import Secret

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Usage(Tokens):
    """What one call used, as `Tokens` tells; `tier` is the service tier that served it, "" when nobody named one."""

    tier: str = ""


NO_USAGE = Usage(source="none")


@dataclass(frozen=True, slots=True)
class Credential:
    """What authorises one upstream call.

    `hosts` are the only hosts that `key` may be sent to, as sealed with it; empty for a key that the caller sent
    along with the request.  `settings` are the account's further secrets by name (`aws_secret_access_key`, …).
    """

    key: Secret | None
    hosts: tuple[str, ...] = ()
    settings: Mapping[str, Secret] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What a provider's translation may know of the call besides its body.

    `headers` are the caller's, names in lower case; `strict` is OpenAI compliance (no extra fields in answers).
    `include_usage` is whether the caller of a stream asked for a last chunk with the tokens.  `asked` is the body that
    is translated, for answers that depend on it.
    """

    model: str
    stream: bool
    strict: bool
    headers: Mapping[str, str]
    settings: Mapping[str, Any]
    include_usage: bool = False
    asked: Json = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class TokenAsk:
    """How a credential is changed for a short-lived token: a form posted to `url`, answered as OAuth 2 says.

    `key` names the token among others, without holding a secret; the same credential has the same name.
    """

    key: str
    url: str
    form: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class FormField(Protocol):
    """One field of a form that is read while it arrives; `filename` is None for what is no file."""

    name: str
    filename: str | None

    def pieces(self) -> AsyncIterator[bytes]:
        """Go through the content, once, before the next field; raises GatewayError as `Upload` does."""


class Upload(Protocol):
    """A body that is read while it arrives, once; `begun` is whether some of it may be gone."""

    begun: bool

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Go through the pieces; raises GatewayError for a body that breaks off, is too large, or is gone."""

    def fields(self) -> AsyncIterator[FormField]:
        """Go through the fields of a form in place of the pieces; raises BadRequest, too, for what is none."""


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """One HTTP request to a provider, its body whole or in parts; `headers` hold the credential: no useful `repr`.

    An `upload` is a body that is sent while it arrives, in place of `body`: of the `content-length` in `headers`, else
    of unknown length.  It can be read once, so such a request is sent once.
    """

    url: str
    headers: dict[str, str] = field(repr=False)
    body: bytes | tuple[bytes | memoryview, ...] = field(repr=False)
    stream: bool
    timeout_ms: int | None
    method: str = "POST"
    upload: Upload | None = field(default=None, repr=False)


class UpstreamBody(Protocol):
    """The rest of an answer whose head has arrived; closed on every path."""

    status: int
    headers: Mapping[str, str]

    async def read(self, limit: int) -> bytes:
        """Return the whole body; raises UpstreamInvalid when it is longer than `limit` bytes."""

    def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives; raises UpstreamBroken when the provider breaks off."""

    def close(self) -> None:
        """Drop the connection, unless the body has been read to its end."""


@dataclass(slots=True)
class Answer:
    """What the caller gets: a whole body, or a stream of ready-made frames.

    Frames that raise a GatewayError have broken off, and the caller's connection with them.  `length` is how many
    bytes they add up to (for an answer to HEAD: would have added up to), None when nobody knows.
    `on_close` is called once when the answer has been written or given up; synchronous, raises nothing.  A
    `conversation` is held in place of a body.
    """

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    frames: AsyncIterator[bytes] | None = None
    length: int | None = None
    on_close: Callable[[], None] | None = None
    conversation: Conversation | None = None
