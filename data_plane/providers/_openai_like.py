"""OpenAI's chat shape: what nearly every provider speaks, or says that it does.

Parameters pass through unread, so that a model's new parameter works on the day it appears.  Streams pass through
byte for byte; they are read only for what the gateway must know: tokens, model, end and errors.
Source: https://platform.openai.com/docs/api-reference/chat
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

import msgspec
import orjson

from data_plane.core.types import NO_USAGE, CallFacts, Json, Usage
from data_plane.providers.base import Operation, ProviderFault
from shared.errors import UpstreamBroken, UpstreamInvalid
from shared.logs import scrub
from shared.pricing import MOST_TOKENS, tier_named
from shared.redact import Secret

#: As much of a provider's sentence as a caller is shown.
MAX_SENTENCE_CHARS: Final = 2000
DONE: Final = b"[DONE]"
_USAGE_NULL: Final = b',"usage":null'
_WORDS: Final = (("prompt_tokens", "completion_tokens"), ("input_tokens", "output_tokens"))
_NOTHING: Final[Mapping[str, Any]] = {}


def bearer(secret: Secret, headers: dict[str, str]) -> None:
    """Write `secret` into `headers` as a bearer token."""
    headers["authorization"] = f"Bearer {secret.reveal()}"


def key_in(header: str) -> Callable[[Secret, dict[str, str]], None]:
    """Return what writes a credential into `header`, as it is."""

    def authorise(secret: Secret, headers: dict[str, str]) -> None:
        headers[header] = secret.reveal()

    return authorise


def count(value: object) -> int:
    """Return a provider's number of tokens; 0 for anything that is not a positive whole number, or beyond belief."""
    return value if type(value) is int and 0 < value <= MOST_TOKENS else 0


def _beyond_belief(value: object) -> bool:
    return type(value) is int and not 0 <= value <= MOST_TOKENS


def mapping(value: object) -> Mapping[str, Any]:
    """Return `value` when it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else _NOTHING


def read_usage(usage: object, tier: object = None) -> Usage:
    """Return the tokens of OpenAI's `usage` object; `NO_USAGE` when it counts nothing, or what cannot be.

    Parts are never more than their total, whatever the provider says: costs are computed from the differences.  `tier`
    is what the answer says of its service tier.
    """
    told = mapping(usage)
    # Newer endpoints (images, responses) count in other words than chats do.
    for asked, given in _WORDS:
        if type(told.get(asked)) is int or type(told.get(given)) is int:
            break
    else:
        return NO_USAGE
    told_in, told_out = told.get(asked), told.get(given)
    if _beyond_belief(told_in) or _beyond_belief(told_out):
        return NO_USAGE
    tokens_in, tokens_out = count(told_in), count(told_out)
    of_input, of_output = mapping(told.get(f"{asked}_details")), mapping(told.get(f"{given}_details"))
    # DeepSeek counts cached tokens under a name of its own, Moonshot beside the details.
    cached = of_input.get("cached_tokens") or told.get("prompt_cache_hit_tokens") or told.get("cached_tokens")
    cache_read = min(count(cached), tokens_in)
    cache_write = count(told.get("cache_creation_input_tokens")) or count(of_input.get("cache_write_tokens"))
    cache_write = min(cache_write, tokens_in - cache_read)
    cached_audio = min(count(mapping(of_input.get("cached_tokens_details")).get("audio_tokens")), cache_read)
    written = mapping(told.get("cache_creation"))
    return Usage(
        input=tokens_in,
        output=tokens_out,
        cache_read=cache_read,
        cache_write=cache_write,
        reasoning=min(count(of_output.get("reasoning_tokens")), tokens_out),
        # Sound that was cached costs what is cached, and must not be counted as both.
        audio_input=min(max(0, count(of_input.get("audio_tokens")) - cached_audio), tokens_in),
        audio_output=min(count(of_output.get("audio_tokens")), tokens_out),
        cache_write_1h=min(count(written.get("ephemeral_1h_input_tokens")), cache_write),
        cache_read_audio=cached_audio,
        image_input=min(count(of_input.get("image_tokens")), tokens_in),
        image_output=min(count(of_output.get("image_tokens")), tokens_out),
        web_searches=count(mapping(told.get("server_tool_use")).get("web_search_requests")),
        tier=tier_named(tier),
    )


def usage_of(answer: Json) -> Usage:
    """Return the tokens of a decoded chat completion."""
    return read_usage(answer.get("usage"), answer.get("service_tier"))


def further_details(usage: Usage) -> tuple[Json, Json]:
    """Return what OpenAI's details of the input and the output say of sound and pictures; empty for a text."""
    heard = usage.audio_input + usage.cache_read_audio
    told_in = {"audio_tokens": heard, "image_tokens": usage.image_input}
    told_out = {"audio_tokens": usage.audio_output, "image_tokens": usage.image_output}
    of_input: Json = {name: number for name, number in told_in.items() if number}
    if usage.cache_read_audio:
        of_input["cached_tokens_details"] = {"audio_tokens": usage.cache_read_audio}
    return of_input, {name: number for name, number in told_out.items() if number}


