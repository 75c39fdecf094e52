"""Converse's event stream as OpenAI chunks.

Blocks are numbered; tool calls are numbered among themselves in OpenAI's chunks, from 0.  An event's name says what it
is, and an error is an event too.  Events of unknown names are passed over.
Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html
"""

import time
from typing import Any, Final

import msgspec
import orjson

from data_plane.core.types import CallFacts, Json, Usage
from data_plane.providers._converse_answer import finish_reason, is_for_caller, new_id, openai_usage
from data_plane.providers._openai_like import mapping, read_usage, told_error
from shared.errors import UpstreamBroken


class _Event(msgspec.Struct):
    """The members that events have; each has a few of them."""

    index: int = msgspec.field(default=0, name="contentBlockIndex")
    start: dict[str, Any] | None = None
    delta: dict[str, Any] | None = None
    stop: Any = msgspec.field(default=None, name="stopReason")
    usage: dict[str, Any] | None = None


_EVENT: Final = msgspec.json.Decoder(_Event)
_FAILED: Final = ("exception:", "error:")
#: Bedrock's names of what models think, piece by piece, and those that callers know.
_THOUGHTS: Final = (("text", "thinking"), ("signature", "signature"), ("redactedContent", "data"))


class ConverseDecoder:
    """One stream: what is known of the message so far, and which blocks are tool calls."""

    def __init__(self, facts: CallFacts, *, provider: str) -> None:
        self.usage: Usage | None = None
        self.model: str | None = None
        self.finished = False
        self._provider = provider
        self._facts = facts
        self._head: Json = {
            "id": new_id(),
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": facts.model,
        }
        self._began = False
        self._calls: dict[int, int] = {}
        self._unwritten: set[int] = set()
        self._thought: set[int] = set()

    def feed(self, event: str, data: bytes) -> list[bytes]:
        """Return the chunks that this event makes; see `StreamDecoder.feed`."""
        if event.startswith(_FAILED):
            raise UpstreamBroken(told_error(self._provider, self._error(data)))
        try:
            told = _EVENT.decode(data)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            raise UpstreamBroken(f"{self._provider} sent a piece of the answer that cannot be understood.") from None
        match event:
            case "contentBlockDelta":
                return self._on_delta(told.index, told.delta or {})
            case "contentBlockStart":
                return self._on_start(told.index, told.start or {})
            case "contentBlockStop":
                return self._on_block_end(told.index)
            case "messageStart":
                return self._begin()
            case "messageStop":
                return self._on_stop(told.stop)
            case "metadata":
                return self._on_metadata(told.usage)
        return []

    @staticmethod
    def _error(data: bytes) -> Json:
        try:
            told = orjson.loads(data)
        except orjson.JSONDecodeError:
            told = None
        return told if isinstance(told, dict) else {"message": "the answer failed, without an explanation"}

    def _chunk(self, delta: Json, finish: str | None = None) -> bytes:
        return orjson.dumps({**self._head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

    def _begin(self) -> list[bytes]:
        if self._began:
            return []
        self._began = True
        self.model = self._facts.model
        return [self._chunk({"role": "assistant", "content": ""})]

    def _native(self, index: int, delta: Json) -> list[bytes]:
        """Return what OpenAI has no words for, for callers who want it."""
        if self._facts.strict:
            return []
        return [self._chunk({"content_blocks": [{"index": index, "delta": delta}]})]

    def _call(self, index: int, arguments: str) -> list[bytes]:
        return [self._chunk({"tool_calls": [{"index": self._calls[index], "function": {"arguments": arguments}}]})]

    def _on_start(self, index: int, start: Json) -> list[bytes]:
        use = start.get("toolUse")
        if not isinstance(use, dict) or not is_for_caller(use):
            return self._begin() + (self._native(index, start) if start else [])
        number = self._calls[index] = len(self._calls)
        self._unwritten.add(index)
        call = {
            "index": number,
            "id": use.get("toolUseId"),
            "type": "function",
            "function": {"name": use.get("name"), "arguments": ""},
        }
        return [*self._begin(), self._chunk({"tool_calls": [call]})]

    def _on_delta(self, index: int, delta: Json) -> list[bytes]:
        begun = self._begin()
        text = delta.get("text")
        if isinstance(text, str):
            return [*begun, self._chunk({"content": text})] if text else begun
        if index in self._calls:
            part = mapping(delta.get("toolUse")).get("input")
            if not isinstance(part, str) or not part:
                return begun
            self._unwritten.discard(index)
            return begun + self._call(index, part)
        reasoning = delta.get("reasoningContent")
        if isinstance(reasoning, dict):
            return begun + self._native(index, self._thinking(index, reasoning))
        return begun + (self._native(index, delta) if delta else [])

    def _thinking(self, index: int, reasoning: Json) -> Json:
        """Return a piece of what the model thinks; the first of a block says what the block is."""
        piece: Json = {}
        if index not in self._thought:
            self._thought.add(index)
            piece["type"] = "redacted_thinking" if "redactedContent" in reasoning else "thinking"
        return piece | {ours: reasoning[theirs] for theirs, ours in _THOUGHTS if theirs in reasoning}

    def _on_block_end(self, index: int) -> list[bytes]:
        """Write the arguments of a call that had none to stream: OpenAI's clients parse them as JSON."""
        if index not in self._unwritten:
            return []
        self._unwritten.discard(index)
        return self._call(index, "{}")

    def _on_stop(self, stop: object) -> list[bytes]:
        if self.finished:
            return []
        self.finished = True
        begun = self._begin()
        for index in sorted(self._unwritten):
            begun += self._on_block_end(index)
        return [*begun, self._chunk({}, finish_reason(stop, strict=self._facts.strict))]

    def _on_metadata(self, told: Json | None) -> list[bytes]:
        if not told or not ("inputTokens" in told or "outputTokens" in told):
            return []
        usage = openai_usage(told)
        self.usage = read_usage(usage)
        if not self._facts.include_usage:
            return []
        return [orjson.dumps({**self._head, "choices": [], "usage": usage})]
