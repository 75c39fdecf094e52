"""A provider's own list of models, in OpenAI's words.  Source: https://platform.openai.com/docs/api-reference/models"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec

from data_plane.core.types import NO_USAGE, CallFacts, Json
from data_plane.providers._openai_like import ChunkDecoder, read_fault
from data_plane.providers.base import Operation
from shared.errors import UpstreamInvalid

MOST: Final = 20_000


def _entry(item: Any, names: tuple[str, ...], provider: str) -> Json | None:
    if isinstance(item, str):
        return {"id": item, "object": "model", "created": 0, "owned_by": provider} if item else None
    if not isinstance(item, dict):
        return None
    name = next((item[name] for name in names if isinstance(item.get(name), str) and item[name]), None)
    if name is None:
        return None
    created, owner = item.get("created"), item.get("owned_by")
    return {
        "id": name.removeprefix("models/"), "object": "model", "created": created if type(created) is int else 0,
        "owned_by": owner if isinstance(owner, str) and owner else provider,
    }  # fmt: skip


def _decode(answer: Json, _facts: CallFacts, *, provider: str, holds: str, names: tuple[str, ...]) -> Json:
    # One model alone comes out of its list on the way here.
    listed = [answer] if holds not in answer and "id" in answer else answer.get(holds)
    if not isinstance(listed, list):
        raise UpstreamInvalid(f"Invalid response received from {provider}.")
    entries = [entry for item in listed[:MOST] if (entry := _entry(item, names, provider)) is not None]
    return {"object": "list", "data": entries, "provider": provider}


def _decode_array(content: bytes, _kind: str, facts: CallFacts, *, decode: Callable[[Json, CallFacts], Json]) -> Json:
    """Return a list that is the whole answer, or raise as for any other answer that is none."""
    try:
        return decode({"data": msgspec.json.decode(content)}, facts)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return decode({}, facts)


def models(provider: str, path: str = "/models", *, holds: str = "data", names: tuple[str, ...] = ("id",)) -> Operation:
    """Return the operation that lists the models of `provider`: in the member `holds`, each under one of `names`.

    A list that is the whole answer counts as if it stood in `data`.
    """
    decode = partial(_decode, provider=provider, holds=holds, names=names)
    return Operation(
        path=path,
        method="GET",
        encode=lambda _body, _facts: {},
        decode=decode,
        decode_binary=partial(_decode_array, decode=partial(_decode, provider=provider, holds="data", names=names)),
        usage=lambda _answer: NO_USAGE,
        decoder=lambda _facts: ChunkDecoder(provider, hides_usage=False),
        fault=read_fault,
    )
