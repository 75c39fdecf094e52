"""How many tokens is a text, roughly?  Asked where a provider counts nothing, so that no call counts as free.

Tokenisers differ between models and their vocabularies are not at hand, so this is a rule of thumb: four ASCII
characters to a token, and four tokens to five characters of other scripts.  It is within a third of the real count for
prose and code, and whatever it counts is marked as estimated.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from data_plane.core.parts import Json

ASCII_CHARS_PER_TOKEN: Final = 4
_OTHER_TOKENS, _OTHER_CHARS = 4, 5
#: What a message costs besides its text, and what an image costs whose size nobody knows.
MESSAGE_TOKENS: Final = 4
IMAGE_TOKENS: Final = 765
#: Members of a body that hold what a model reads.
_READ: Final = ("messages", "system", "prompt", "input", "instructions", "query", "documents", "contents")
_IMAGES: Final = frozenset({"image_url", "input_image", "image"})
#: Members of a part that no model reads as text.
_UNREAD: Final = frozenset({"type", "id", "role", "data", "url", "cache_control"})
#: The kinds of character of a longer text are those of its beginning.
_LOOKED_AT: Final = 64 * 1024


def text_tokens(text: str) -> int:
    """Return about how many tokens `text` is; 0 for none."""
    if text.isascii():
        return -(-len(text) // ASCII_CHARS_PER_TOKEN)
    sample = text[:_LOOKED_AT]
    ascii_chars = len(sample.encode("ascii", "ignore")) * len(text) // len(sample)
    others = len(text) - ascii_chars
    return -(-ascii_chars // ASCII_CHARS_PER_TOKEN) + -(-others * _OTHER_TOKENS // _OTHER_CHARS)


def _inside(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from (item for name, item in value.items() if name not in _UNREAD)
    elif isinstance(value, list):
        yield from value


def value_tokens(value: Any) -> int:
    """Return about how many tokens a JSON value is to a model, whatever its shape.

    A whole number is one token: that is how texts are sent which were cut into tokens already.
    """
    total = 0
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            total += text_tokens(item)
        elif type(item) is int:
            total += 1
        elif isinstance(item, msgspec.Raw):
            total += memoryview(item).nbytes // ASCII_CHARS_PER_TOKEN
        elif isinstance(item, dict) and item.get("type") in _IMAGES:
            total += IMAGE_TOKENS
        else:
            waiting.extend(_inside(item))
    return total


def asked_tokens(body: Json) -> int:
    """Return about how many tokens the body of a request is to its model; members of a large body may be raw."""
    messages, tools = body.get("messages"), body.get("tools")
    envelope = MESSAGE_TOKENS * len(messages) if isinstance(messages, list) else 0
    if isinstance(tools, list) and tools:
        envelope += len(msgspec.json.encode(tools)) // ASCII_CHARS_PER_TOKEN
    return envelope + sum(value_tokens(body[name]) for name in _READ if name in body)
