"""OpenAI's chats and images as inputs of a prediction on Replicate, where every model has parameters of its own.

What models share is translated: a prompt, a system prompt, limits.  All else goes into the input as it came.
Source: https://replicate.com/docs/reference/http, https://replicate.com/docs/topics/models/official-models
"""

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote

from data_plane.core.types import CallFacts, Json
from data_plane.providers._image_size import count_of, size_of
from data_plane.providers._openai_request import (
    Message,
    max_tokens_of,
    put_if,
    read_messages,
    read_parts,
    refuse_what_matters,
    stop_of,
    text_of,
    wrong,
)
from shared.errors import BadRequest, Unsupported

_DEPLOYMENTS: Final = "deployments/"
#: The only publisher whose models take a conversation as OpenAI writes it.
_OPENAI: Final = "openai/"
_CHAT: Final = frozenset({"model", "messages", "stream", "max_tokens", "max_completion_tokens", "stop"})
_IMAGE: Final = frozenset({"model", "n", "size", "stream", "response_format"})
#: OpenAI's parameters that are left out, each with the reason why the answer means the same without.
LEFT_OUT: Final[Mapping[str, str]] = {
    "user": "about who asks, not about the answer",
    "safety_identifier": "about who asks, not about the answer",
    "metadata": "about what OpenAI keeps",
    "store": "about what OpenAI keeps",
    "service_tier": "how soon the answer comes",
    "stream_options": "the decoder knows whether the caller wants to see tokens",
    "prompt_cache_key": "a hint to OpenAI's cache",
    "prompt_cache_retention": "a hint to OpenAI's cache",
    "prediction": "makes the same answer come faster",
}
#: OpenAI's parameters that change what the answer is, and which of their values do.
REFUSED: Final[Mapping[str, Callable[[Any], bool]]] = {
    "n": lambda value: value != 1,
    "tools": bool,
    "tool_choice": lambda value: value not in ("none", "auto"),
    "functions": bool,
    "function_call": lambda value: value != "none",
    "response_format": lambda value: value != {"type": "text"},
    "logprobs": bool,
    "top_logprobs": bool,
    "logit_bias": bool,
    "audio": bool,
    "modalities": lambda value: value != ["text"],
    "web_search_options": lambda _value: True,
}
_OURS: Final = _CHAT | LEFT_OUT.keys() | REFUSED.keys() | {"parallel_tool_calls"}
_SPEAKERS: Final = {"user": "User", "assistant": "Assistant"}


def _named(facts: CallFacts) -> tuple[str, str]:
    """Return ("models/owner/name" or "deployments/owner/name", "") or ("", the version); raises BadRequest."""
    name = facts.model
    kind = "deployments" if name.startswith(_DEPLOYMENTS) else "models"
    owner, slash, rest = name.removeprefix(_DEPLOYMENTS).partition("/")
    bare, _, version = rest.partition(":")
    if (not slash and kind == "models") or version:
        if name.strip(".:") == "":
            raise BadRequest("model must name a model.", path="model")
        return "", version or name
    if "/" in bare or owner.strip(".") == "" or bare.strip(".") == "":
        raise BadRequest("model must be like owner/name, owner/name:version, or a version.", path="model")
    return f"{kind}/{quote(owner, safe='', errors='replace')}/{quote(bare, safe='', errors='replace')}", ""


def prediction_path(facts: CallFacts) -> str:
    """Return where a prediction of the model is made; raises BadRequest."""
    named, _ = _named(facts)
    return f"/{named}/predictions" if named else "/predictions"


def _request(facts: CallFacts, given: Json) -> Json:
    _, version = _named(facts)
    return {"version": version, "input": given} if version else {"input": given}


def _text(message: Message, provider: str) -> str:
    texts: list[str] = []
    for part in read_parts(message.said, message.path):
        if part.kind not in {"text", "refusal"}:
            raise Unsupported(f"{provider} does not support content of the type {part.kind}.", path=part.path)
        texts.append(text_of(part))
    return "\n".join(texts)


def _put_prompt(given: Json, messages: list[Message], provider: str) -> None:
    """Write a conversation as one text: a single question as it is, several turns with who speaks."""
    system = [_text(message, provider) for message in messages if message.role == "system"]
    turns = [(message.role, _text(message, provider)) for message in messages if message.role != "system"]
    for message in messages:
        if message.role == "tool" or message.said.get("tool_calls"):
            raise Unsupported(f"{provider} does not support tools.", path=message.path)
    if not turns:
        raise wrong("messages", "must hold a question.")
    put_if(given, "system_prompt", "\n\n".join(text for text in system if text) or None)
    if len(turns) == 1:
        given["prompt"] = turns[0][1]
        return
    lines = [f"{_SPEAKERS[role]}: {text}" for role, text in turns]
    given["prompt"] = "\n\n".join([*lines, *(["Assistant:"] if turns[-1][0] == "user" else [])])


def _stops(body: Json, provider: str) -> str | None:
    stops = stop_of(body)
    if not stops:
        return None
    if not all(isinstance(stop, str) for stop in stops):
        raise wrong("stop", "must be a string or a list of strings.")
    if any("," in stop for stop in stops):
        raise Unsupported(f"{provider} separates stop sequences by commas, so none can hold one.", path="stop")
    return ",".join(stops)


def encode_chat(body: Json, facts: CallFacts, *, provider: str) -> Json:
    """Return the prediction of a chat; raises BadRequest and Unsupported with the path at fault."""
    refuse_what_matters(body, provider, REFUSED)
    given: Json = {name: value for name, value in body.items() if name not in _OURS}
    messages = read_messages(body)
    if facts.model.startswith(_OPENAI):
        given["messages"] = body["messages"]
        put_if(given, "max_completion_tokens", max_tokens_of(body))
    else:
        _put_prompt(given, messages, provider)
        put_if(given, "max_tokens", max_tokens_of(body))
    put_if(given, "stop_sequences", _stops(body, provider))
    return _request(facts, given)


def encode_image(body: Json, facts: CallFacts, *, provider: str) -> Json:
    """Return the prediction of an image; raises BadRequest and Unsupported with the path at fault."""
    if facts.stream:
        raise Unsupported(f"{provider} does not stream images.", path="stream")
    if body.get("response_format") not in (None, "url"):
        raise Unsupported(f"{provider} answers with the addresses of images.", path="response_format")
    given: Json = {name: value for name, value in body.items() if name not in _IMAGE and name not in LEFT_OUT}
    if body.get("n") is not None:
        given.setdefault("num_outputs", count_of(body))
    size = size_of(body)
    if size is not None:
        given.setdefault("width", size[0])
        given.setdefault("height", size[1])
    return _request(facts, given)
