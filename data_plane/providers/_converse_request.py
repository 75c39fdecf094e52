"""An OpenAI chat request as a request to Bedrock's Converse API.

Converse names the parameters that all models share; whatever else a caller sends is the model's own and goes into
`additionalModelRequestFields`, where Bedrock hands it on.
Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from data_plane.core.types import CallFacts, Json
from data_plane.providers._anthropic_request import BUDGETS
from data_plane.providers._converse_messages import calls_without_thinking, speak_of_tools, split_messages
from data_plane.providers._converse_parts import cache_point
from data_plane.providers._openai_request import (
    max_tokens_of,
    put_if,
    read_choice,
    read_effort,
    read_format,
    read_function,
    read_tools,
    refuse_what_matters,
    stop_of,
    wrong,
)
from shared.errors import BadRequest, Unsupported

#: Claude among the models, wherever it is called from, and those of them that take an effort and refuse a budget.
_CLAUDE: Final = re.compile(r"(?:^|[./])anthropic\.claude")
_BY_EFFORT: Final = re.compile(r"anthropic\.claude-(?:mythos|[a-z]+-(?:4-[789](?!\d)|[5-9](?!\d)|\d\d(?!\d)))")
_NOVA: Final = re.compile(r"(?:^|[./])amazon\.nova")
_GPT: Final = re.compile(r"(?:^|[./])openai\.gpt")
#: The least effort that each takes.
_EFFORTS: Final[Mapping[str, str]] = {"minimal": "low"}
_NOVA_EFFORTS: Final[Mapping[str, str]] = {"minimal": "low", "xhigh": "high", "max": "high"}

_TRANSLATED: Final = frozenset(
    {"model", "messages", "stream", "max_tokens", "max_completion_tokens", "temperature", "top_p", "stop", "tools",
     "tool_choice", "parallel_tool_calls", "reasoning_effort", "response_format", "service_tier"}
)  # fmt: skip
#: Converse's own parameters, by the names that callers may give them.
_NATIVE: Final[Mapping[str, str]] = {
    "guardrailConfig": "guardrailConfig", "guardrail_config": "guardrailConfig",
    "additionalModelResponseFieldPaths": "additionalModelResponseFieldPaths",
    "additional_model_response_field_paths": "additionalModelResponseFieldPaths",
    "performanceConfig": "performanceConfig", "performance_config": "performanceConfig",
    "promptVariables": "promptVariables", "requestMetadata": "requestMetadata", "serviceTier": "serviceTier",
    "outputConfig": "outputConfig",
}  # fmt: skip
_ADDITIONAL: Final = ("additionalModelRequestFields", "additional_model_request_fields")

#: OpenAI's parameters that are left out, each with the reason why the answer means the same without.
LEFT_OUT: Final[Mapping[str, str]] = {
    "seed": "best effort at OpenAI too; Converse has nothing like it",
    "user": "about who asks, not about the answer",
    "safety_identifier": "about who asks, not about the answer",
    "metadata": "about what OpenAI keeps; Bedrock's own is requestMetadata",
    "store": "about what OpenAI keeps",
    "stream_options": "Bedrock always counts; the decoder knows whether the caller wants to see it",
    "prompt_cache_key": "a hint to OpenAI's cache; Bedrock's is steered by cache_control",
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
    "audio": _is_set,
    "modalities": lambda value: value != ["text"],
    "functions": _is_set,
    "function_call": lambda value: value != "none",
    "web_search_options": lambda _value: True,
    "moderation": _is_set,
}
#: Parameters that some models have under the same name, and that mean nothing when they are not set.
_IDLE: Final = frozenset({"presence_penalty", "frequency_penalty", "logit_bias"})
_OURS: Final = (
    _TRANSLATED | _NATIVE.keys() | LEFT_OUT.keys() | REFUSED.keys() | frozenset({*_ADDITIONAL, "inferenceConfig"})
)
#: OpenAI's tiers that Bedrock has; the others say no more than that Bedrock may choose.
_TIERS: Final = frozenset({"default", "flex", "priority", "reserved"})


def _object(body: Json, name: str) -> Json:
    """Return a copy of the object in `name`, {} when it is absent; raises BadRequest."""
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise wrong(name, "must be an object.")
    return dict(value)


def _inference(body: Json) -> Json:
    config = _object(body, "inferenceConfig")
    put_if(config, "maxTokens", max_tokens_of(body))
    put_if(config, "temperature", body.get("temperature"))
    put_if(config, "topP", body.get("top_p"))
    put_if(config, "stopSequences", stop_of(body))
    return config


def _additional(body: Json) -> Json:
    """Return what is the model's own: what the caller puts there, and every parameter that Converse does not know."""
    fields: Json = {}
    for name in _ADDITIONAL:
        fields |= _object(body, name)
    for name, value in body.items():
        if name not in _OURS and (value or name not in _IDLE):
            fields[name] = value
    return fields


