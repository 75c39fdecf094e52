"""Parts of a message: OpenAI's content parts as blocks of Bedrock's Converse API.

A part without a type that is one of Converse's own blocks passes through: `cachePoint`, `guardContent`, ….
Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ContentBlock.html
"""

import re
from collections.abc import Mapping
from typing import Final

from data_plane.core.types import Json
from data_plane.providers._openai_request import Part, read_parts, split_data_url, text_of, url_of, wrong
from shared.errors import Unsupported

Blocks = list[Json]

NATIVE: Final = frozenset(
    {"text", "image", "document", "video", "audio", "toolUse", "toolResult", "guardContent", "cachePoint",
     "reasoningContent", "citationsContent", "searchResult", "toolAddition", "toolRemoval"}
)  # fmt: skip
_S3: Final = "s3://"
_IMAGES: Final[Mapping[str, str]] = {
    "image/png": "png", "image/jpeg": "jpeg", "image/jpg": "jpeg", "image/gif": "gif", "image/webp": "webp",
}  # fmt: skip
_DOCUMENTS: Final[Mapping[str, str]] = {
    "application/pdf": "pdf", "text/csv": "csv", "application/csv": "csv", "text/html": "html", "text/plain": "txt",
    "text/markdown": "md", "application/msword": "doc", "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
}  # fmt: skip
_VIDEOS: Final[Mapping[str, str]] = {
    "video/mp4": "mp4", "video/quicktime": "mov", "video/webm": "webm", "video/x-matroska": "mkv",
    "video/mpeg": "mpeg", "video/x-flv": "flv", "video/x-ms-wmv": "wmv", "video/3gpp": "three_gp",
}  # fmt: skip
#: Formats by the ends of names, for what lies in S3 and for files whose media type says nothing.
_BY_END: Final[Mapping[str, str]] = {"jpg": "jpeg", "markdown": "md", "htm": "html", "3gp": "three_gp"}
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9\s()\[\]-]+")
_SPACES: Final = re.compile(r"\s+")
MAX_NAME_CHARS: Final = 200


def cache_point(said: Json) -> Blocks:
    """Return the mark that what stands before it is cached, when `cache_control` asks for it; else []."""
    control = said.get("cache_control")
    if not isinstance(control, dict):
        return []
    point: Json = {"type": "default"}
    if isinstance(control.get("ttl"), str):
        point["ttl"] = control["ttl"]
    return [{"cachePoint": point}]


def _source(url: str, path: str, formats: Mapping[str, str], provider: str) -> tuple[str | None, Json]:
    """Return (format or None, source) of a `data:` or `s3:` URL."""
    if url.startswith("data:"):
        kind, payload = split_data_url(url, path)
        return formats.get(kind), {"bytes": payload}
    if url.startswith(_S3):
        return _format_of_name(url, formats), {"s3Location": {"uri": url}}
    raise Unsupported(f"{provider} does not fetch URLs: send a data: URL, or an s3:// one.", path=path)


def _format_of_name(name: str, formats: Mapping[str, str]) -> str | None:
    end = name.rpartition(".")[2].lower()
    end = _BY_END.get(end, end)
    return end if end in formats.values() else None


def _media(part: Part, block: str, formats: Mapping[str, str], provider: str) -> Json:
    url, path = url_of(part)
    kind, source = _source(url, path, formats, provider)
    if kind is None:
        known = ", ".join(dict.fromkeys(formats.values()))
        raise wrong(path, f"is of a format that {provider} does not take; it takes {known}.")
    return {block: {"format": kind, "source": source}}


def _document_name(name: object) -> str:
    """Return a name as Bedrock takes it, which refuses dots and the like."""
    stem = name.rpartition(".")[0] or name if isinstance(name, str) else ""
    plain = _SPACES.sub(" ", _NOT_IN_NAMES.sub(" ", stem)).strip()
    return plain[:MAX_NAME_CHARS] or "document"


def _file(part: Part, provider: str) -> Json:
    file, path = part.said.get("file"), f"{part.path}.file"
    if not isinstance(file, dict):
        raise wrong(path, "must be an object.")
    content, name = file.get("file_data"), file.get("filename")
    if content is None:
        content, path = file.get("file_id"), f"{path}.file_id"
    else:
        path = f"{path}.file_data"
        # OpenAI also takes bare base64, of PDFs.
        if isinstance(content, str) and not content.startswith(("data:", _S3)):
            content = f"data:application/pdf;base64,{content}"
    if not isinstance(content, str):
        raise wrong(f"{part.path}.file", "needs file_data.")
    if content.startswith("data:image/"):
        return _media(Part("file", part.path, {"file": {"url": content}}), "image", _IMAGES, provider)
    kind, source = _source(content, path, _DOCUMENTS, provider)
    kind = kind or (_format_of_name(name, _DOCUMENTS) if isinstance(name, str) else None)
    if kind is None:
        raise wrong(path, f"is of a format that {provider} does not take; it takes {', '.join(_DOCUMENTS.values())}.")
    title = name or (content.rpartition("/")[2] if content.startswith(_S3) else None)
    return {"document": {"format": kind, "name": _document_name(title), "source": source}}


def _audio(part: Part) -> Json:
    held = part.said.get("input_audio")
    sound, kind = (held.get("data"), held.get("format")) if isinstance(held, dict) else (None, None)
    if not isinstance(sound, str) or not isinstance(kind, str):
        raise wrong(f"{part.path}.input_audio", "must hold data and format.")
    return {"audio": {"format": kind, "source": {"bytes": sound}}}


def _block(part: Part, provider: str) -> Json | None:
    """Return the block of one part; None for empty text, which Bedrock refuses and which says nothing."""
    match part.kind:
        case "text" | "refusal":
            text = text_of(part)
            return {"text": text} if text.strip() else None
        case "image_url":
            return _media(part, "image", _IMAGES, provider)
        case "video_url":
            return _media(part, "video", _VIDEOS, provider)
        case "file":
            return _file(part, provider)
        case "input_audio":
            return _audio(part)
    if "type" not in part.said and len(part.said) == 1 and not NATIVE.isdisjoint(part.said):
        return part.said
    if not part.kind:
        raise wrong(f"{part.path}.type", "must be a string.")
    raise Unsupported(f"{provider} does not support content of the type {part.kind}.", path=f"{part.path}.type")


def blocks_of(said: Json, path: str, provider: str) -> Blocks:
    """Return a message's content as blocks, none of them empty; [] for content that is absent or null.

    Raises BadRequest with the path of what cannot be understood, Unsupported for what Bedrock cannot take.
    """
    content = said.get("content")
    if isinstance(content, str) and "cache_control" not in said:
        # By far the most messages are plain text.
        return [{"text": content}] if content.strip() else []
    blocks: Blocks = []
    for part in read_parts(said, path):
        block = _block(part, provider)
        if block is not None:
            blocks.append(block)
            if "cache_control" in part.said:
                blocks += cache_point(part.said)
    return blocks
