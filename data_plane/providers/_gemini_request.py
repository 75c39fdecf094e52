"""An OpenAI chat request as a request to Gemini's `generateContent`.

Three tables decide about OpenAI's parameters: translated, left out because the answer means the same without, refused
because it would not.  What Gemini itself calls a parameter of generation is put among those; a parameter in no table is
another of Gemini's own, or new, and passes through.
Source: https://ai.google.dev/api/generate-content, https://ai.google.dev/gemini-api/docs/thinking,
https://platform.openai.com/docs/api-reference/chat/create
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from data_plane.core.types import CallFacts, Json
from data_plane.providers._gemini_messages import GENERATION_3, split_messages
from data_plane.providers._gemini_schema import gemini_schema
from data_plane.providers._gemini_tools import encode_choice, encode_tools
from data_plane.providers._openai_request import (
    max_tokens_of,
    put_if,
    read_effort,
    read_format,
    refuse_what_matters,
    stop_of,
)
from shared.errors import BadRequest, Unsupported

#: Thinking tokens for each effort.  Source: the wire contract's table for the Responses adapter.
BUDGETS: Final[Mapping[str, int]] = {
    "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 24576, "max": 24576,
}  # fmt: skip
#: The models of generation 3 take a level in the place of a budget, and do not stop thinking.
_LEVELS: Final[Mapping[str, str]] = {
    "none": "low", "minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high",
}  # fmt: skip
_LEAST: Final = ("none", "minimal")
#: The models that have a level below `low`.
_MINIMAL: Final = re.compile(r"gemini-3(?:\.[0-5])?-flash")
#: The least that 2.5 Pro can think, which refuses not to.
_PRO_2: Final = re.compile(r"gemini-2\.5-pro")
PRO_2_LEAST: Final = 128

#: Parameters of generation by OpenAI's name, or by the one that many hosts have for them.
_GENERATION: Final[Mapping[str, str]] = {
    "temperature": "temperature", "top_p": "topP", "top_k": "topK", "n": "candidateCount", "seed": "seed",
    "presence_penalty": "presencePenalty", "frequency_penalty": "frequencyPenalty", "logprobs": "responseLogprobs",
    "top_logprobs": "logprobs",
}  # fmt: skip
#: Gemini's own parameters of generation that callers may write beside OpenAI's.
_OWN_GENERATION: Final = (
    "topP", "topK", "candidateCount", "maxOutputTokens", "stopSequences", "responseMimeType", "responseSchema",
    "responseJsonSchema", "responseModalities", "responseLogprobs", "presencePenalty", "frequencyPenalty",
    "speechConfig", "thinkingConfig", "mediaResolution", "imageConfig", "audioTimestamp", "routingConfig",
    "modelSelectionConfig", "enableEnhancedCivicAnswers",
)  # fmt: skip
_CAPITAL: Final = re.compile(r"[A-Z]")
_OWN_NAMES: Final[Mapping[str, str]] = {
    form: name for name in _OWN_GENERATION for form in (name, _CAPITAL.sub(lambda found: f"_{found[0].lower()}", name))
}
_CONFIGS: Final = ("generationConfig", "generation_config")
_SYSTEMS: Final = ("systemInstruction", "system_instruction")

_TRANSLATED: Final = frozenset(
    {"model", "messages", "stream", "max_tokens", "max_completion_tokens", "stop", "tools", "tool_choice",
     "web_search_options", "reasoning_effort", "thinking", "response_format", "modalities", "service_tier",
     *_CONFIGS, *_SYSTEMS, *_GENERATION, *_OWN_NAMES}
)  # fmt: skip

#: OpenAI's parameters that are left out, each with the reason why the answer means the same without.
LEFT_OUT: Final[Mapping[str, str]] = {
    "user": "says who asks; Gemini has no place for it",
    "safety_identifier": "says who asks",
    "metadata": "about what OpenAI keeps, not about the answer",
    "store": "about what OpenAI keeps",
    "stream_options": "Gemini always counts; the decoder knows whether the caller wants to see it",
    "parallel_tool_calls": "a wish: several calls come as a list either way, and Gemini cannot be told to make one",
    "prompt_cache_key": "a hint to OpenAI's cache; Gemini's is implicit, or named by cached_content",
    "prompt_cache_retention": "a hint to OpenAI's cache",
    "prompt_cache_options": "a hint to OpenAI's cache",
    "prediction": "makes the same answer come faster",
    "verbosity": "a hint of style",
}


def _is_set(value: Any) -> bool:
    return bool(value)


#: OpenAI's parameters that change what the answer is, and which of their values do.
REFUSED: Final[Mapping[str, Callable[[Any], bool]]] = {
    "logit_bias": _is_set,
    "audio": _is_set,
    "functions": _is_set,
    "function_call": lambda value: value != "none",
    "moderation": _is_set,
}
_TAKEN: Final = _TRANSLATED | LEFT_OUT.keys() | REFUSED.keys()
#: OpenAI's tiers that the Gemini API sells too; all others are its default.
_TIERS: Final = ("flex", "priority")


def _object(body: Json, names: tuple[str, ...]) -> Json:
    """Return the first of an object's names that the body has; {} when it has none."""
    for name in names:
        value = body.get(name)
        if value is not None:
            if not isinstance(value, dict):
                raise BadRequest(f"{name} must be an object.", path=name)
            return value
    return {}


