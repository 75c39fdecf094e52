"""An OpenAI chat request as a request to Anthropic's Messages API.

Three tables decide about OpenAI's parameters: translated, left out because the answer means the same without, refused
because it would not.  A parameter in none of them is Anthropic's own, or new, and passes through.
Source: https://docs.anthropic.com/en/api/messages, https://platform.openai.com/docs/api-reference/chat/create
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from data_plane.core.types import CallFacts, Json
from data_plane.providers._anthropic_messages import calls_without_thinking, shortest_system, split_messages
from data_plane.providers._anthropic_tools import encode_choice, encode_tools, is_forced
from shared.errors import BadRequest, Unsupported

#: Anthropic demands a limit and OpenAI does not.  4096 is all that the first Claude 3 models can write; every later
#: model can write 8192.
DEFAULT_MAX_TOKENS: Final = 8192
OLD_MAX_TOKENS: Final = 4096
_OLD_MODELS: Final = re.compile(r"claude-(?:instant|2|3-(?:opus|sonnet|haiku))")
#: Models that refuse a thinking budget and take an effort in its place: Opus 4.7 and later, and generation 5 on.
_BY_EFFORT: Final = re.compile(r"claude-(?:mythos|[a-z]+-(?:4-[789](?!\d)|[5-9](?!\d)|\d\d(?!\d)))")
#: Thinking tokens for each effort.  Source: the wire contract's table for the Responses adapter.
BUDGETS: Final[Mapping[str, int]] = {
    "minimal": 1024, "low": 1024, "medium": 8192, "high": 16384, "xhigh": 32768, "max": 32768,
}  # fmt: skip
_EFFORTS: Final[Mapping[str, str]] = {"minimal": "low"}

_TRANSLATED: Final = frozenset(
    {"model", "messages", "system", "stream", "max_tokens", "max_completion_tokens", "stop", "tools", "tool_choice",
     "parallel_tool_calls", "user", "safety_identifier", "metadata", "reasoning_effort", "thinking", "response_format",
     "output_config", "service_tier"}
)  # fmt: skip

#: OpenAI's parameters that are left out, each with the reason why the answer means the same without.
LEFT_OUT: Final[Mapping[str, str]] = {
    "seed": "best effort at OpenAI too; Anthropic has nothing like it",
    "store": "about what OpenAI keeps, not about the answer",
    "stream_options": "Anthropic always counts; the decoder knows whether the caller wants to see it",
    "prompt_cache_key": "a hint to OpenAI's cache; Anthropic's is steered by cache_control",
    "prompt_cache_retention": "a hint to OpenAI's cache",
    "prompt_cache_options": "a hint to OpenAI's cache",
    "prediction": "makes the same answer come faster",
    "verbosity": "a hint of style",
}


def _is_set(value: Any) -> bool:
    return bool(value)


#: OpenAI's parameters that change what the answer is, and which of their values do.
REFUSED: Final[Mapping[str, Callable[[Any], bool]]] = {
    "n": lambda value: value != 1,
    "logprobs": _is_set,
    "top_logprobs": _is_set,
    "logit_bias": _is_set,
    "presence_penalty": _is_set,
    "frequency_penalty": _is_set,
    "audio": _is_set,
    "modalities": lambda value: value != ["text"],
    "functions": _is_set,
    "function_call": lambda value: value != "none",
    "web_search_options": lambda _value: True,
    "moderation": _is_set,
}

#: What does not pass through as it is.
_TAKEN: Final = _TRANSLATED | LEFT_OUT.keys() | REFUSED.keys()

#: OpenAI's tiers by what they promise: `default` never uses capacity that was paid for in advance.
_TIERS: Final[Mapping[str, str]] = {
    "auto": "auto", "priority": "auto", "scale": "auto", "fast": "auto",
    "default": "standard_only", "flex": "standard_only", "standard_only": "standard_only",
}  # fmt: skip


def _refuse(body: Json, provider: str) -> None:
    for name, matters in REFUSED.items():
        value = body.get(name)
        if value is not None and matters(value):
            raise Unsupported(f"{provider} does not support the parameter {name}.", path=name)


def _max_tokens(body: Json, model: str) -> Any:
    for name in ("max_completion_tokens", "max_tokens"):
        if body.get(name) is not None:
            return body[name]
    return OLD_MAX_TOKENS if _OLD_MODELS.match(model) else DEFAULT_MAX_TOKENS


def _system(body: Json, blocks: list[Json]) -> str | list[Json] | None:
    """Return the system prompt: Anthropic's own parameter first, then the messages."""
    own = body.get("system")
    if isinstance(own, str):
        blocks = [{"type": "text", "text": own}, *blocks] if own.strip() else blocks
    elif isinstance(own, list) and all(isinstance(block, dict) for block in own):
        blocks = [*own, *blocks]
    elif own is not None:
        raise BadRequest("system must be a string or a list of blocks.", path="system")
    return shortest_system(blocks) if blocks else None


