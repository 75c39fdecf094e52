"""How are requests to AWS signed, and how are its binary event streams cut into events?

Signatures are version 4: keyed hashes of a canonical form of the request, with a key that is derived from the secret
for one day, region and service.  Events are binary messages with two checksums, both of which are checked: a damaged
stream must not be taken for an answer.
Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html,
https://smithy.io/2.0/aws/amazon-eventstream.html
"""

import hashlib
import hmac
import struct
import time
from functools import lru_cache
from typing import Final
from urllib.parse import quote, unquote, urlsplit
from zlib import crc32

import orjson

from data_plane.core.identity import AwsKey
from data_plane.core.types import UpstreamRequest
from shared.errors import UpstreamBroken

EVENT_STREAM: Final = "application/vnd.amazon.eventstream"
#: As much as one message may hold, and its headers.
MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024
MAX_HEADER_BYTES: Final = 128 * 1024
MAX_REMEMBERED_BYTES: Final = 256
MAX_REMEMBERED_CHARS: Final = 512
MAX_REMEMBERED_KEYS: Final = 256

#: The service whose requests are signed in another way.
S3: Final = "s3"
_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_OF_A_SIGNATURE: Final = frozenset({"authorization", "x-amz-security-token", "x-amz-date", "x-amz-content-sha256"})
_UNRESERVED: Final = "-._~"
_PRELUDE: Final = struct.Struct(">III")
_U32: Final = struct.Struct(">I")
_U16: Final = struct.Struct(">H")
_ENDS_BYTES: Final = 16
_STRING: Final = 7
_BYTES: Final = 6
#: Length of a header's value by its type; strings and byte arrays say theirs.
_FIXED: Final = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}


#: Date, region and service: what a derived key is good for.
_Scope = tuple[str, str, str]
_day_keys: dict[tuple[bytes, _Scope], bytes] = {}


def _canonical_path(path: str) -> str:
    """Return the path as it is signed: encoded once more, without empty segments and steps."""
    if "//" in path or "/." in path:
        kept: list[str] = []
        for segment in path.split("/"):
            if segment == "..":
                kept = kept[:-1]
            elif segment not in {"", "."}:
                kept.append(segment)
        path = "/" + "/".join(kept) + ("/" if kept and path.endswith("/") else "")
    return quote(path or "/", safe="/" + _UNRESERVED)


def _canonical_query(query: str) -> str:
    pairs = (part.partition("=") for part in query.split("&") if part)
    encoded = [
        (quote(unquote(name), safe=_UNRESERVED), quote(unquote(value), safe=_UNRESERVED)) for name, _, value in pairs
    ]
    return "&".join(f"{name}={value}" for name, value in sorted(encoded))


def _canonical_place(url: str) -> tuple[str, str, str]:
    """Return (host, path, query) of a URL, the latter two as they are signed."""
    parts = urlsplit(url)
    return parts.netloc, _canonical_path(parts.path), _canonical_query(parts.query)


# A model's path comes again and again; long URLs are callers' and would fill the memory.
_remembered_place = lru_cache(maxsize=1024)(_canonical_place)


def _place(url: str) -> tuple[str, str, str]:
    return _remembered_place(url) if len(url) <= MAX_REMEMBERED_CHARS else _canonical_place(url)


def _object_place(url: str) -> tuple[str, str, str]:
    """Return (host, path, query) as S3 has them signed: the path as it is, because an object may have any name."""
    parts = urlsplit(url)
    return parts.netloc, parts.path or "/", _canonical_query(parts.query)


def _body_hash(body: bytes | tuple[bytes | memoryview, ...]) -> str:
    if isinstance(body, bytes):
        return hashlib.sha256(body).hexdigest()
    digest = hashlib.sha256()
    for part in body:
        digest.update(part)
    return digest.hexdigest()


def _signed_headers(headers: dict[str, str], host: str) -> dict[str, str]:
    """Return the headers that are signed, sorted; the others may change on the way."""
    signed = {"host": host}
    for name, value in headers.items():
        lower = name.lower()
        if lower == "content-type" or lower.startswith("x-amz-"):
            signed[lower] = " ".join(value.split())
    return dict(sorted(signed.items()))


def _encoded(text: str) -> bytes:
    # Headers may hold what is no character: a signature that AWS refuses is answer enough.
    return text.encode(errors="replace")


def _day_key(secret: str, scope: _Scope) -> bytes:
    """Return the key of one day, which is made once: by the secret's hash, so that no secret outlives its use here."""
    name = (hashlib.sha256(_encoded(secret)).digest(), scope)
    key = _day_keys.get(name)
    if key is None:
        key = b"AWS4" + _encoded(secret)
        for part in (*scope, "aws4_request"):
            key = hmac.digest(key, _encoded(part), "sha256")
        if len(_day_keys) >= MAX_REMEMBERED_KEYS:
            _day_keys.clear()
        _day_keys[name] = key
    return key


