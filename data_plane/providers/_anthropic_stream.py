"""Anthropic's event stream as OpenAI chunks.

Blocks come one after the other, each with a number; tool calls are numbered among themselves in OpenAI's chunks, from
0.  Events and deltas of unknown types are passed over, as Anthropic asks of its clients.
Source: https://docs.anthropic.com/en/docs/build-with-claude/streaming
"""

import time
from typing import Any, Final

import msgspec
import orjson

from data_plane.core.types import CallFacts, Json, Usage
from data_plane.providers._anthropic_answer import counted_usage, finish_reason, openai_usage
from data_plane.providers._openai_like import mapping, told_error
from shared.errors import UpstreamBroken


class _Event(msgspec.Struct):
    type: str
    index: int = 0
    message: dict[str, Any] | None = None
    content_block: dict[str, Any] | None = None
    delta: dict[str, Any] | None = None
    usage: dict[str, Any] | None = None
    error: Any = None


_EVENT: Final = msgspec.json.Decoder(_Event)


class MessageDecoder:
    """One stream: what is known of the message so far, and which blocks are tool calls."""

    def __init__(self, facts: CallFacts, *, provider: str) -> None:
        self.usage: Usage | None = None
        self.model: str | None = None
        self.finished = False
        self._provider = provider
        self._facts = facts
        self._head: Json = {
            "id": "",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": facts.model,
        }
        self._told: Json = {}
        self._calls: dict[int, int] = {}
        self._unwritten: dict[int, Json] = {}
        self._ended = False

    def feed(self, _event: str, data: bytes) -> list[bytes]:
        """Return the chunks that this event makes; see `StreamDecoder.feed`.

        The event's name is not read: the data repeats it as `type`.
        """
        if not data.strip():
            return []
        try:
            event = _EVENT.decode(data)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            raise UpstreamBroken(f"{self._provider} sent a piece of the answer that cannot be understood.") from None
        match event.type:
            case "content_block_delta":
                return self._on_delta(event.index, event.delta or {})
            case "content_block_start":
                return self._on_block(event.index, event.content_block or {})
            case "content_block_stop":
                return self._on_block_end(event.index)
            case "message_start":
                return self._on_start(event.message or {})
            case "message_delta":
                return self._on_message_delta(event)
            case "message_stop":
                return self._on_stop()
            case "error":
                raise UpstreamBroken(told_error(self._provider, {"error": event.error}))
        return []

    def _chunk(self, delta: Json, finish: str | None = None) -> bytes:
        return orjson.dumps({**self._head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

    def _native(self, index: int, delta: Json) -> list[bytes]:
        """Return what OpenAI has no words for, for callers who want it."""
        if self._facts.strict:
            return []
        return [self._chunk({"content_blocks": [{"index": index, "delta": delta}]})]

    def _call(self, index: int, arguments: str) -> list[bytes]:
        return [self._chunk({"tool_calls": [{"index": self._calls[index], "function": {"arguments": arguments}}]})]

    def _on_start(self, message: Json) -> list[bytes]:
        for name in ("id", "model"):
            if isinstance(message.get(name), str):
                self._head[name] = message[name]
        self.model = self._head["model"]
        self._count(mapping(message.get("usage")))
        return [self._chunk({"role": "assistant", "content": ""})]

    def _on_block(self, index: int, block: Json) -> list[bytes]:
        if block.get("type") == "tool_use":
            number = self._calls[index] = len(self._calls)
            given = block.get("input")
            self._unwritten[index] = given if isinstance(given, dict) else {}
            call = {
                "index": number,
                "id": block.get("id"),
                "type": "function",
                "function": {"name": block.get("name"), "arguments": ""},
            }
            return [self._chunk({"tool_calls": [call]})]
        if block.get("type") != "text":
            return self._native(index, block)
        text = block.get("text")
        return [self._chunk({"content": text})] if isinstance(text, str) and text else []

    def _on_delta(self, index: int, delta: Json) -> list[bytes]:
        kind = delta.get("type")
        if kind == "text_delta":
            text = delta.get("text")
            return [self._chunk({"content": text})] if isinstance(text, str) and text else []
        if kind == "input_json_delta" and index in self._calls:
            part = delta.get("partial_json")
            if not isinstance(part, str) or not part:
                return []
            self._unwritten.pop(index, None)
            return self._call(index, part)
        return self._native(index, {name: value for name, value in delta.items() if name != "type"})

    def _on_block_end(self, index: int) -> list[bytes]:
        """Write the arguments of a call that had none to stream: OpenAI's clients parse them as JSON."""
        whole = self._unwritten.pop(index, None)
        return [] if whole is None else self._call(index, orjson.dumps(whole).decode())

    def _on_message_delta(self, event: _Event) -> list[bytes]:
        self._count(event.usage or {})
        stop = (event.delta or {}).get("stop_reason")
        return self._finish(stop) if stop is not None else []

    def _finish(self, stop: object) -> list[bytes]:
        if self._ended:
            return []
        self._ended = True
        return [self._chunk({}, finish_reason(stop, strict=self._facts.strict))]

    def _on_stop(self) -> list[bytes]:
        self.finished = True
        out = self._finish(None)
        if self._facts.include_usage and self._told:
            out.append(orjson.dumps({**self._head, "choices": [], "usage": openai_usage(self._told)}))
        return out

    def _count(self, told: Any) -> None:
        """Take in what is counted so far; the numbers are totals, so a 0 behind a number says nothing."""
        self._told.update({name: value for name, value in told.items() if value or name not in self._told})
        if self._told:
            self.usage = counted_usage(self._told)
