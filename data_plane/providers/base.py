"""What a provider is: where it lives, how it is authorised, and how each operation is translated.

A provider module binds `PROVIDER`; its id is the module's name with `_` for `-`.  Everything here is pure: bodies
in, bodies out.  Sending, retrying, timing and logging are done once, elsewhere, for all providers.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

import orjson

from data_plane.core.form import Binary
from data_plane.core.identity import IdentityAsk
from data_plane.core.types import CallFacts, Json, TokenAsk, UpstreamRequest, Usage
from data_plane.providers.sse import SseSplitter, data_frame
from shared.errors import GatewayError
from shared.redact import Secret

if TYPE_CHECKING:
    from data_plane.providers._bulk import Bulk
    from data_plane.providers._hosted import Hosted


def error_frame(error: GatewayError) -> bytes:
    """Return the event that tells a client of an OpenAI stream that it failed."""
    return data_frame(orjson.dumps({"error": error.body()["error"]}))


@dataclass(frozen=True, slots=True)
class ProviderFault:
    """A provider's error, normalised: `message` is the provider's own sentence, without our prefix."""

    message: str
    type: str | None = None
    param: str | None = None
    code: str | int | None = None


@runtime_checkable
class ClosingDecoder(Protocol):
    """A stream decoder that has more to say when the provider's answer is complete."""

    def close(self) -> list[bytes]:
        """Return the last pieces of an answer that came to its end."""


class StreamDecoder(Protocol):
    """Turns a provider's server-sent events into OpenAI chunks; one instance per stream.

    `finished` turns true when the provider said that the answer is complete; a stream that ends without it broke.
    `usage` and `model` are filled in when the provider states them.
    """

    @property
    def usage(self) -> Usage | None:
        """Return the tokens, None until the provider states them."""

    @property
    def model(self) -> str | None:
        """Return the model that answers, None until the provider names it."""

    @property
    def finished(self) -> bool:
        """Return whether the provider said that the answer is complete."""

    def feed(self, event: str, data: bytes) -> list[bytes]:
        """Return the OpenAI chunks, encoded as JSON, that this event makes: none, one or several.

        `event` is the event's name ("" when it has none).  The end marker `[DONE]` is never returned: egress
        writes it.  Raises UpstreamBroken when the event is an error of the provider or cannot be understood.
        """


class Splitter(Protocol):
    """Cuts a streamed body into events; one instance per stream."""

    def feed(self, piece: bytes) -> list[tuple[str, bytes]]:
        """Return the events that `piece` completes, as (name, data).  Raises UpstreamBroken for what is none."""

    def close(self) -> list[tuple[str, bytes]]:
        """Return what is left at the end of the body."""


@dataclass(frozen=True, slots=True)
class Framing:
    """How a stream is cut on its way in, and written on its way out.

    `splitter` cuts a body of the content type `content_type` into events; `frame` makes an event for the caller of a
    piece of the answer, `error_frame` of an error; `end` stands behind the last one.
    """

    splitter: Callable[[], Splitter] = SseSplitter
    content_type: str = "text/event-stream"
    frame: Callable[[bytes], bytes] = data_frame
    error_frame: Callable[[GatewayError], bytes] = error_frame
    end: bytes = b"data: [DONE]\n\n"


OPENAI_FRAMING: Final = Framing()


