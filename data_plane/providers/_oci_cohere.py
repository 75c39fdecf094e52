"""An OpenAI chat request in the format that Oracle's Generative AI has for Cohere's models: a message and its history.

Text only; what these models know of tools and images has another shape, and is refused.
Source: https://docs.oracle.com/iaas/api/#/en/generative-ai-inference/20231130/datatypes/CohereChatRequest
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from data_plane.core.types import CallFacts, Json
from data_plane.providers._oci_request import LEFT_OUT, placed
from data_plane.providers._openai_request import (
    Message,
    max_tokens_of,
    put_if,
    read_format,
    read_messages,
    read_parts,
    refuse_what_matters,
    stop_of,
    text_of,
    wrong,
)
from shared.errors import Unsupported

_RENAMED: Final[Mapping[str, str]] = {
    "top_p": "topP", "top_k": "topK", "frequency_penalty": "frequencyPenalty", "presence_penalty": "presencePenalty",
}  # fmt: skip
#: OpenAI's parameters that change what the answer is, and which of their values do.
REFUSED: Final[Mapping[str, Callable[[Any], bool]]] = {
    "n": lambda value: value != 1,
    "tools": bool,
    "tool_choice": lambda value: value not in ("none", "auto"),
    "functions": bool,
    "function_call": lambda value: value != "none",
    "reasoning_effort": lambda value: value != "none",
    "logprobs": bool,
    "top_logprobs": bool,
    "logit_bias": bool,
    "audio": bool,
    "modalities": lambda value: value != ["text"],
    "web_search_options": lambda _value: True,
}
_OURS: Final = (
    frozenset(
        {"model", "messages", "stream", "max_tokens", "max_completion_tokens", "stop", "response_format",
         "parallel_tool_calls", "service_tier", "verbosity", "metadata"}
    )
    | _RENAMED.keys() | LEFT_OUT.keys() | REFUSED.keys()
)  # fmt: skip
_ROLES: Final = {"user": "USER", "assistant": "CHATBOT"}


def _text(message: Message, provider: str) -> str:
    if message.role == "tool" or message.said.get("tool_calls"):
        raise Unsupported(f"{provider} does not support tools with this model.", path=message.path)
    texts: list[str] = []
    for part in read_parts(message.said, message.path):
        if part.kind not in {"text", "refusal"}:
            raise Unsupported(
                f"{provider} does not support content of the type {part.kind} with this model.", path=part.path
            )
        texts.append(text_of(part))
    return "\n".join(texts)


def _format(body: Json) -> Json | None:
    kind, held = read_format(body)
    if kind == "text":
        return None
    return {"type": "JSON_OBJECT", **({"schema": held["schema"]} if held else {})}


def encode_cohere(body: Json, facts: CallFacts, *, provider: str) -> Json:
    """Return the request of an OpenAI chat body; raises BadRequest and Unsupported with the path at fault."""
    refuse_what_matters(body, provider, REFUSED)
    request: Json = {name: value for name, value in body.items() if name not in _OURS}
    request["apiFormat"] = "COHERE"
    said = [(message.role, _text(message, provider)) for message in read_messages(body)]
    turns = [(role, text) for role, text in said if role != "system"]
    if not turns or turns[-1][0] != "user" or not turns[-1][1]:
        raise wrong("messages", f"must end with a question for {provider}.")
    request["message"] = turns[-1][1]
    put_if(request, "chatHistory", [{"role": _ROLES[role], "message": text} for role, text in turns[:-1]])
    put_if(request, "preambleOverride", "\n\n".join(text for role, text in said if role == "system" and text) or None)
    for name, theirs in _RENAMED.items():
        put_if(request, theirs, body.get(name))
    put_if(request, "maxTokens", max_tokens_of(body))
    put_if(request, "stopSequences", stop_of(body))
    put_if(request, "responseFormat", _format(body))
    if facts.stream:
        request["isStream"] = True
        request["streamOptions"] = {"isIncludeUsage": True}
    return {**placed(facts, provider), "chatRequest": request}
