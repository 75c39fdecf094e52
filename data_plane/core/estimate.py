"""How many tokens is a text, roughly?  Asked where a provider counts nothing, so that no call counts as free.

Tokenisers differ between models and their vocabularies are not at hand, so this is a rule of thumb: four ASCII
characters to a token, and four tokens to five characters of other scripts.  It is within a third of the real count for
prose and code, and whatever it counts is marked as estimated.
"""

from collections.abc import Iterable, Iterator
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
#: Members that hold a picture, a recording or a file, or where to get it.
_MEDIA: Final = frozenset({"data", "url", "image_url", "file_data", "file_id", "inline_data", "file_uri"})
#: What one of these may be to a model, and what an object is besides its texts.
MEDIA_TOKENS: Final = 4096
ENVELOPE_TOKENS: Final = 16
#: Members that say of what form calls and answers are; models read all of them.
_SCHEMAS: Final = ("tools", "functions", "response_format", "text")
#: A larger member is not looked into: that would hold up everybody else.
MOST_LOOKED_INTO_BYTES: Final = 8 * 1024 * 1024
#: No model reads more.
MOST_CONTEXT_TOKENS: Final = 2_000_000
MOST_CHOICES: Final = 128
_MOST_DIGITS: Final = 18
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


def most_asked_tokens(body: Json) -> int:
    """Return what the body of a request is at most to its model: no tokeniser makes more tokens of a text than bytes.

    Pictures, recordings and files count by rule of thumb, because their bytes say little.
    """
    total = 0
    for name in _SCHEMAS:
        if body.get(name):
            total += _encoded_bytes(body[name])
    waiting: list[Any] = [body[name] for name in _READ if name in body]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            total += _bytes_of(item)
        elif isinstance(item, dict):
            envelope = ENVELOPE_TOKENS
            for name, value in item.items():
                total += _bytes_of(name)
                if name in _MEDIA:
                    envelope = MEDIA_TOKENS
                elif isinstance(value, str):
                    total += _bytes_of(value)
                else:
                    waiting.append(value)
            total += envelope
        elif isinstance(item, list):
            waiting += item
        elif isinstance(item, msgspec.Raw):
            size = memoryview(item).nbytes
            # Looked into, because files in it count by their number and not by their bytes.
            if size <= MOST_LOOKED_INTO_BYTES:
                waiting.append(msgspec.json.decode(item))
            else:
                total += min(size, MOST_CONTEXT_TOKENS)
        else:
            total += 1
    return total


def _bytes_of(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _encoded_bytes(value: Any) -> int:
    return memoryview(value).nbytes if isinstance(value, msgspec.Raw) else len(msgspec.json.encode(value))


def number_in(value: object) -> int:
    """Return a whole number as lenient hosts read one, 0 for anything else."""
    if type(value) is int:
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return int(value) if isinstance(value, str) and value.isdecimal() and len(value) <= _MOST_DIGITS else 0


def most_answer_tokens(body: Json, caps: Iterable[str], assumed: int) -> int:
    """Return how many tokens all answers may have at most: the largest of the members `caps`, else `assumed`, each.

    Of several caps nobody knows which one is kept.
    """
    most = 0
    for name in caps:
        value = body.get(name)
        if value is not None:
            most = max(most, number_in(value))
    choices = 1
    for name in ("n", "best_of"):
        value = body.get(name)
        if value is not None:
            choices = max(choices, min(number_in(value), MOST_CHOICES))
    return (most or assumed) * choices
