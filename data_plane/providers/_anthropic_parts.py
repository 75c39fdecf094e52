"""Parts of a message: OpenAI's content parts as blocks of Anthropic's Messages API.

Whatever is not OpenAI's passes through: a caller may write Anthropic's own blocks, `cache_control` included.
Source: https://docs.anthropic.com/en/api/messages
"""

import base64
import binascii
from typing import Final
from urllib.parse import unquote_to_bytes

from data_plane.core.types import Json
from shared.errors import BadRequest, Unsupported

Blocks = list[Json]

_REFUSED: Final = frozenset({"input_audio", "audio", "video_url", "input_video"})
_PDF: Final = "application/pdf"


def text_block(text: str, source: Json) -> Json:
    """Return a text block with the `cache_control` of the part or message that it comes from."""
    block: Json = {"type": "text", "text": text}
    if isinstance(source.get("cache_control"), dict):
        block["cache_control"] = source["cache_control"]
    return block


def _split_data_url(url: str, path: str) -> tuple[str, str]:
    """Return media type and base64 text of a `data:` URL."""
    head, comma, payload = url[len("data:") :].partition(",")
    if not comma:
        raise BadRequest(f"{path} is a data: URL without data.", path=path)
    kind, *flags = head.split(";")
    if "base64" not in flags:
        payload = base64.b64encode(unquote_to_bytes(payload)).decode()
    if not payload:
        raise BadRequest(f"{path} is a data: URL without data.", path=path)
    # Written by many clients although no such type is registered; Anthropic refuses it.
    kind = "image/jpeg" if kind.lower() == "image/jpg" else kind.lower()
    return kind, payload


def _plain_text(payload: str, path: str) -> str:
    try:
        return base64.b64decode(payload, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise BadRequest(f"{path} holds no base64 of UTF-8 text.", path=path) from None


def _from_data_url(url: str, path: str) -> Json:
    kind, payload = _split_data_url(url, path)
    if kind.startswith("image/"):
        return {"type": "image", "source": {"type": "base64", "media_type": kind, "data": payload}}
    if kind == _PDF:
        return {"type": "document", "source": {"type": "base64", "media_type": kind, "data": payload}}
    if kind == "text/plain":
        text = _plain_text(payload, path)
        return {"type": "document", "source": {"type": "text", "media_type": kind, "data": text}}
    raise BadRequest(f"{path} has the media type {kind or '(none)'}, which is no image, PDF or plain text.", path=path)


def _from_image(part: Json, path: str) -> Json:
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, dict) else image
    if not isinstance(url, str):
        raise BadRequest(f"{path}.image_url.url must be a string.", path=f"{path}.image_url.url")
    if url.startswith("data:"):
        return _from_data_url(url, f"{path}.image_url.url")
    if url.startswith(("https://", "http://")):
        return {"type": "image", "source": {"type": "url", "url": url}}
    raise BadRequest(f"{path}.image_url.url must be a data: or http(s) URL.", path=f"{path}.image_url.url")


def _from_file(part: Json, path: str) -> Json:
    file = part.get("file")
    if not isinstance(file, dict):
        raise BadRequest(f"{path}.file must be an object.", path=f"{path}.file")
    content, file_id = file.get("file_data"), file.get("file_id")
    if isinstance(content, str):
        # OpenAI also takes bare base64, of PDFs.
        url = content if content.startswith("data:") else f"data:{_PDF};base64,{content}"
        block = _from_data_url(url, f"{path}.file.file_data")
    elif isinstance(file_id, str):
        block = {"type": "document", "source": {"type": "file", "file_id": file_id}}
    else:
        raise BadRequest(f"{path}.file needs file_data or file_id.", path=f"{path}.file")
    name = file.get("filename")
    if block["type"] == "document" and isinstance(name, str) and name:
        block["title"] = name
    return block


def _from_part(part: object, path: str, provider: str) -> Json | None:
    """Return the block of one part; None for empty text, which Anthropic refuses and which says nothing."""
    if not isinstance(part, dict) or not isinstance(part.get("type"), str):
        raise BadRequest(f"{path} must be an object with a type.", path=path)
    kind = part["type"]
    if kind in {"text", "refusal"}:
        text = part.get("text" if kind == "text" else "refusal")
        if not isinstance(text, str):
            raise BadRequest(f"{path}.{kind} must be a string.", path=f"{path}.{kind}")
        if not text.strip():
            return None
        return dict(part) if kind == "text" else text_block(text, part)
    if kind in _REFUSED:
        raise Unsupported(f"{provider} does not support content of the type {kind}.", path=f"{path}.type")
    if kind not in {"image_url", "file"}:
        return part
    block = _from_image(part, path) if kind == "image_url" else _from_file(part, path)
    if isinstance(part.get("cache_control"), dict):
        block["cache_control"] = part["cache_control"]
    return block


def blocks_of(message: Json, path: str, provider: str) -> Blocks:
    """Return a message's content as blocks, none of them empty; [] for content that is absent or null.

    Raises BadRequest with the path of what cannot be understood, Unsupported for what Anthropic has no word for.
    """
    content = message.get("content")
    if content is None:
        return []
    if isinstance(content, str):
        return [text_block(content, message)] if content.strip() else []
    if not isinstance(content, list):
        raise BadRequest(f"{path}.content must be a string or a list.", path=f"{path}.content")
    found = (_from_part(part, f"{path}.content[{number}]", provider) for number, part in enumerate(content))
    return [block for block in found if block is not None]
