"""multipart/form-data → a body whose files are whole, within the limits of any other body."""

import asyncio
from typing import Any, Final

from aiohttp import BodyPartReader, web
from aiohttp.http import HttpProcessingError

from data_plane.core.form import FormFile
from data_plane.core.types import Json
from data_plane.http.form_fields import UNREADABLE
from data_plane.http.ingress import BODY_TIMEOUT_S
from shared.errors import BadRequest, BodyTooLarge

MAX_FIELDS: Final = 256
#: The members of a form's text that are something else in JSON, where the gateway itself reads them.
_FLAGS: Final = {"true": True, "false": False}


def is_form(request: web.Request) -> bool:
    """Return whether the request says that its body is a form."""
    kind = request.headers.get("content-type", "")
    return kind.partition(";")[0].strip().lower() == "multipart/form-data"


def _add(form: Json, name: str, value: Any) -> None:
    if name not in form:
        form[name] = value
    elif isinstance(form[name], list):
        form[name].append(value)
    else:
        form[name] = [form[name], value]


async def _read_field(part: BodyPartReader, left: int) -> bytes:
    """Return a field's content; raises BodyTooLarge as soon as it is longer than `left` bytes."""
    content = bytearray()
    while piece := await part.read_chunk(256 * 1024):
        content += piece
        if len(content) > left:
            raise BodyTooLarge("The request body is too large.")
    return bytes(content)


async def _read_fields(request: web.Request) -> Json:
    form: Json = {}
    left = request.client_max_size
    count = 0
    async for part in await request.multipart():
        count += 1
        if not isinstance(part, BodyPartReader) or not part.name or count > MAX_FIELDS:
            raise BadRequest(f"The form must have plain, named fields, and at most {MAX_FIELDS} of them.", path="body")
        content = await _read_field(part, left)
        left -= len(content)
        if part.filename is not None:
            _add(form, part.name, FormFile(part.filename, part.headers.get("content-type", ""), content))
        else:
            _add(form, part.name, content.decode())
    return form


async def read_form(request: web.Request) -> Json:
    """Return the fields of a form; raises BodyTooLarge (413) or BadRequest (400) for what is none."""
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            form = await _read_fields(request)
    except TimeoutError:
        raise BadRequest("The request body did not come in time.") from None
    except UnicodeDecodeError:
        raise BadRequest("A text of the form is not UTF-8.", path="body") from None
    except (web.HTTPException, web.RequestPayloadError, HttpProcessingError, *UNREADABLE):
        raise BadRequest("The request body is not a form that can be read.", path="body") from None
    stream = form.get("stream")
    if isinstance(stream, str):
        form["stream"] = _FLAGS.get(stream.strip().lower(), stream)
    return form
