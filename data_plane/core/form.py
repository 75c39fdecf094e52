"""What is a form (`multipart/form-data`) here?  A body like any other, whose files are `FormFile`s.

A field that comes several times is a list.  Files are kept whole: an attempt may have to be made again.
Source: RFC 7578.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from data_plane.core.parts import Json, Part

_ESCAPES: Final = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})


@dataclass(frozen=True, slots=True)
class FormFile:
    """One file of a form: `name` is what the caller calls it, `content_type` is "" when it does not say."""

    name: str
    content_type: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Binary:
    """A body that is no JSON object: a form that was written, or a file alone."""

    parts: tuple[Part, ...] = field(repr=False)
    content_type: str


def described(form: Json) -> bytes:
    """Return a form as JSON for its record: of each file its name, type and size."""

    def shown(value: object) -> object:
        if isinstance(value, FormFile):
            return {"filename": value.name, "content_type": value.content_type, "bytes": len(value.content)}
        raise TypeError

    return orjson.dumps(form, default=shown, option=orjson.OPT_PASSTHROUGH_DATACLASS)


def _text(value: Any) -> str:
    """Return a field's text; what a config puts into a form may be more than a text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return orjson.dumps(value).decode()


def _fields(form: Json) -> Iterator[tuple[str, Any]]:
    for name, value in form.items():
        for item in value if isinstance(value, list) else (value,):
            if item is not None:
                yield name, item


def write_form(form: Json, boundary: str) -> Binary:
    """Return `form` as a body; `boundary` must not be guessable, or a file could end itself and add fields.

    Raises TypeError for a value that no field can hold.
    """
    parts: list[Part] = []
    for name, value in _fields(form):
        head = f'--{boundary}\r\ncontent-disposition: form-data; name="{name.translate(_ESCAPES)}"'
        if isinstance(value, FormFile):
            kind = value.content_type or "application/octet-stream"
            head += f'; filename="{value.name.translate(_ESCAPES)}"\r\ncontent-type: {kind}'
            parts += (f"{head}\r\n\r\n".encode("utf-8", "replace"), value.content, b"\r\n")
        else:
            parts.append(f"{head}\r\n\r\n{_text(value)}\r\n".encode("utf-8", "replace"))
    parts.append(f"--{boundary}--\r\n".encode())
    return Binary(tuple(parts), f"multipart/form-data; boundary={boundary}")
