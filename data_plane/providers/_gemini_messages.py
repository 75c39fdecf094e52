"""How does a conversation in OpenAI's words read in Gemini's?

Gemini keeps the system prompt apart and knows two roles.  A result of a function belongs to a call by its name and its
place, so results are named and put in the order of their calls; models of generation 3 also want the same id in both,
which older ones do not know.
Source: https://ai.google.dev/gemini-api/docs/function-calling, https://ai.google.dev/gemini-api/docs/thought-signatures
"""

import re
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Final

from data_plane.core.types import Json
from data_plane.providers._gemini_parts import Parts, parts_of
from data_plane.providers._openai_like import mapping
from data_plane.providers._openai_request import (
    Call,
    Message,
    arguments_of,
    call_id,
    read_calls,
    read_messages,
    wrong,
)

#: Models of generation 3 and later.
GENERATION_3: Final = re.compile(r"gemini-(?:[3-9]|\d\d)")
#: Models that refuse a call in the history without an id and the signature that came with it.
_STRICT: Final = re.compile(r"gemini-(?:[3-9]|\d\d|.*latest$)")
#: What Google accepts in the place of a signature that was lost, or that another model's call never had.
NO_SIGNATURE: Final = "skip_thought_signature_validator"


@dataclass(slots=True)
class _Turn:
    """One turn; `kind` is user, model or tool: results stand apart from what the user says.

    `places` says, of each part of a tool turn, which call it answers.
    """

    kind: str
    parts: Parts
    places: list[int] | None = None

    def content(self) -> Json:
        parts = self.parts
        if self.places and len(parts) > 1:
            parts = [part for _, part in sorted(zip(self.places, parts, strict=True), key=itemgetter(0))]
        return {"role": "model" if self.kind == "model" else "user", "parts": parts}


@dataclass(slots=True)
class _Talk:
    """What has been read so far; `calls` are the calls by id: their function, and which in the order they are."""

    provider: str
    is_strict: bool
    system: Parts = field(default_factory=list)
    turns: list[_Turn] = field(default_factory=list)
    calls: dict[str, tuple[str, int]] = field(default_factory=dict)

    def add(self, kind: str, parts: Parts) -> None:
        if not parts:
            return
        if self.turns and self.turns[-1].kind == kind:
            self.turns[-1].parts += parts
        else:
            self.turns.append(_Turn(kind, parts))

    def add_result(self, part: Json, place: int) -> None:
        self.add("tool", [part])
        turn = self.turns[-1]
        if turn.places is None:
            turn.places = []
        turn.places.append(place)


def _signature(call: Call) -> str | None:
    """Return the signature of a call: where this gateway writes it, or where Google's own OpenAI endpoint does."""
    google = mapping(mapping(call.said.get("extra_content")).get("google"))
    found = call.said["function"].get("thought_signature") or google.get("thought_signature")
    return found if isinstance(found, str) and found else None


def _call_parts(message: Message, talk: _Talk) -> Parts:
    parts: Parts = []
    if message.said.get("tool_calls") is None:
        return parts
    for number, call in enumerate(read_calls(message.said, message.path)):
        made: Json = {"name": call.name, "args": arguments_of(call)}
        if talk.is_strict:
            made["id"] = call.call_id
        part: Json = {"functionCall": made}
        # Of calls that were made at once, the first has the signature.
        signature = _signature(call) or (NO_SIGNATURE if talk.is_strict and number == 0 else None)
        if signature is not None:
            part["thoughtSignature"] = signature
        talk.calls[call.call_id] = (call.name, len(talk.calls))
        parts.append(part)
    return parts


def _said_parts(message: Message, provider: str) -> Parts:
    """Return what the model said; from `content_blocks` when they hold signatures, which the content cannot."""
    blocks = message.said.get("content_blocks")
    if blocks is None:
        return parts_of(message.said, message.path, provider)
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        raise wrong(f"{message.path}.content_blocks", "must be a list of blocks.")
    if not any(isinstance(block.get("thought_signature"), str) for block in blocks):
        return parts_of(message.said, message.path, provider)
    parts: Parts = []
    for number, block in enumerate(blocks):
        if block.get("type") not in ("text", "image_url"):
            continue
        made = parts_of({"content": [block]}, f"{message.path}.content_blocks[{number}]", provider)
        signature = block.get("thought_signature")
        if isinstance(signature, str):
            # A signature may come alone, behind the last text.
            made = [{**part, "thoughtSignature": signature} for part in made or [{"text": ""}]]
        parts += made
    return parts


def _add_result(message: Message, talk: _Talk) -> None:
    """Add the result of a call; text goes out as it is, for numbers in Gemini's objects lose their last digits."""
    wanted = call_id(message.said, "tool_call_id", message.path)
    name, place = talk.calls.get(wanted, (message.said.get("name"), len(talk.calls)))
    if not isinstance(name, str) or not name:
        raise wrong(f"{message.path}.tool_call_id", "must be the id of a call in an assistant message before it.")
    parts = parts_of(message.said, message.path, talk.provider)
    texts = [part["text"] for part in parts if isinstance(part.get("text"), str)]
    media = [part for part in parts if "text" not in part]
    key = "error" if message.said.get("is_error") is True else "output"
    response: Json = {"name": name, "response": {key: "\n".join(texts)}}
    if talk.is_strict:
        response["id"] = wanted
    if media:
        response["parts"] = media
    talk.add_result({"functionResponse": response}, place)


def _read(message: Message, talk: _Talk) -> None:
    role, path, said = message
    if role == "assistant":
        talk.add("model", _said_parts(message, talk.provider) + _call_parts(message, talk))
    elif role == "tool":
        _add_result(message, talk)
    elif role == "system":
        talk.system += parts_of(said, path, talk.provider)
    else:
        parts = parts_of(said, path, talk.provider)
        if not parts:
            raise wrong(f"{path}.content", f"must not be empty for {talk.provider}.")
        talk.add("user", parts)


def split_messages(body: Json, model: str, provider: str) -> tuple[Parts, list[Json]]:
    """Return the system prompt's parts and the contents of OpenAI's `messages`.

    Raises BadRequest, or Unsupported, with the path of the message that is at fault.
    """
    talk = _Talk(provider, is_strict=_STRICT.match(model) is not None)
    for message in read_messages(body):
        _read(message, talk)
    if not talk.turns:
        raise wrong("messages", "must hold something besides system messages.")
    return talk.system, [turn.content() for turn in talk.turns]
