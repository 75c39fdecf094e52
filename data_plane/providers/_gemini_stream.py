"""Gemini's event stream as OpenAI chunks.

Every event is a whole answer's shape with a piece of its content, and counts what there is so far.  A function call
comes whole; the calls of an answer are numbered through, over all its events.  A candidate ends with its reason.
Source: https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent
"""

import time
from typing import Any, Final

import msgspec
import orjson

from data_plane.core.types import CallFacts, Json, Usage
from data_plane.providers._gemini_answer import (
    EXTRAS,
    answer_id,
    block_of,
    finish_reason,
    is_said,
    logprobs_of,
    made_id,
    openai_usage,
    parts_in,
    refusal_of,
    tool_call,
)
from data_plane.providers._openai_like import read_usage, told_error
from shared.errors import UpstreamBroken


class _Event(msgspec.Struct, rename="camel"):
    candidates: list[dict[str, Any]] | None = None
    prompt_feedback: dict[str, Any] | None = None
    usage_metadata: dict[str, Any] | None = None
    model_version: Any = None
    response_id: Any = None
    error: Any = None


_EVENT: Final = msgspec.json.Decoder(_Event)


class _Candidate:
    """What is known of one candidate: whether it has begun and ended, its calls, and how many blocks it has."""

    __slots__ = ("blocks", "calls", "has_begun", "has_ended", "kind")

    def __init__(self) -> None:
        self.has_begun = False
        self.has_ended = False
        self.calls = 0
        self.blocks = -1
        self.kind: str | None = None

    def block_number(self, kind: str) -> int:
        """Return the number of the block that a piece of `kind` goes on with, or begins."""
        if kind != self.kind:
            self.kind, self.blocks = kind, self.blocks + 1
        return self.blocks


class CandidateDecoder:
    """One stream: what is known of the answer so far."""

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
        self._candidates: dict[int, _Candidate] = {}
        self._told: Json | None = None
        self._has_told_usage = False

    def feed(self, _event: str, data: bytes) -> list[bytes]:
        """Return the chunks that this event makes; see `StreamDecoder.feed`."""
        if not data.strip():
            return []
        try:
            event = _EVENT.decode(data)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            raise UpstreamBroken(f"{self._provider} sent a piece of the answer that cannot be understood.") from None
        if event.error is not None:
            raise UpstreamBroken(told_error(self._provider, {"error": event.error}))
        self._note_head(event)
        out: list[bytes] = []
        for number, told in enumerate(event.candidates or ()):
            index = told.get("index")
            self._read(told, index if type(index) is int else number, out)
        if event.prompt_feedback is not None and not self._candidates:
            self._block(event.prompt_feedback, out)
        if event.usage_metadata:
            self._told = event.usage_metadata
            self.usage = read_usage(openai_usage(event.usage_metadata))
        self._tell_usage(out)
        return out

    def _note_head(self, event: _Event) -> None:
        if not self._head["id"]:
            self._head["id"] = answer_id(event.response_id)
        if self.model is None and isinstance(event.model_version, str):
            self.model = self._head["model"] = event.model_version

    def _read(self, told: Json, index: int, out: list[bytes]) -> None:
        """Write the chunks of one candidate's piece."""
        candidate = self._candidates.get(index)
        if candidate is None:
            candidate = self._candidates[index] = _Candidate()
            self.finished = False
        logprobs = logprobs_of(told)
        for part in parts_in(told):
            delta = self._delta(part, candidate, index)
            if delta:
                out.append(self._chunk(index, self._begun(candidate, delta), logprobs=logprobs))
                logprobs = None
        reason = told.get("finishReason")
        if reason is not None and not candidate.has_ended:
            candidate.has_ended = True
            called = candidate.calls > 0
            finish = finish_reason(reason, called=called, strict=self._facts.strict)
            extras = {} if self._facts.strict else {name: told[name] for name in EXTRAS if name in told}
            out.append(self._chunk(index, self._begun(candidate, {}), finish, logprobs=logprobs, extras=extras))
            self.finished = all(one.has_ended for one in self._candidates.values())

    def _delta(self, part: Json, candidate: _Candidate, index: int) -> Json:
        """Return what one part adds to a message, {} when OpenAI has no words for it and they are asked for."""
        strict = self._facts.strict
        if isinstance(part.get("functionCall"), dict):
            number, candidate.calls = candidate.calls, candidate.calls + 1
            candidate.kind = None
            seed = made_id("call_", self._head["id"], index, number)
            return {"tool_calls": [{"index": number, **tool_call(part, seed, strict=strict, error=UpstreamBroken)}]}
        delta: Json = {"content": part["text"]} if is_said(part) and part["text"] else {}
        if strict:
            return delta
        block = block_of(part)
        number = candidate.block_number(str(block.get("type")))
        if is_said(part):
            # The text itself stands in `content` already.
            if "thought_signature" not in block:
                return delta
            block = {"thought_signature": block["thought_signature"]}
        native = {name: value for name, value in block.items() if name != "type"}
        return {**delta, "content_blocks": [{"index": number, "delta": native}]}

    @staticmethod
    def _begun(candidate: _Candidate, delta: Json) -> Json:
        """Return a delta with the role when it is the first of its candidate."""
        if candidate.has_begun:
            return delta
        candidate.has_begun = True
        return {"role": "assistant", "content": "", **delta}

    def _chunk(
        self, index: int, delta: Json, finish: str | None = None, *, logprobs: Json | None = None,
        extras: Json | None = None,
    ) -> bytes:  # fmt: skip
        choice: Json = {"index": index, "delta": delta, "finish_reason": finish}
        if logprobs is not None:
            choice["logprobs"] = logprobs
        if extras:
            choice |= extras
        return self._written({**self._head, "choices": [choice]})

    def _written(self, chunk: Json) -> bytes:
        try:
            return orjson.dumps(chunk)
        except TypeError:
            raise UpstreamBroken(f"{self._provider} sent a piece of the answer that cannot be passed on.") from None

    def _block(self, feedback: Json, out: list[bytes]) -> None:
        """Write the answer to a prompt that was blocked: a refusal, and nothing else."""
        refusal = refusal_of(feedback)
        if refusal is None:
            return
        candidate = self._candidates[0] = _Candidate()
        candidate.has_ended = self.finished = True
        out.append(self._chunk(0, self._begun(candidate, {"refusal": refusal})))
        out.append(self._chunk(0, {}, "content_filter"))

    def _tell_usage(self, out: list[bytes]) -> None:
        """Write the tokens behind the end of the answer, once, for callers who asked for them."""
        if not self.finished or self._told is None or self._has_told_usage or not self._facts.include_usage:
            return
        self._has_told_usage = True
        out.append(self._written({**self._head, "choices": [], "usage": openai_usage(self._told)}))
