"""The event stream of Oracle's Generative AI as OpenAI chunks, in both formats.

Events have no type: what they hold says what they are.  A call of a function begins with its name; what follows without
one belongs to the call before it.  In Cohere's format the last event repeats the whole text.
Source: https://docs.oracle.com/iaas/api/#/en/generative-ai-inference/20231130/ChatResult/Chat
"""

import time
from typing import Any, Final
from uuid import uuid4

import msgspec
import orjson

from data_plane.core.types import CallFacts, Json, Usage
from data_plane.providers._oci_answer import finish_reason, has_failed, openai_usage, text_of_content, tool_call
from data_plane.providers._openai_like import DONE, mapping, read_usage, told_error
from shared.errors import UpstreamBroken


class _Event(msgspec.Struct):
    index: int | None = None
    message: Any = None
    text: str | None = None
    finishReason: Any = None  # noqa: N815 -- the provider's own word
    usage: Any = None
    error: Any = None
    errorMessage: Any = None  # noqa: N815 -- the provider's own word


_EVENT: Final = msgspec.json.Decoder(_Event)


class _Call:
    """One call of a function as far as it has come."""

    __slots__ = ("call_id", "is_written", "number")

    def __init__(self, number: int, call_id: str) -> None:
        self.number, self.call_id, self.is_written = number, call_id, False


class OciDecoder:
    """One stream: which choices have begun and ended, and how their calls are numbered."""

    def __init__(self, facts: CallFacts, *, provider: str) -> None:
        self.usage: Usage | None = None
        self.model: str | None = facts.model
        self.finished = False
        self._provider = provider
        self._facts = facts
        self._head: Json = {
            "id": f"chatcmpl-{uuid4().hex}",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": facts.model,
        }
        self._begun: set[int] = set()
        self._ended: set[int] = set()
        self._calls: dict[int, list[_Call]] = {}

    def feed(self, _event: str, data: bytes) -> list[bytes]:
        """Return the chunks that this event makes; see `StreamDecoder.feed`."""
        if data.strip() in {b"", DONE}:
            return []
        try:
            event = _EVENT.decode(data)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            raise UpstreamBroken(f"{self._provider} sent a piece of the answer that cannot be understood.") from None
        self._refuse(event)
        index = event.index or 0
        out = self._on_message(index, mapping(event.message)) if isinstance(event.message, dict) else []
        if event.text is not None and (event.finishReason is None or index not in self._begun):
            out += self._text(index, event.text)
        if event.finishReason is not None:
            out += self._on_end(index, event.finishReason)
        return [*out, *self._on_usage(event.usage)]

    def _refuse(self, event: _Event) -> None:
        """Raise UpstreamBroken for an event that is an error."""
        sentence = event.errorMessage or (event.message if isinstance(event.message, str) else None)
        if event.error or sentence:
            error = {"error": event.error} if event.error else {"message": sentence}
            raise UpstreamBroken(told_error(self._provider, error))
        if has_failed(event.finishReason):
            raise UpstreamBroken(f"{self._provider} error: the answer failed.")

    def _chunk(self, index: int, delta: Json, finish: str | None = None) -> bytes:
        return orjson.dumps({**self._head, "choices": [{"index": index, "delta": delta, "finish_reason": finish}]})

    def _begin(self, index: int) -> list[bytes]:
        if index in self._begun:
            return []
        self._begun.add(index)
        return [self._chunk(index, {"role": "assistant", "content": ""})]

    def _text(self, index: int, text: str) -> list[bytes]:
        return [*self._begin(index), *([self._chunk(index, {"content": text})] if text else [])]

    def _on_message(self, index: int, message: Any) -> list[bytes]:
        out = self._text(index, text_of_content(message.get("content")))
        thought = message.get("reasoningContent")
        if not self._facts.strict and isinstance(thought, str) and thought:
            out.append(self._chunk(index, {"reasoning_content": thought}))
        calls = message.get("toolCalls")
        for told in calls if isinstance(calls, list) else ():
            out += self._on_call(index, told)
        return out

    def _on_call(self, index: int, told: Any) -> list[bytes]:
        calls = self._calls.setdefault(index, [])
        known, arguments = mapping(told).get("id"), mapping(told).get("arguments")
        begun = tool_call(told)
        # Some models repeat id and name with every piece of the arguments.
        goes_on = next((call for call in calls if known and call.call_id == known), None)
        if begun is not None and goes_on is None:
            call = _Call(len(calls), begun["id"])
            calls.append(call)
            begun["function"]["arguments"] = ""
            out = [self._chunk(index, {"tool_calls": [{"index": call.number, **begun}]})]
        elif goes_on is not None or calls:
            call, out = goes_on or calls[-1], []
        else:
            return []
        return [*out, *self._arguments(index, call, arguments)]

    def _arguments(self, index: int, call: _Call, arguments: Any) -> list[bytes]:
        if not isinstance(arguments, str) or not arguments:
            return []
        call.is_written = True
        return [self._chunk(index, {"tool_calls": [{"index": call.number, "function": {"arguments": arguments}}]})]

    def _on_end(self, index: int, told: Any) -> list[bytes]:
        if index in self._ended:
            return []
        out = self._begin(index)
        calls = self._calls.get(index, [])
        for call in calls:
            if not call.is_written:
                # OpenAI's clients parse arguments as JSON, also those of a call that has none.
                out += self._arguments(index, call, "{}")
        reason = finish_reason(told, strict=self._facts.strict)
        out.append(self._chunk(index, {}, "tool_calls" if reason == "stop" and calls else reason))
        self._ended.add(index)
        self.finished = self._ended >= self._begun
        return out

    def _on_usage(self, told: Any) -> list[bytes]:
        usage = openai_usage(told)
        if usage is None:
            return []
        is_first, self.usage = self.usage is None, read_usage(usage)
        if not (is_first and self._facts.include_usage):
            return []
        return [orjson.dumps({**self._head, "choices": [], "usage": usage})]
