"""Cohere's event stream as OpenAI chunks.

An event says in its data what it is.  Tool calls are numbered among themselves in OpenAI's chunks, from 0; the plan
that comes before them is what the model says.  Events of unknown types are passed over.
Source: https://docs.cohere.com/v2/docs/streaming
"""

import time
from typing import Any, Final

import msgspec
import orjson

from data_plane.core.types import CallFacts, Json, Usage
from data_plane.providers._cohere_answer import FAILED, finish_reason, logprob_rows, openai_usage, tool_call
from data_plane.providers._openai_like import DONE, mapping, read_usage, told_error
from shared.errors import UpstreamBroken


class _Event(msgspec.Struct):
    type: str = ""
    id: str | None = None
    index: int = 0
    delta: dict[str, Any] | None = None
    message: Any = None
    logprobs: Any = None


_EVENT: Final = msgspec.json.Decoder(_Event)


class CohereDecoder:
    """One stream: what is known of the message so far, and how its tool calls are numbered."""

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
        self._began = False
        self._calls: dict[int, int] = {}
        self._unwritten: set[int] = set()

    def feed(self, _event: str, data: bytes) -> list[bytes]:
        """Return the chunks that this event makes; see `StreamDecoder.feed`.

        The event's name is not read: the data repeats it as `type`.
        """
        if data.strip() in {b"", DONE}:
            return []
        try:
            event = _EVENT.decode(data)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            raise UpstreamBroken(f"{self._provider} sent a piece of the answer that cannot be understood.") from None
        if not event.type and isinstance(event.message, str):
            raise UpstreamBroken(told_error(self._provider, {"message": event.message}))
        delta = event.delta or {}
        match event.type:
            case "content-delta" | "content-start":
                return self._on_content(event.index, delta, event.logprobs)
            case "tool-plan-delta":
                return self._text(mapping(delta.get("message")).get("tool_plan"))
            case "tool-call-start":
                return self._on_call(event.index, delta)
            case "tool-call-delta":
                return self._on_call_delta(event.index, delta)
            case "tool-call-end":
                return self._on_call_end(event.index)
            case "citation-start":
                return self._on_citation(delta)
            case "message-start":
                return self._begin(event.id)
            case "message-end":
                return self._on_end(delta)
        return []

    def _chunk(self, delta: Json, finish: str | None = None, rows: list[Json] | None = None) -> bytes:
        choice: Json = {"index": 0, "delta": delta, "finish_reason": finish}
        if rows:
            choice["logprobs"] = {"content": rows, "refusal": None}
        return orjson.dumps({**self._head, "choices": [choice]})

    def _begin(self, name: str | None = None) -> list[bytes]:
        if self._began:
            return []
        self._began = True
        self._head["id"] = name or ""
        self.model = self._facts.model
        return [self._chunk({"role": "assistant", "content": ""})]

    def _text(self, text: object, rows: list[Json] | None = None) -> list[bytes]:
        if not isinstance(text, str) or not text:
            return self._begin()
        return [*self._begin(), self._chunk({"content": text}, rows=rows)]

    def _on_content(self, index: int, delta: Json, logprobs: object) -> list[bytes]:
        content = mapping(mapping(delta.get("message")).get("content"))
        thought = content.get("thinking")
        if isinstance(thought, str) and thought and not self._facts.strict:
            piece = {"content_blocks": [{"index": index, "delta": {"thinking": thought}}]}
            return [*self._begin(), self._chunk(piece)]
        return self._text(content.get("text"), logprob_rows(logprobs) if logprobs else None)

    def _on_call(self, index: int, delta: Json) -> list[bytes]:
        call = tool_call(mapping(delta.get("message")).get("tool_calls"))
        if call is None:
            return self._begin()
        number = self._calls[index] = len(self._calls)
        if call["function"]["arguments"] in {"", "{}"}:
            call["function"]["arguments"] = ""
            self._unwritten.add(index)
        return [*self._begin(), self._chunk({"tool_calls": [{"index": number, **call}]})]

    def _arguments(self, index: int, arguments: str) -> list[bytes]:
        self._unwritten.discard(index)
        return [self._chunk({"tool_calls": [{"index": self._calls[index], "function": {"arguments": arguments}}]})]

    def _on_call_delta(self, index: int, delta: Json) -> list[bytes]:
        call = mapping(mapping(delta.get("message")).get("tool_calls"))
        part = mapping(call.get("function")).get("arguments")
        if index not in self._calls or not isinstance(part, str) or not part:
            return self._begin()
        return self._arguments(index, part)

    def _on_call_end(self, index: int) -> list[bytes]:
        """Write the arguments of a call that had none to stream: OpenAI's clients parse them as JSON."""
        return self._arguments(index, "{}") if index in self._unwritten else []

    def _on_citation(self, delta: Json) -> list[bytes]:
        citation = mapping(delta.get("message")).get("citations")
        if self._facts.strict or not citation:
            return self._begin()
        cited = citation if isinstance(citation, list) else [citation]
        return [*self._begin(), self._chunk({"citations": cited})]

    def _on_end(self, delta: Json) -> list[bytes]:
        if self.finished:
            return []
        error, reason = delta.get("error"), delta.get("finish_reason")
        if error or reason == FAILED:
            sentence = error if isinstance(error, str) and error else "the answer failed."
            raise UpstreamBroken(told_error(self._provider, {"message": sentence}))
        self.finished = True
        out = self._begin()
        for index in sorted(self._unwritten):
            out += self._on_call_end(index)
        out.append(self._chunk({}, finish_reason(reason, strict=self._facts.strict)))
        usage = openai_usage(delta.get("usage"))
        if usage is not None:
            self.usage = read_usage(usage)
            if self._facts.include_usage:
                out.append(orjson.dumps({**self._head, "choices": [], "usage": usage}))
        return out