def further_counts(usage: Usage) -> Json:
    """Return what else of a usage has a price of its own, in Anthropic's words; empty for a usual chat."""
    told: Json = {}
    if usage.cache_write_1h:
        shorter = usage.cache_write - usage.cache_write_1h
        told["cache_creation"] = {
            "ephemeral_5m_input_tokens": shorter, "ephemeral_1h_input_tokens": usage.cache_write_1h,
        }  # fmt: skip
    if usage.web_searches:
        told["server_tool_use"] = {"web_search_requests": usage.web_searches}
    return told


def _sentence(value: object) -> str:
    """Return an error's text: a string, or what a list of validation errors or another structure says."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        found = [item.get("msg") if isinstance(item, dict) else item for item in value]
        texts = [text for text in found if isinstance(text, str)]
        return "; ".join(texts) or _written(value)
    return "" if value is None else _written(value)


def _written(value: object) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        # JSON knows larger numbers and deeper nesting than its writer does.
        return str(value)


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None


def read_fault(status: int, body: Json | None) -> ProviderFault:
    """Return the error of a provider's body, in any of the shapes that hosts of OpenAI's API use."""
    told = mapping(body)
    error = told.get("error")
    inner = error if isinstance(error, dict) else told
    message = "" if isinstance(error, dict) else _sentence(error)
    message = message or _sentence(inner.get("message")) or _sentence(inner.get("detail"))
    code = inner.get("code")
    return ProviderFault(
        message=message or f"status {status}, without an explanation",
        type=_text_or_none(inner.get("type")),
        param=_text_or_none(inner.get("param")),
        code=code if isinstance(code, (str, int)) and not isinstance(code, bool) else None,
    )


def told_error(provider: str, error: Json) -> str:
    """Return the sentence that a caller is told about an error that came inside an answer, without secrets."""
    return f"{provider} error: {scrub(read_fault(200, error).message)[:MAX_SENTENCE_CHARS]}"


class _Choice(msgspec.Struct):
    index: int | None = None
    finish_reason: Any = None


class _Chunk(msgspec.Struct):
    """The few fields of a chunk that are read; the rest is skipped without building objects."""

    choices: list[_Choice] | None = None
    model: Any = None
    service_tier: Any = None
    usage: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()


_CHUNK: Final = msgspec.json.Decoder(_Chunk)
_NULL: Final = msgspec.Raw(b"null")


class ChunkDecoder:
    """Passes OpenAI chunks on, and notes tokens, model and end.

    `hides_usage` takes out what the caller did not ask for: the chunk that holds the tokens only, and the
    `"usage": null` that OpenAI then writes into every other chunk.
    """

    def __init__(self, provider: str, *, hides_usage: bool) -> None:
        self.usage: Usage | None = None
        self.model: str | None = None
        self.finished = False
        self._tier: object = None
        self._provider = provider
        self._hides_usage = hides_usage
        self._open: set[int | None] = set()
        self._ended: set[int | None] = set()

    def feed(self, event: str, data: bytes) -> list[bytes]:
        """Return the chunk, as it came; see `StreamDecoder.feed`."""
        try:
            chunk = _CHUNK.decode(data)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return self._odd(event, data)
        if event == "error" or (chunk.error and chunk.error != _NULL):
            raise UpstreamBroken(told_error(self._provider, self._whole(data)))
        if self.model is None and isinstance(chunk.model, str):
            self.model = chunk.model
        if chunk.service_tier is not None:
            self._tier = chunk.service_tier
        for choice in chunk.choices or ():
            self._note(choice.index, choice.finish_reason)
        return self._with_usage(chunk, data) if chunk.usage else [data]

    def _note(self, index: int | None, finish: object) -> None:
        """Note that a choice goes on or has ended; some hosts send a last chunk behind the end of a choice."""
        if finish is not None:
            self._ended.add(index)
            self._open.discard(index)
        elif index not in self._ended:
            self._open.add(index)
        self.finished = not self._open

    def _with_usage(self, chunk: _Chunk, data: bytes) -> list[bytes]:
        if chunk.usage != _NULL:
            counted = read_usage(self._whole(data).get("usage"), self._tier)
            self.usage = self.usage if counted is NO_USAGE else counted
            return [] if self._hides_usage and not chunk.choices else [data]
        if not self._hides_usage:
            return [data]
        # With one `"usage"` in the whole chunk the cut cannot hit anything else: quotes inside strings are escaped.
        if data.count(b'"usage"') == 1 and _USAGE_NULL in data:
            return [data.replace(_USAGE_NULL, b"", 1)]
        whole = self._whole(data)
        del whole["usage"]
        return [orjson.dumps(whole)]

    def _odd(self, event: str, data: bytes) -> list[bytes]:
        """Deal with what is no chunk by its types: the end marker, an empty event, or a chunk with surprises in it."""
        text = data.strip()
        if text == DONE:
            self.finished = True
        if text in {DONE, b""}:
            return []
        whole = self._whole(text)
        if event == "error" or whole.get("error"):
            raise UpstreamBroken(told_error(self._provider, whole))
        choices = whole.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            self._note(None, mapping(choice).get("finish_reason"))
        counted = read_usage(whole.get("usage"), whole.get("service_tier") or self._tier)
        self.usage = self.usage if counted is NO_USAGE else counted
        return [text]

    def _whole(self, data: bytes) -> Json:
        try:
            whole = orjson.loads(data)
        except orjson.JSONDecodeError:
            whole = None
        if not isinstance(whole, dict):
            raise UpstreamBroken(f"{self._provider} sent a piece of the answer that cannot be understood.")
        return whole


def _encode(body: Json, facts: CallFacts, *, asks_usage: bool) -> Json:
    shaped = {**body, "model": facts.model}
    options = body.get("stream_options")
    # Asked for even when the caller declined: the tokens are what budgets are kept by.
    if asks_usage and facts.stream and (options is None or isinstance(options, dict)):
        shaped["stream_options"] = {**(options or {}), "include_usage": True}
    return shaped


def _decode(answer: Json, _facts: CallFacts, *, provider: str, holds: str) -> Json:
    if not isinstance(answer.get(holds), list):
        if answer.get("error"):
            raise UpstreamInvalid(told_error(provider, answer))
        raise UpstreamInvalid(f"Invalid response received from {provider}.")
    answer["provider"] = provider
    return answer


def chat(provider: str, *, path: str = "/chat/completions", asks_usage: bool = True) -> Operation:
    """Return the chat operation of `provider` (its id).

    `asks_usage=False` is for hosts that refuse `stream_options`: their streams are then relayed without a word.
    """

    def decoder(facts: CallFacts) -> ChunkDecoder:
        return ChunkDecoder(provider, hides_usage=asks_usage and not facts.include_usage)

    return Operation(
        path=path,
        encode=partial(_encode, asks_usage=asks_usage),
        decode=partial(_decode, provider=provider, holds="choices"),
        usage=usage_of,
        decoder=decoder,
        fault=read_fault,
        passes_through=True,
    )


def complete(provider: str) -> Operation:
    """Return the text completion operation of `provider`: its chunks are told apart by nothing the gateway reads."""
    return chat(provider, path="/completions")


def listing(provider: str, path: str, *, holds: str = "data") -> Operation:
    """Return an operation that answers with a list of things in the member `holds`: embeddings, ranks."""
    return Operation(
        path=path,
        encode=partial(_encode, asks_usage=False),
        decode=partial(_decode, provider=provider, holds=holds),
        usage=usage_of,
        decoder=lambda _facts: ChunkDecoder(provider, hides_usage=False),
        fault=read_fault,
        passes_through=True,
    )


def speech(provider: str) -> Operation:
    """Return the operation that answers a text with sound."""
    return replace(listing(provider, "/audio/speech"), binary=True, passes_through=False)
