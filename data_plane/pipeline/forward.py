"""What of a call that the gateway does not understand reaches the provider, and what of the answer the caller?

Everything as it came, except what belongs to one connection, to this gateway or to the network before it.
"""

import re
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final
from urllib.parse import unquote, unquote_to_bytes

import msgspec

from data_plane.core.endpoint import JSON_PATHS
from data_plane.core.exchange import Exchange
from data_plane.core.types import Answer, CallFacts, UpstreamBody
from data_plane.pipeline.answer_headers import answer_headers
from data_plane.providers.base import Operation, Provider, StreamDecoder
from data_plane.providers.sse import SseSplitter
from shared import wire
from shared.errors import BadRequest, GatewayError, Unauthenticated
from shared.redact import Secret

#: How much of a JSON answer is kept for the record; and where it says what the call cost.
KEPT_JSON_BYTES: Final = 64 * 1024
KEPT_COUNTED_BYTES: Final = 8 * 1024 * 1024
#: How often a path may be encoded over itself before nobody can say what a server makes of it.
MAX_ENCODINGS: Final = 3
#: In a decoded path: control characters and backslashes, another host, a whole URL, a step up or nowhere.  Java servers
#: cut parameters off a segment before they resolve it: `..;x` is `..` to them.
_LEADS_AWAY: Final = re.compile(
    rb"[\x00-\x1f\x7f\\]|^//|^/[a-z][a-z0-9+.-]*:/|(?:^|/) *\.\.? *(?:;[^/]*)?(?:/|$)", re.IGNORECASE
)
_ROOTS: Final = ("/v1/proxy", "/v1")
#: Packings that the server undoes while it reads a body, so that neither they nor the packed length hold any more.
_UNPACKED_HERE: Final = frozenset({"gzip", "deflate", "br", "zstd"})
_OF_ONE_CONNECTION: Final = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
     "transfer-encoding", "upgrade", "http2-settings", "host", "expect", "accept-encoding"}
)  # fmt: skip
#: What may carry a key: to this gateway, where it has no business elsewhere, or in the place of the credential.
_KEYS: Final = frozenset(
    {"authorization", "x-api-key", "api-key", "x-goog-api-key", "ocp-apim-subscription-key", "cookie", "cookie2"}
)
#: What the network before the gateway says of the caller, and what opens metadata services.
_OF_THE_NETWORK: Final = frozenset(
    {"forwarded", "via", "x-real-ip", "metadata-flavor", "metadata", "x-google-metadata-request",
     "x-aws-ec2-metadata-token", "x-aws-ec2-metadata-token-ttl-seconds"}
)  # fmt: skip
#: What makes another method of the one that was checked.
_OF_THE_METHOD: Final = frozenset({"x-http-method-override", "x-http-method", "x-method-override"})
_DROPPED: Final = _OF_ONE_CONNECTION | _KEYS | _OF_THE_NETWORK | _OF_THE_METHOD
_DROPPED_PREFIXES: Final = (wire.PREFIX, "x-forwarded-", "proxy-")


def _dropped(caller: Mapping[str, str], *, streamed: bool) -> set[str]:
    """Return further names that this very call must not have passed on."""
    names = {name.strip().lower() for name in caller.get("connection", "").split(",")}
    unpacked = caller.get("content-encoding", "").strip().lower() in _UNPACKED_HERE
    if unpacked:
        names.add("content-encoding")
    if unpacked or not streamed or "transfer-encoding" in caller:
        names.add("content-length")
    return names


def forward_headers(
    caller: Mapping[str, str],
    provider: Provider,
    facts: CallFacts,
    credential_key: Secret | None,
    *,
    streamed: bool = False,
) -> dict[str, str]:
    """Return the headers of a raw call; `caller` has lower-case names.

    The caller's own, the provider's where the caller has none, and the credential.  The length of the body is among
    them only when it is `streamed` and known: any other body is measured when it is sent.
    """
    dropped = _dropped(caller, streamed=streamed)
    headers = {
        name: on_the_wire(value)
        for name, value in caller.items()
        if name not in _DROPPED and name not in dropped and not name.startswith(_DROPPED_PREFIXES)
    }
    for name in provider.caller_headers:
        value = caller.get(wire.PREFIX + name)
        if value:
            headers[name] = on_the_wire(value)
    for name, value in provider.default_headers.items():
        headers.setdefault(name.lower(), value)
    if provider.headers is not None:
        headers.update(provider.headers(facts))
    if credential_key is not None:
        provider.authorise(credential_key, headers)
    return headers


def on_the_wire(value: str) -> str:
    """Return a header's value so that its UTF-8 bytes are sent: a head is written as Latin-1."""
    return value if value.isascii() else value.encode("utf-8", "replace").decode("latin-1")


def _refused() -> BadRequest:
    return BadRequest("This path cannot be forwarded to a provider.", path="url")


def _is_plain(text: str) -> bool:
    """Return whether `text` can stand in a request line and hides nothing behind a fragment."""
    return "#" not in text and all("!" <= char <= "~" for char in text)


def _decoded(path: str) -> bytes:
    """Return the path without any percent-encoding; raises BadRequest when there is no end to it."""
    content = path.encode("ascii")
    for _ in range(MAX_ENCODINGS):
        simpler = unquote_to_bytes(content)
        if simpler == content:
            return content
        content = simpler
    raise _refused()