def _put_format(config: Json, body: Json) -> None:
    kind, held = read_format(body)
    if kind == "text":
        return
    config["responseMimeType"] = "application/json"
    if kind == "json_schema":
        schema = gemini_schema(held["schema"], ordered=True)
        config |= {"responseJsonSchema": held["schema"]} if schema is None else {"responseSchema": schema}


def _put_modalities(config: Json, body: Json, facts: CallFacts, provider: str) -> None:
    wanted = body.get("modalities")
    if wanted is None or wanted == ["text"]:
        return
    if not isinstance(wanted, list) or not all(one in ("text", "image") for one in wanted):
        raise Unsupported(f"{provider} answers with the modalities text and image only.", path="modalities")
    if facts.strict:
        raise Unsupported(
            "OpenAI's answers have no place for images: with x-portkey-strict-open-ai-compliance: false they stand in"
            " content_blocks.",
            path="modalities",
        )
    config["responseModalities"] = [one.upper() for one in wanted]


def _effort(effort: str, model: str) -> Json:
    """Return how much to think for OpenAI's word for it."""
    if GENERATION_3.match(model):
        return {"thinkingLevel": "minimal" if effort in _LEAST and _MINIMAL.match(model) else _LEVELS[effort]}
    if effort == "none":
        return {"thinkingBudget": PRO_2_LEAST if _PRO_2.match(model) else 0}
    return {"thinkingBudget": BUDGETS[effort]}


def _budget(tokens: int, model: str) -> Json:
    """Return how much to think for a number of tokens, which the models of generation 3 and later do not take."""
    if not GENERATION_3.match(model):
        return {"thinkingBudget": tokens}
    return _effort(next((effort for effort in ("low", "medium") if tokens <= BUDGETS[effort]), "high"), model)


def _thinking(body: Json, facts: CallFacts) -> Json | None:
    """Return how to think: by `thinking` with its budget, else by `reasoning_effort`; None to leave it to the model."""
    own, effort = body.get("thinking"), read_effort(body, BUDGETS)
    if own is None:
        if effort is None:
            return None
        # What it thinks has no place in OpenAI's answers, and is asked for only where it can be shown.
        shown = {} if facts.strict or effort == "none" else {"includeThoughts": True}
        return {**_effort(effort, facts.model), **shown}
    kind = own.get("type") if isinstance(own, dict) else None
    if kind == "disabled":
        return _effort("none", facts.model)
    if not isinstance(own, dict) or kind not in ("enabled", "adaptive"):
        raise BadRequest("thinking.type must be enabled, adaptive or disabled.", path="thinking")
    budget = own.get("budget_tokens")
    amount: Json = {}
    if type(budget) is int:
        amount = _budget(budget, facts.model)
    elif effort is not None:
        amount = _effort(effort, facts.model)
    return {**amount, "includeThoughts": True}


def _generation(body: Json, facts: CallFacts, provider: str) -> Json:
    """Return `generationConfig`: what the caller wrote in Gemini's words, and over it what OpenAI's words mean."""
    config: Json = {_OWN_NAMES.get(name, name): value for name, value in _object(body, _CONFIGS).items()}
    for table in (_OWN_NAMES, _GENERATION):
        for name in body:
            if name in table:
                put_if(config, table[name], body[name])
    if config.get("candidateCount") == 1:
        del config["candidateCount"]
    put_if(config, "maxOutputTokens", max_tokens_of(body))
    put_if(config, "stopSequences", stop_of(body))
    _put_format(config, body)
    _put_modalities(config, body, facts, provider)
    if "thinkingConfig" not in config:
        put_if(config, "thinkingConfig", _thinking(body, facts))
    return config


def _system(body: Json, parts: list[Json]) -> Json | None:
    """Return the system prompt: Gemini's own parameter first, then the messages."""
    own = _object(body, _SYSTEMS)
    if own and parts:
        given = own.get("parts")
        if not isinstance(given, list):
            raise BadRequest("systemInstruction.parts must be a list.", path="systemInstruction")
        return {**own, "parts": [*given, *parts]}
    return own or ({"parts": parts} if parts else None)


def encode_request(body: Json, facts: CallFacts, *, provider: str, tiers: bool = False) -> Json:
    """Return the `generateContent` request of an OpenAI chat body.

    `tiers`: the provider takes `serviceTier`.  Raises BadRequest and Unsupported with the path at fault.
    """
    refuse_what_matters(body, provider, REFUSED)
    # The name may come with its collection; which model it is says its last step.
    if "/" in facts.model:
        facts = replace(facts, model=facts.model.rpartition("/")[2])
    request: Json = {name: value for name, value in body.items() if name not in _TAKEN}
    system, request["contents"] = split_messages(body, facts.model, provider)
    put_if(request, "systemInstruction", _system(body, system))
    put_if(request, "tools", encode_tools(body, provider))
    put_if(request, "toolConfig", encode_choice(body, provider))
    put_if(request, "generationConfig", _generation(body, facts, provider))
    if tiers and body.get("service_tier") in _TIERS:
        request["serviceTier"] = body["service_tier"]
    return request