def _tools(body: Json, provider: str) -> list[Json]:
    tools: list[Json] = []
    for path, tool in read_tools(body):
        if "type" not in tool and "function" not in tool:
            tools.append(tool)
            continue
        function = read_function(tool, path, provider)
        spec: Json = {"name": function.name, "inputSchema": {"json": function.parameters}}
        put_if(spec, "description", function.description)
        put_if(spec, "strict", function.strict)
        tools.append({"toolSpec": spec})
        tools += cache_point(tool) or cache_point(tool["function"])
    return tools


def _put_tools(request: Json, fields: Json, body: Json, model: str, provider: str) -> None:
    kind, name = read_choice(body, provider)
    tools = _tools(body, provider)
    if not tools:
        return
    if kind == "none":
        # Converse has no word for it; without tools none is called, but calls of earlier turns need them.
        if speak_of_tools(request["messages"]):
            raise Unsupported(
                f"{provider} does not support tool_choice none behind calls of tools.", path="tool_choice"
            )
        return
    choice: Json = {"auto": {}} if kind == "auto" else {"any": {}} if kind == "required" else {"tool": {"name": name}}
    config: Json = {"tools": tools}
    if body.get("parallel_tool_calls") is False:
        if not _CLAUDE.search(model):
            raise Unsupported(f"{provider} can forbid parallel_tool_calls to Claude only.", path="parallel_tool_calls")
        word = {"auto": "auto", "required": "any"}.get(kind, "tool")
        fields["tool_choice"] = {"type": word, "disable_parallel_tool_use": True, **({"name": name} if name else {})}
    elif kind != "auto" or body.get("tool_choice") is not None:
        config["toolChoice"] = choice
    request["toolConfig"] = config


def _put_format(request: Json, body: Json, provider: str) -> None:
    kind, held = read_format(body)
    if kind == "text":
        return
    if kind == "json_object":
        raise Unsupported(
            f"{provider} does not support response_format json_object; give a schema with json_schema.",
            path="response_format",
        )
    schema: Json = {"schema": orjson.dumps(held["schema"]).decode()}
    for name in ("name", "description"):
        if isinstance(held.get(name), str):
            schema[name] = held[name]
    output = _object(request, "outputConfig")
    output["textFormat"] = {"type": "json_schema", "structure": {"jsonSchema": schema}}
    request["outputConfig"] = output


def _put_effort(request: Json, fields: Json, body: Json, model: str) -> None:
    """Say how much to think in the words of the model's family, unless the caller does so itself."""
    effort = read_effort(body, BUDGETS)
    if effort is None or effort == "none" or "thinking" in fields or "reasoningConfig" in fields:
        return
    if _GPT.search(model):
        fields["reasoning_effort"] = effort
    elif _NOVA.search(model):
        fields["reasoningConfig"] = {"type": "enabled", "maxReasoningEffort": _NOVA_EFFORTS.get(effort, effort)}
    elif _CLAUDE.search(model) and not _BY_EFFORT.search(model):
        _put_budget(request, fields, BUDGETS[effort])
    else:
        if _CLAUDE.search(model):
            fields["thinking"] = {"type": "adaptive"}
        request["outputConfig"] = {"effort": _EFFORTS.get(effort, effort), **_object(request, "outputConfig")}


def _put_budget(request: Json, fields: Json, budget: int) -> None:
    """Let Claude think; a budget cannot stand beside a forced call, nor behind a call whose thinking was not kept."""
    choice = request.get("toolConfig", {}).get("toolChoice", {"auto": {}})
    forced = fields.get("tool_choice", {}).get("type") in {"any", "tool"}
    if "auto" in choice and not forced and not calls_without_thinking(request["messages"]):
        fields["thinking"] = {"type": "enabled", "budget_tokens": budget}


def _make_room(config: Json, fields: Json) -> None:
    """Raise the limit above the thinking budget: for the model it bounds both, for the caller the answer."""
    thinking = fields.get("thinking")
    budget = thinking.get("budget_tokens") if isinstance(thinking, dict) else None
    limit = config.get("maxTokens")
    if type(budget) is int and type(limit) is int and limit <= budget:
        config["maxTokens"] = budget + max(limit, 1)


def _check_tier(body: Json) -> Json | None:
    tier = body.get("service_tier")
    return {"type": tier} if isinstance(tier, str) and tier in _TIERS else None


def encode_request(body: Json, facts: CallFacts, *, provider: str) -> Json:
    """Return the Converse request of an OpenAI chat body; raises BadRequest and Unsupported with the path at fault."""
    refuse_what_matters(body, provider, REFUSED)
    system, turns = split_messages(body, provider)
    request: Json = {"messages": turns}
    put_if(request, "system", system)
    for name, native in _NATIVE.items():
        put_if(request, native, body.get(name))
    put_if(request, "serviceTier", _check_tier(body))
    fields = _additional(body)
    if not isinstance(fields.get("tool_choice", {}), dict):
        raise BadRequest("additionalModelRequestFields.tool_choice must be an object.", path=_ADDITIONAL[0])
    _put_tools(request, fields, body, facts.model, provider)
    _put_format(request, body, provider)
    _put_effort(request, fields, body, facts.model)
    config = _inference(body)
    _make_room(config, fields)
    put_if(request, "inferenceConfig", config)
    put_if(request, "additionalModelRequestFields", fields)
    return request