@dataclass(frozen=True, slots=True)
class Operation:
    """One endpoint of one provider, at `path` below its base URL, or `beside` the end that the base URL then loses.

    One that another service of the account has is at what `service` makes of that URL.

    `encode` makes the provider's body of an OpenAI one and must not change its argument; what it returns is sent as
    `write` has it; without `write` as a form if a `FormFile` is left of the caller's form, else as JSON.  `decode`
    makes an OpenAI answer of the provider's 2xx answer (and may reuse it), `decode_binary` of one that is no JSON
    object, from its bytes and content type; `usage` reads the tokens of a decoded answer, `usage_of_headers` those that
    stand in its headers (names in lower case); `fault` reads the provider's error body (None when it was no JSON
    object).  `framing` is how its streams are cut and written.  `passes_through`: requests and answers are OpenAI's
    own, so that a call may be sent on unread, and `encode` hands on members that it does not know without looking into
    them: they may be `msgspec.Raw`.  `binary`: a successful answer is no JSON, and is relayed as it is; `text_too`: if
    it is none.  `local` answers without asking anybody.  `headers` go out with this operation only, unless the caller
    sends its own.  `is_socket`: a WebSocket is opened at `path` with what `encode` returns as the parameters of its
    address, and `decoder` reads along what the provider says.
    """

    path: str | Callable[[CallFacts], str]
    encode: Callable[[Json, CallFacts], Json]
    decode: Callable[[Json, CallFacts], Json]
    usage: Callable[[Json], Usage]
    decoder: Callable[[CallFacts], StreamDecoder]
    fault: Callable[[int, Json | None], ProviderFault]
    passes_through: bool = False
    binary: bool = False
    framing: Framing = OPENAI_FRAMING
    text_too: bool = False
    decode_binary: Callable[[bytes, str, CallFacts], Json] | None = None
    usage_of_headers: Callable[[Mapping[str, str]], Usage] | None = None
    local: Callable[[Json, CallFacts], Json] | None = None
    write: Callable[[Json], Binary] | None = None
    is_socket: bool = False
    method: str = "POST"
    beside: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    service: Callable[[str, CallFacts], str] | None = None

    def base_for(self, base_url: str, facts: CallFacts) -> str:
        """Return what the path of one call is below."""
        return base_url.removesuffix(self.beside) if self.service is None else self.service(base_url, facts)

    def url_for(self, base_url: str, facts: CallFacts) -> str:
        """Return the address of one call."""
        return self.base_for(base_url, facts) + self.path_for(facts)

    def path_for(self, facts: CallFacts) -> str:
        """Return the path of one call, which may name the model or the deployment."""
        return self.path if isinstance(self.path, str) else self.path(facts)


@dataclass(frozen=True, slots=True)
class CredentialField:
    """One field of a provider's credential form, for the catalogue and the pages."""

    name: str
    label: str
    secret: bool = False
    required: bool = True


@dataclass(frozen=True, slots=True)
class Provider:
    """A model provider.

    `authorise` writes the credential into the headers of one upstream request.  `caller_headers` are headers of the
    caller that reach the provider, each also accepted with the `x-portkey-` prefix.  `price_source` is the provider's
    name in the price list, when it is not `id`.  `headers` makes headers of the credential's further settings; they win
    over the caller's.  `base_url` may have places for settings (`shared/addresses.py`), and is "" for a provider that
    every user hosts; `address_setting` names a setting that holds a base URL, which then counts like a custom host.
    `token` says how the credential is changed for a short-lived one, by a form or by an identity, which then stands in
    its place; None for a credential that is used as it is.  `hosts` are the addresses that this takes.  `sign` writes
    headers that depend on the whole request, in place of `authorise`.  `is_custom`: an organisation added it, so its
    address is checked as a custom host is.  `bulk` translates files, batches and fine-tuning jobs; None forwards them.
    `only_at_home` names operations that hosts which merely speak its language may lack: there its chat stands for them.
    """

    id: str
    label: str
    base_url: str
    authorise: Callable[[Secret, dict[str, str]], None]
    operations: Mapping[str, Operation]
    caller_headers: tuple[str, ...] = ()
    default_headers: Mapping[str, str] = field(default_factory=dict)
    credential: tuple[CredentialField, ...] = (CredentialField("key", "API key", secret=True),)
    price_source: str | None = None
    headers: Callable[[CallFacts], dict[str, str]] | None = None
    token: Callable[[Secret | None, CallFacts], TokenAsk | IdentityAsk | None] | None = None
    hosts: tuple[str, ...] = ()
    address_setting: str | None = None
    sign: Callable[[UpstreamRequest, Secret | None, CallFacts], None] | None = None
    lists_models: bool = True
    chosen: Mapping[str, Callable[[str], Operation | None]] = field(default_factory=dict)
    forwarded: Callable[[str, str, CallFacts], str] | None = None
    is_custom: bool = False
    bulk: "Bulk | Hosted | None" = None
    only_at_home: frozenset[str] = frozenset()