def path_below(target: str) -> str:
    """Return what follows `/v1/proxy` or `/v1` in a path, spelt as a server may come to read it.

    That is without percent-encoding, parameters of segments and doubled slashes, in lower case.
    """
    path = target.partition("?")[0]
    root = next((root for root in _ROOTS if path.startswith(root + "/")), "")
    plain = unquote(unquote(path.removeprefix(root))).lower()
    segments = (segment.partition(";")[0].strip() for segment in plain.replace("\\", "/").split("/"))
    return "/" + "/".join(segment for segment in segments if segment)


def json_operation(target: str) -> str | None:
    """Return the operation that a path leads to when its bodies are JSON, however the path is spelt; else None."""
    rest = path_below(target)
    return next((operation for path, operation in JSON_PATHS.items() if rest.endswith(path)), None)


def _check_rest(rest: str) -> None:
    """Raise BadRequest for a path that some server could read as leading anywhere but below the base."""
    if not _is_plain(rest) or "?" in rest or _LEADS_AWAY.search(_decoded(rest)):
        raise _refused()


def forward_url(base_url: str, path: str, query: str) -> str:
    """Return where a raw call goes: below `base_url`, at what follows `/v1/proxy` or `/v1` in `path`.

    `path` and `query` (without `?`) are as they came in the request line, and so they stay, byte for byte.  Raises
    BadRequest for what could lead out of the base.
    """
    root = next((root for root in _ROOTS if path == root or path.startswith(root + "/")), None)
    if root is None or not _is_plain(query):
        raise _refused()
    rest = path.removeprefix(root)
    _check_rest(rest)
    return base_url.rstrip("/") + rest + (f"?{query}" if query else "")


def _json_or_none(content: bytes) -> Any:
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _stated_length(response: UpstreamBody) -> int | None:
    """Return the length that the provider states, when the caller gets just those bytes."""
    text = response.headers.get("content-length", "")
    packed = response.headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}
    return int(text) if text.isascii() and text.isdigit() and not packed else None


class RawRelay:
    """One answer on its way from a provider to a caller, as it comes; what broke off never looks whole."""

    def __init__(
        self,
        body: UpstreamBody,
        exchange: Exchange,
        clock: Callable[[], float],
        *,
        operation: Operation | None = None,
        facts: CallFacts | None = None,
    ) -> None:
        """`operation` and `facts` are known when the answer is that of an operation: its tokens are read along."""
        self._body = body
        self._exchange = exchange
        self._clock = clock
        self._usage = operation.usage if operation else None
        self._kept: list[bytes] = []
        self._most_kept = KEPT_JSON_BYTES if operation is None else KEPT_COUNTED_BYTES
        self._refusal: GatewayError | None = None
        kind = body.headers.get("content-type", "").partition(";")[0].strip().lower()
        self._keeps = kind == "application/json"
        exchange.is_streamed = kind == "text/event-stream"
        self._splitter = SseSplitter()
        self._decoder: StreamDecoder | None = None
        if kind == "text/event-stream" and operation is not None and facts is not None:
            self._decoder = operation.decoder(facts)

    def _note_piece(self, piece: bytes) -> None:
        exchange = self._exchange
        if exchange.first_byte_s is None:
            exchange.first_byte_s = self._clock()
        exchange.answer_bytes += len(piece)
        if self._decoder is not None:
            self._read_along(self._decoder, self._splitter.feed(piece))
        if self._keeps and exchange.answer_bytes <= self._most_kept:
            self._kept.append(piece)
        else:
            self._keeps = False
            self._kept.clear()

    def _read_along(self, decoder: StreamDecoder, events: list[tuple[str, bytes]]) -> None:
        """Read the tokens of a stream that goes on unchanged; what cannot be read is the caller's to judge."""
        try:
            for name, data in events:
                for chunk in decoder.feed(name, data):
                    if self._exchange.answer_bytes <= KEPT_JSON_BYTES:
                        self._exchange.answer_chunks.append(chunk)
        except GatewayError:
            self._decoder = None
        if decoder.usage is not None:
            self._exchange.usage = decoder.usage
        self._exchange.model_served = decoder.model or self._exchange.model_served

    def _note_whole(self) -> None:
        content = b"".join(self._kept)
        decoded = _json_or_none(content) if content else None
        if decoded is None:
            return
        exchange = self._exchange
        exchange.answer_json = content
        if isinstance(decoded, dict):
            exchange.answer_body = decoded
            served = decoded.get("model")
            if isinstance(served, str):
                exchange.model_served = served
            if self._usage is not None:
                exchange.usage = self._usage(decoded)

    async def frames(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes; raises GatewayError when it breaks off, which is no end of an answer."""
        exchange = self._exchange
        try:
            async for piece in self._body.chunks():
                self._note_piece(piece)
                yield piece
            if self._refusal is not None:
                raise self._refusal
        except GatewayError as error:
            told = self._refusal or error
            exchange.error_class, exchange.error_type = type(told).__name__, told.code
            raise told from None
        self._note_whole()

    def is_denied(self, denied: frozenset[str]) -> bool:
        """Return whether the caller of this answer, or the credential behind it, is among the revoked."""
        return self._exchange.is_denied(denied)

    def refuse(self) -> None:
        """Break the answer off: its caller or its provider was revoked."""
        self._refusal = Unauthenticated("The API key was revoked while the answer was on its way.")
        self._body.close()

    def close(self) -> None:
        """Drop the provider's connection unless the answer came to its end."""
        self._body.close()

    def answer(self) -> Answer:
        """Return the answer whose frames these are."""
        body = self._body
        return Answer(
            body.status,
            headers=answer_headers(body.headers),
            content_type=body.headers.get("content-type", ""),
            frames=self.frames(),
            length=_stated_length(body),
            on_close=self.close,
        )
