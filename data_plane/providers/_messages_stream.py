"""Turns the chunks of a chat into the events of Anthropic's Messages API.

A message is a row of blocks, one open at a time: text, or one tool call.  The last event needs the tokens, which a chat
tells only behind its end, so it is made when the stream closes.  Source: https://docs.anthropic.com/en/api/messages-streaming
"""

from collections.abc import Mapping
from typing import Any

import orjson

from data_plane.core.types import Json, Usage
from data_plane.providers._openai_like import further_counts, further_details
from data_plane.providers.base import StreamDecoder


def usage_json(usage: Usage | None) -> Json:
    """Return tokens in Anthropic's words: cached tokens are counted beside the others, not among them.

    What else has a price stands there as well, as far as there is any: an answer costs what its stream would.
    """
    told = usage or Usage(source="none")
    written: Json = {
        "input_tokens": max(0, told.input - told.cache_read - told.cache_write),
        "cache_creation_input_tokens": told.cache_write,
        "cache_read_input_tokens": told.cache_read,
        "output_tokens": told.output,
        **further_counts(told),
    }
    of_input, of_output = further_details(told)
    if told.reasoning:
        of_output["thinking_tokens"] = told.reasoning
    if of_input:
        written["input_tokens_details"] = of_input
    if of_output:
        written["output_tokens_details"] = of_output
    if told.tier:
        written["service_tier"] = "standard" if told.tier == "default" else told.tier
    return written


class MessageEvents:
    """Decodes one stream of a chat into events; `inner` is the provider's own decoder."""

    def __init__(self, inner: StreamDecoder, stops: Mapping[str, str]) -> None:
        """Read along with `inner`; `stops` maps finish reasons of a chat to stop reasons."""
        self._inner = inner
        self._stops = stops
        self._begun = False
        self._closed = False
        self._index = -1
        self._open: tuple[str, int] | None = None
        self._call_id = ""
        self._stop = "end_turn"

    @property
    def usage(self) -> Usage | None:
        """Return the tokens, as far as they are known."""
        return self._inner.usage

    @property
    def model(self) -> str | None:
        """Return the model that answers."""
        return self._inner.model

    @property
    def finished(self) -> bool:
        """Return whether the provider said that the answer is complete."""
        return self._inner.finished

    def feed(self, event: str, data: bytes) -> list[bytes]:
        """Return the events that a provider's event makes; raises as the provider's own decoder does."""
        out: list[Json] = []
        for chunk in self._inner.feed(event, data):
            self._chunk(orjson.loads(chunk), out)
        return [orjson.dumps(item) for item in out]

    def close(self) -> list[bytes]:
        """Return the events that end the message; none for an answer that broke off."""
        if self._closed or not self._inner.finished:
            return []
        self._closed = True
        out: list[Json] = []
        if not self._begun:
            self._begin({}, out)
        self._end_block(out)
        delta = {"stop_reason": self._stop, "stop_sequence": None}
        out.append({"type": "message_delta", "delta": delta, "usage": usage_json(self._inner.usage)})
        out.append({"type": "message_stop"})
        return [orjson.dumps(item) for item in out]

    def _begin(self, chunk: Json, out: list[Json]) -> None:
        self._begun = True
        message: Json = {
            "id": f"msg_{chunk.get('id') or ''}", "type": "message", "role": "assistant", "model": chunk.get("model"),
            "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage_json(None),
        }  # fmt: skip
        out.append({"type": "message_start", "message": message})

    def _chunk(self, chunk: Json, out: list[Json]) -> None:
        if not self._begun:
            self._begin(chunk, out)
        choices = chunk.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
        delta = choice.get("delta")
        if isinstance(delta, dict):
            if isinstance(delta.get("content"), str) and delta["content"]:
                self._text(delta["content"], out)
            calls = delta.get("tool_calls")
            for call in calls if isinstance(calls, list) else ():
                if isinstance(call, dict):
                    self._call(call, out)
        if isinstance(choice.get("finish_reason"), str):
            self._stop = self._stops.get(choice["finish_reason"], "end_turn")

    def _begin_block(self, kind: tuple[str, int], block: Json, out: list[Json]) -> None:
        self._end_block(out)
        self._open = kind
        self._index += 1
        out.append({"type": "content_block_start", "index": self._index, "content_block": block})

    def _end_block(self, out: list[Json]) -> None:
        if self._open is not None:
            out.append({"type": "content_block_stop", "index": self._index})
            self._open = None

    def _delta(self, delta: Json, out: list[Json]) -> None:
        out.append({"type": "content_block_delta", "index": self._index, "delta": delta})

    def _text(self, text: str, out: list[Json]) -> None:
        if self._open != ("text", 0):
            self._begin_block(("text", 0), {"type": "text", "text": ""}, out)
        self._delta({"type": "text_delta", "text": text}, out)

    def _call(self, call: Mapping[str, Any], out: list[Json]) -> None:
        told = call.get("function")
        function: Mapping[str, Any] = told if isinstance(told, dict) else {}
        number = call.get("index")
        kind = ("call", number if isinstance(number, int) else 0)
        call_id = str(call.get("id") or "")
        # Some providers repeat the id with every piece; one that changes begins another call.
        if self._open != kind or (call_id and call_id != self._call_id):
            self._call_id = call_id
            name = str(function.get("name") or "")
            self._begin_block(kind, {"type": "tool_use", "id": call_id, "name": name, "input": {}}, out)
        arguments = function.get("arguments")
        if isinstance(arguments, str) and arguments:
            self._delta({"type": "input_json_delta", "partial_json": arguments}, out)