def sign_request(request: UpstreamRequest, key: AwsKey, *, region: str, service: str, now_s: float) -> None:
    """Write the signature of a whole `request` into its headers; `now_s` is in seconds since 1970.

    What a caller may have sent of an earlier signature is taken out.  An upload has no bytes to sign yet: whoever calls
    must not come with one.  S3 signs its paths in a way of its own, and wants the body's hash in a header.
    """
    headers = request.headers
    for name in [name for name in headers if name.lower() in _OF_A_SIGNATURE]:
        del headers[name]
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_s))
    headers["x-amz-date"] = stamp
    if key.token:
        headers["x-amz-security-token"] = key.token.reveal()
    content = _body_hash(request.body)
    if service == S3:
        headers["x-amz-content-sha256"] = content
    host, path, query = _object_place(request.url) if service == S3 else _place(request.url)
    signed = _signed_headers(headers, host)
    names = ";".join(signed)
    lines = "".join(f"{name}:{value}\n" for name, value in signed.items())
    canonical = f"{request.method}\n{path}\n{query}\n{lines}\n{names}\n{content}"
    scope = (stamp[:8], region, service)
    text = f"{_ALGORITHM}\n{stamp}\n{'/'.join(scope)}/aws4_request\n{hashlib.sha256(_encoded(canonical)).hexdigest()}"
    signature = hmac.digest(_day_key(key.secret.reveal(), scope), _encoded(text), "sha256").hex()
    headers["authorization"] = (
        f"{_ALGORITHM} Credential={key.key_id}/{'/'.join(scope)}/aws4_request, "
        f"SignedHeaders={names}, Signature={signature}"
    )


def _read_value(block: bytes, at: int) -> tuple[str, int]:
    """Return (text, offset behind it) of the header value at `at`; "" for one that is no string."""
    kind = block[at]
    at += 1
    if kind in _FIXED:
        return "", at + _FIXED[kind]
    if kind not in {_STRING, _BYTES}:
        raise ValueError("not a type of header")
    start = at + _U16.size
    end = start + _U16.unpack_from(block, at)[0]
    return (block[start:end].decode() if kind == _STRING else ""), end


def _read_headers(block: bytes) -> dict[str, str]:
    """Return the headers that are strings; raises ValueError, struct.error or IndexError for what is no header."""
    headers: dict[str, str] = {}
    at = 0
    while at < len(block):
        behind = at + 1 + block[at]
        name = block[at + 1 : behind].decode()
        headers[name], at = _read_value(block, behind)
    if at != len(block):
        raise ValueError("the last header is cut off")
    return headers


def _parse_name(block: bytes) -> tuple[str, str]:
    """Return (event name, error message) of a message by its headers."""
    headers = _read_headers(block)
    kind = headers.get(":message-type", "event")
    if kind == "event":
        return headers.get(":event-type", ""), ""
    if kind == "exception":
        return f"exception:{headers.get(':exception-type', '')}", ""
    if kind == "error":
        return f"error:{headers.get(':error-code', '')}", headers.get(":error-message", "")
    raise ValueError("not a kind of message")


# The headers of a stream's events repeat, so they are read once; long ones are no events and would fill the memory.
_remembered_name = lru_cache(maxsize=256)(_parse_name)


def _read_name(block: bytes) -> tuple[str, str]:
    return _remembered_name(block) if len(block) <= MAX_REMEMBERED_BYTES else _parse_name(block)


class EventStreamSplitter:
    """Cuts a binary event stream into (name, payload).

    Errors are events too, named `exception:<type>` or `error:<code>`; the payload of the latter is made to be the
    JSON that exceptions have.  What is whole is returned before the damage behind it is told.
    """

    def __init__(self) -> None:
        self._pending = bytearray()
        self._needed_bytes = _PRELUDE.size
        self._is_broken = False

    def feed(self, piece: bytes) -> list[tuple[str, bytes]]:
        """Return the events that `piece` completes; raises UpstreamBroken for what is none."""
        if self._pending:
            self._pending += piece
            # A large message comes in many pieces, and is looked at once.
            if len(self._pending) < self._needed_bytes and not self._is_broken:
                return []
            piece = bytes(self._pending)
        events: list[tuple[str, bytes]] = []
        at = 0
        try:
            while not self._is_broken:
                self._needed_bytes = _length_at(piece, at)
                if at + self._needed_bytes > len(piece):
                    break
                end = at + self._needed_bytes
                events.append(_read_message(piece, at, end))
                at = end
        except (ValueError, struct.error, IndexError):
            self._is_broken = True
        self._pending = bytearray(piece[at:])
        if self._is_broken and not events:
            raise _damaged()
        return events

    def close(self) -> list[tuple[str, bytes]]:
        """Return nothing; raises UpstreamBroken when the body ended inside a message, or is damaged."""
        if self._is_broken or self._pending:
            raise _damaged()
        return []


def _damaged() -> UpstreamBroken:
    return UpstreamBroken("The provider sent a piece of the answer that is damaged.")


def _length_at(content: bytes, at: int) -> int:
    """Return the length of the message at `at`, that of its prelude while that is not there; raises ValueError."""
    if len(content) - at < _PRELUDE.size:
        return _PRELUDE.size
    total, headers, check = _PRELUDE.unpack_from(content, at)
    if crc32(content[at : at + 8]) != check:
        raise ValueError("the prelude is damaged")
    if total > MAX_MESSAGE_BYTES or headers > MAX_HEADER_BYTES or headers + _ENDS_BYTES > total:
        raise ValueError("the lengths cannot be right")
    return int(total)


def _read_message(content: bytes, at: int, end: int) -> tuple[str, bytes]:
    if crc32(memoryview(content)[at : end - 4]) != _U32.unpack_from(content, end - 4)[0]:
        raise ValueError("the message is damaged")
    start = at + _PRELUDE.size
    middle = start + _U32.unpack_from(content, at + 4)[0]
    name, message = _read_name(content[start:middle])
    return name, orjson.dumps({"message": message}) if message else content[middle : end - 4]