def _metadata(body: Json) -> Json | None:
    """Return who the end user is: all that Anthropic's metadata can hold; OpenAI's other keys are about its storage."""
    given = body.get("metadata")
    known = given.get("user_id") if isinstance(given, dict) else None
    user = known or body.get("user") or body.get("safety_identifier")
    return {"user_id": user} if isinstance(user, str) else None


def _stop(body: Json) -> list[Any] | None:
    stop = body.get("stop")
    if stop is None or stop == []:
        return None
    return stop if isinstance(stop, list) else [stop]


def _output_config(body: Json, provider: str) -> Json | None:
    config, output = body.get("output_config"), _output_format(body, provider)
    if config is not None and not isinstance(config, dict):
        raise BadRequest("output_config must be an object.", path="output_config")
    return config if output is None else {**(config or {}), "format": output}


def _output_format(body: Json, provider: str) -> Json | None:
    wanted = body.get("response_format")
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if wanted is None or kind == "text":
        return None
    if kind == "json_object":
        raise Unsupported(
            f"{provider} does not support response_format json_object; give a schema with json_schema.",
            path="response_format",
        )
    inner = wanted.get("json_schema") if kind == "json_schema" and isinstance(wanted, dict) else None
    if not isinstance(inner, dict) or not isinstance(inner.get("schema"), dict):
        raise BadRequest("response_format.json_schema.schema must be a schema.", path="response_format")
    return {"type": "json_schema", "schema": inner["schema"]}


def _put_effort(request: Json, body: Json) -> None:
    """Turn `reasoning_effort` into thinking, unless the caller says itself how to think."""
    effort = body.get("reasoning_effort")
    if effort is None or effort == "none":
        return
    if not isinstance(effort, str) or effort not in BUDGETS:
        raise BadRequest(f"reasoning_effort must be none or one of {', '.join(BUDGETS)}.", path="reasoning_effort")
    if _BY_EFFORT.match(request["model"]):
        request["thinking"] = {"type": "adaptive"}
        request["output_config"] = {"effort": _EFFORTS.get(effort, effort), **request.get("output_config", {})}
    # A budget cannot stand beside a forced call, nor behind a call whose thinking was not sent back.
    elif not is_forced(request.get("tool_choice")) and not calls_without_thinking(request["messages"]):
        request["thinking"] = {"type": "enabled", "budget_tokens": BUDGETS[effort]}


def _make_room(request: Json) -> None:
    """Raise `max_tokens` above the thinking budget: at Anthropic it bounds both, for the caller the answer."""
    thinking = request.get("thinking")
    budget = thinking.get("budget_tokens") if isinstance(thinking, dict) else None
    limit = request["max_tokens"]
    if type(budget) is int and type(limit) is int and limit <= budget:
        request["max_tokens"] = budget + max(limit, 1)


def _put_if(request: Json, name: str, value: Any) -> None:
    if value is not None:
        request[name] = value


def encode_request(body: Json, facts: CallFacts, *, provider: str) -> Json:
    """Return the Messages request of an OpenAI chat body; raises BadRequest and Unsupported with the path at fault."""
    _refuse(body, provider)
    request: Json = {name: value for name, value in body.items() if name not in _TAKEN}
    system, turns = split_messages(body.get("messages"), provider)
    tools = encode_tools(body, provider)
    tier = body.get("service_tier")
    request |= {"model": facts.model, "max_tokens": _max_tokens(body, facts.model), "messages": turns}
    _put_if(request, "system", _system(body, system))
    _put_if(request, "tools", tools or None)
    _put_if(request, "tool_choice", encode_choice(body, provider, has_tools=bool(tools)))
    _put_if(request, "stop_sequences", _stop(body))
    _put_if(request, "metadata", _metadata(body))
    _put_if(request, "service_tier", _TIERS.get(tier) if isinstance(tier, str) else None)
    _put_if(request, "stream", True if facts.stream else None)
    _put_if(request, "output_config", _output_config(body, provider))
    if body.get("thinking") is not None:
        request["thinking"] = body["thinking"]
    else:
        _put_effort(request, body)
    _make_room(request)
    return request
