"""How is a large body read and sent on without stalling everybody else?  In parts that stay as they came.

Reading 32 MB of JSON into objects, writing it again and copying it between buffers holds the event loop for 150 to
2,000 ms.  Finding where the top-level members begin and end takes 10 to 60 ms and checks the syntax alike, so members
beyond a bound stay raw: they are views of the body as it arrived, and go out as such.
"""

from typing import Any, Final

import msgspec
import orjson

from shared.errors import InvalidJson

Json = dict[str, Any]
Part = bytes | memoryview

#: A body up to this size is decoded whole.
LARGE_BYTES: Final = 256 * 1024
#: A member up to this size is decoded also in a large body.
SMALL_MEMBER_BYTES: Final = 16 * 1024
_KINDS: Final[dict[bytes, type]] = {b"[": list, b'"': str, b"{": dict}
_MEMBERS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


def read_members(body: bytes | bytearray) -> Json:
    """Return an object whose members are decoded if small and `msgspec.Raw` if large.

    `body` must not change any more.  Raises msgspec.DecodeError, UnicodeError or RecursionError.
    """
    members: Json = {}
    for name, raw in _MEMBERS.decode(body).items():
        view = memoryview(raw)
        members[name] = msgspec.json.decode(raw) if view.nbytes <= SMALL_MEMBER_BYTES else raw
    return members


def is_of(value: object, kinds: tuple[type, ...]) -> bool:
    """Return whether a member is an array, a text or an object, whichever `kinds` (of list, str, dict) allows.

    A raw member is judged by how it begins.
    """
    if not isinstance(value, msgspec.Raw):
        return isinstance(value, kinds)
    return _KINDS.get(bytes(memoryview(value)[:1])) in kinds


def unfolded(body: Json) -> Json:
    """Return `body` with every raw member decoded; raises InvalidJson."""
    try:
        return unfold(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise InvalidJson("The request body is not valid JSON.") from None


def unfold(body: Json) -> Json:
    """Return `body` with every raw member decoded; raises msgspec.DecodeError, UnicodeError or RecursionError."""
    if not any(isinstance(value, msgspec.Raw) for value in body.values()):
        return body
    return {
        name: msgspec.json.decode(value) if isinstance(value, msgspec.Raw) else value for name, value in body.items()
    }


def write_members(body: Json) -> bytes | tuple[Part, ...]:
    """Return the JSON of `body`, in parts if it has raw members; raw members are views, everything else is encoded."""
    small: Json = {name: value for name, value in body.items() if not isinstance(value, msgspec.Raw)}
    raws = [(name, memoryview(value)) for name, value in body.items() if isinstance(value, msgspec.Raw)]
    encoded = orjson.dumps(small)
    if not raws:
        return encoded
    parts: list[Part] = [encoded[:-1]]
    separator = b"," if small else b""
    for name, view in raws:
        parts += (separator + orjson.dumps(name) + b":", view)
        separator = b","
    return (*parts, b"}")
