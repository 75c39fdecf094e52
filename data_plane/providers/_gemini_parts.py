"""Parts of a message: OpenAI's content parts as parts of Gemini's contents.

A part without a type that is one of Gemini's own passes through: `fileData`, `executableCode`, ….
Source: https://ai.google.dev/api/caching#Part, https://ai.google.dev/gemini-api/docs/file-input-methods
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from data_plane.core.types import Json
from data_plane.providers._openai_request import Part, read_parts, split_data_url, text_of, url_of, wrong
from shared.errors import Unsupported

Parts = list[Json]

_NATIVE: Final = frozenset(
    {"text", "inlineData", "inline_data", "fileData", "file_data", "functionCall", "function_call", "functionResponse",
     "function_response", "executableCode", "executable_code", "codeExecutionResult", "code_execution_result"}
)  # fmt: skip
#: Media types by the end of a name: Vertex AI asks for the type of whatever it fetches.
_TYPES: Final[Mapping[str, str]] = {
    "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "webp": "image/webp", "gif": "image/gif",
    "heic": "image/heic", "heif": "image/heif", "avif": "image/avif", "bmp": "image/bmp",
    "pdf": "application/pdf", "txt": "text/plain", "md": "text/markdown", "html": "text/html", "htm": "text/html",
    "csv": "text/csv", "xml": "text/xml", "json": "application/json", "css": "text/css", "js": "text/javascript",
    "py": "text/x-python",
    "mp4": "video/mp4", "mov": "video/quicktime", "webm": "video/webm", "mpeg": "video/mpeg", "mpg": "video/mpg",
    "avi": "video/avi", "wmv": "video/wmv", "flv": "video/x-flv", "3gp": "video/3gpp",
    "mp3": "audio/mp3", "wav": "audio/wav", "m4a": "audio/m4a", "aac": "audio/aac", "flac": "audio/flac",
    "ogg": "audio/ogg", "opus": "audio/opus", "aiff": "audio/aiff",
}  # fmt: skip
_PDF: Final = "application/pdf"
_VIDEO: Final = "video/mp4"
#: What is fetched when the name says nothing, by the type of the part.
_USUAL: Final[Mapping[str, str]] = {"image_url": "image/jpeg", "video_url": _VIDEO, "file": _PDF}
_FETCHED: Final = ("https://", "http://", "gs://")
_VIDEO_HOSTS: Final = frozenset({"youtube.com", "www.youtube.com", "m.youtube.com", "youtu.be"})
#: Where the Gemini API keeps uploaded files, whose ids begin so.
_FILES: Final = "files/"
_FILES_AT: Final = "https://generativelanguage.googleapis.com/v1beta/"


def _type_of_name(name: object) -> str | None:
    return _TYPES.get(name.rpartition(".")[2].lower()) if isinstance(name, str) else None


def _type_of_url(url: str, path: str) -> str | None:
    try:
        place = urlsplit(url)
        host = place.hostname
    except ValueError:
        raise wrong(path, "must be a URL.") from None
    return _VIDEO if host in _VIDEO_HOSTS else _type_of_name(place.path)


def _inline(url: str, path: str) -> Json:
    kind, payload = split_data_url(url, path)
    # Written by many clients although no such type is registered.
    kind = "image/jpeg" if kind == "image/jpg" else kind
    return {"inlineData": {"mimeType": kind or "text/plain", "data": payload}}


def _fetched(url: str, path: str, given: object, usual: str) -> Json:
    kind = given if isinstance(given, str) and given else _type_of_url(url, path) or usual
    return {"fileData": {"mimeType": kind, "fileUri": url}}


def _linked(part: Part) -> Json:
    url, path = url_of(part)
    if url.startswith("data:"):
        return _inline(url, path)
    if not url.startswith(_FETCHED):
        raise wrong(path, "must be a data:, http(s): or gs: URL.")
    held = part.said[part.kind]
    given = (held.get("mime_type") or held.get("format")) if isinstance(held, dict) else None
    return _fetched(url, path, given, _USUAL[part.kind])


def _sound(part: Part) -> Json:
    held = part.said.get("input_audio")
    sound, kind = (held.get("data"), held.get("format")) if isinstance(held, dict) else (None, None)
    if not isinstance(sound, str) or not sound or not isinstance(kind, str) or not kind:
        raise wrong(f"{part.path}.input_audio", "must hold data and format.")
    if sound.startswith("data:"):
        return _inline(sound, f"{part.path}.input_audio.data")
    return {"inlineData": {"mimeType": kind if "/" in kind else f"audio/{kind}", "data": sound}}


def _file(part: Part) -> Json:
    file, path = part.said.get("file"), f"{part.path}.file"
    if not isinstance(file, dict):
        raise wrong(path, "must be an object.")
    content, file_id = file.get("file_data"), file.get("file_id") or file.get("file_url")
    kind = file.get("mime_type") or file.get("format") or _type_of_name(file.get("filename"))
    if isinstance(content, str) and content.startswith("data:"):
        return _inline(content, f"{path}.file_data")
    if isinstance(content, str) and content:
        return {"inlineData": {"mimeType": kind if isinstance(kind, str) else _PDF, "data": content}}
    if not isinstance(file_id, str) or not file_id:
        raise wrong(path, "needs file_data or file_id.")
    if file_id.startswith(_FILES):
        # Google knows the type of what was uploaded to it.
        return {"fileData": {"fileUri": _FILES_AT + file_id, **({"mimeType": kind} if isinstance(kind, str) else {})}}
    if not file_id.startswith(_FETCHED):
        raise wrong(f"{path}.file_id", "must begin with files/, or be an http(s): or gs: URL.")
    return _fetched(file_id, f"{path}.file_id", kind, _PDF)


def _made(part: Part, provider: str) -> Json | None:
    """Return what one part is in Gemini's words; None for empty text, which Gemini refuses and which says nothing."""
    match part.kind:
        case "text" | "refusal":
            text = text_of(part)
            return {"text": text} if text else None
        case "image_url" | "video_url":
            return _linked(part)
        case "input_audio":
            return _sound(part)
        case "file":
            return _file(part)
    if "type" not in part.said and not _NATIVE.isdisjoint(part.said):
        return part.said
    if not part.kind:
        raise wrong(f"{part.path}.type", "must be a string.")
    raise Unsupported(f"{provider} does not support content of the type {part.kind}.", path=f"{part.path}.type")


def parts_of(said: Json, path: str, provider: str) -> Parts:
    """Return a message's content as parts, none of them empty; [] for content that is absent or null.

    Raises BadRequest with the path of what cannot be understood, Unsupported for what Gemini cannot take.
    """
    content = said.get("content")
    if isinstance(content, str):
        return [{"text": content}] if content else []
    made = (_made(part, provider) for part in read_parts(said, path))
    return [part for part in made if part is not None]
