"""Turns the chunks of a chat into the events of OpenAI's Responses API.

An answer is a row of items, one open at a time: a text, or the call of a function.  The last event holds the whole
response with its tokens, which a chat tells only behind its end, so it is made when the stream closes.
Source: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from collections.abc import Mapping
from typing import Any

import orjson

from data_plane.core.types import Json, Usage
from data_plane.providers._openai_like import mapping
from data_plane.providers._responses_json import call_item, response_json, text_item, text_part
from data_plane.providers.base import StreamDecoder


class _Item:
    """The item that is open: a text (`number` None), or the call that the chat counts as `number`."""

    def __init__(self, number: int | None, item_id: str, name: str) -> None:
        self.number = number
        self.id = item_id
        self.name = name
        self.pieces: list[str] = []

    def told(self, *, status: str) -> Json:
        """Return the item as far as it is known."""
        text = "".join(self.pieces)
        item = text_item(self.id, text) if self.number is None else call_item(self.id, self.name, text)
        return {**item, "status": status}


class ResponseEvents:
    """Decodes one stream of a chat into events; `inner` is the provider's own decoder."""

    def __init__(self, inner: StreamDecoder) -> None:
        self._inner = inner
        self._head: Json = {}
        self._begun = False
        self._closed = False
        self._sequence = 0
        self._output: list[Json] = []
        self._open: _Item | None = None
        self._reason: str = "stop"

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
        out: list[bytes] = []
        for chunk in self._inner.feed(event, data):
            self._chunk(orjson.loads(chunk), out)
        return out

    def close(self) -> list[bytes]:
        """Return the events that end the response; none for an answer that broke off."""
        if self._closed or not self._inner.finished:
            return []
        self._closed = True
        out: list[bytes] = []
        if not self._begun:
            self._begin({}, out)
        self._end_item(out)
        whole = response_json(self._head, self._output, self._reason, self._inner.usage)
        self._tell(f"response.{whole['status']}", out, response=whole)
        return out

    def _tell(self, kind: str, out: list[bytes], **fields: Any) -> None:
        out.append(orjson.dumps({"type": kind, "sequence_number": self._sequence, **fields}))
        self._sequence += 1

    def _begin(self, chunk: Json, out: list[bytes]) -> None:
        self._begun = True
        self._head = {name: chunk.get(name) for name in ("id", "model", "created")}
        for kind in ("response.created", "response.in_progress"):
            self._tell(kind, out, response=response_json(self._head, [], None, None))

    def _chunk(self, chunk: Json, out: list[bytes]) -> None:
        if not self._begun:
            self._begin(chunk, out)
        choices = chunk.get("choices")
        choice = mapping(choices[0] if isinstance(choices, list) and choices else None)
        delta = mapping(choice.get("delta"))
        if isinstance(delta.get("content"), str) and delta["content"]:
            self._text(delta["content"], out)
        calls = delta.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            self._call(mapping(call), out)
        if isinstance(choice.get("finish_reason"), str):
            self._reason = choice["finish_reason"]

    def _place(self) -> Json:
        assert self._open is not None  # noqa: S101 -- asked only while an item is open
        item = self._open
        shown = f"msg_{item.id}" if item.number is None else f"fc_{item.id}"
        return {"item_id": shown, "output_index": len(self._output)}

    def _begin_item(self, item: _Item, out: list[bytes]) -> None:
        self._end_item(out)
        self._open = item
        told = item.told(status="in_progress")
        if item.number is None:
            told["content"] = []
        self._tell("response.output_item.added", out, output_index=len(self._output), item=told)
        if item.number is None:
            self._tell("response.content_part.added", out, **self._place(), content_index=0, part=text_part(""))

    def _end_item(self, out: list[bytes]) -> None:
        item = self._open
        if item is None:
            return
        text, place = "".join(item.pieces), self._place()
        if item.number is None:
            self._tell("response.output_text.done", out, **place, content_index=0, text=text, logprobs=[])
            self._tell("response.content_part.done", out, **place, content_index=0, part=text_part(text))
        else:
            self._tell("response.function_call_arguments.done", out, **place, name=item.name, arguments=text)
        told = item.told(status="completed")
        self._tell("response.output_item.done", out, output_index=place["output_index"], item=told)
        self._output.append(told)
        self._open = None

    def _text(self, text: str, out: list[bytes]) -> None:
        if self._open is None or self._open.number is not None:
            self._begin_item(_Item(None, f"{self._head.get('id') or ''}_{len(self._output)}", ""), out)
        assert self._open is not None  # noqa: S101 -- begun just now
        self._open.pieces.append(text)
        self._tell("response.output_text.delta", out, **self._place(), content_index=0, delta=text, logprobs=[])

    def _call(self, call: Mapping[str, Any], out: list[bytes]) -> None:
        function = mapping(call.get("function"))
        number = call["index"] if isinstance(call.get("index"), int) else 0
        call_id = str(call.get("id") or "")
        item = self._open
        # Some providers repeat the id with every piece; one that changes begins another call.
        if item is None or item.number != number or (call_id and call_id != item.id):
            item = _Item(number, call_id, str(function.get("name") or ""))
            self._begin_item(item, out)
        arguments = function.get("arguments")
        if isinstance(arguments, str) and arguments:
            item.pieces.append(arguments)
            self._tell("response.function_call_arguments.delta", out, **self._place(), delta=arguments)
