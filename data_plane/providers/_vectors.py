"""How does a caller get vectors: as lists of numbers, or packed as OpenAI's own clients ask for them?

Who cannot pack them answers with lists, and they are packed here: as 32-bit floats, little end first, in base64.
Source: https://platform.openai.com/docs/api-reference/embeddings
"""

import struct
from base64 import b64encode
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

from data_plane.core.types import NO_USAGE, CallFacts, Json, Usage
from data_plane.providers._cohere_embed import whole
from data_plane.providers._openai_like import ChunkDecoder, mapping, read_fault, read_usage, told_error
from data_plane.providers.base import Operation
from shared.errors import UpstreamInvalid

#: OpenAI's parameters that are left out, each with the reason why the answer means the same without.
LEFT_OUT: Final = {"user": "about who asks, not about the answer", "stream": "vectors come at once"}


def is_packed(facts: CallFacts) -> bool:
    """Return whether the caller wants its vectors packed."""
    return facts.asked.get("encoding_format") == "base64"


def pack(vector: Any, provider: str) -> Any:
    """Return a list of numbers in base64, and anything else as it is; raises UpstreamInvalid for other lists."""
    if not isinstance(vector, list) or (vector and isinstance(vector[0], list)):
        # A list for each token is no vector that anybody could unpack.
        return vector
    try:
        return b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    except (struct.error, OverflowError):
        raise _invalid(provider) from None


def _invalid(provider: str) -> UpstreamInvalid:
    return UpstreamInvalid(f"Invalid response received from {provider}.")


def vector_usage(answer: Json) -> Usage:
    """Return the tokens of an answer, where some state only how many they are in all."""
    counted = read_usage(answer.get("usage"))
    if counted is not NO_USAGE:
        return counted
    total = whole(mapping(answer.get("usage")).get("total_tokens"))
    return Usage(input=total) if total else NO_USAGE


def _usage(answer: Json, *, strict: bool) -> Json | None:
    counted = vector_usage(answer)
    if counted is NO_USAGE:
        return None
    own = {} if strict else dict(mapping(answer.get("usage")))
    return {**own, "prompt_tokens": counted.input, "total_tokens": counted.input}


def vector_list(vectors: Iterable[Any], answer: Json, facts: CallFacts, *, provider: str) -> Json:
    """Return OpenAI's list of `vectors`, with what `answer` counts; raises UpstreamInvalid."""
    packs = is_packed(facts)
    rows: list[Json] = []
    for index, vector in enumerate(vectors):
        if not isinstance(vector, list | str):
            raise _invalid(provider)
        rows.append({
            "object": "embedding", "index": index, "embedding": pack(vector, provider) if packs else vector,
        })  # fmt: skip
    model = answer.get("model")
    told: Json = {"object": "list", "data": rows, "model": model if isinstance(model, str) and model else facts.model}
    usage = _usage(answer, strict=facts.strict)
    if usage is not None:
        told["usage"] = usage
    told["provider"] = provider
    return told


def refuse_answer(answer: Json, provider: str) -> UpstreamInvalid:
    """Return the refusal of an answer that has nothing in it, with what it says of itself."""
    if any(answer.get(name) for name in ("error", "message", "detail")):
        return UpstreamInvalid(told_error(provider, answer))
    return _invalid(provider)


def decode_rows(answer: Json, facts: CallFacts, *, provider: str) -> Json:
    """Return an answer whose rows are nearly OpenAI's; raises UpstreamInvalid when it has none."""
    rows = answer.get("data")
    if not isinstance(rows, list):
        raise refuse_answer(answer, provider)
    packs = is_packed(facts)
    for index, row in enumerate(rows):
        if not isinstance(row, dict) or not ("embedding" in row or "embeddings" in row):
            raise _invalid(provider)
        row.setdefault("object", "embedding")
        row.setdefault("index", index)
        if packs and "embedding" in row:
            row["embedding"] = pack(row["embedding"], provider)
    usage = _usage(answer, strict=facts.strict)
    if usage is not None:
        answer["usage"] = usage
    answer.setdefault("object", "list")
    answer.setdefault("model", facts.model)
    answer.pop("provider", None)
    answer["provider"] = provider
    return answer


def embedding(
    provider: str,
    path: str | Callable[[CallFacts], str],
    encode: Callable[..., Json],
    decode: Callable[..., Json] = decode_rows,
) -> Operation:
    """Return the operation of `provider` that makes vectors in words of its own.

    `encode(body, facts, provider=…)` and `decode(answer, facts, provider=…)` are as in `Operation`.
    """
    return Operation(
        path=path,
        encode=partial(encode, provider=provider),
        decode=partial(decode, provider=provider),
        usage=vector_usage,
        decoder=lambda _facts: ChunkDecoder(provider, hides_usage=False),
        fault=read_fault,
    )
