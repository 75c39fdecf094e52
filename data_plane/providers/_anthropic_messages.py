"""How does a conversation in OpenAI's words read in Anthropic's?

Anthropic keeps the system prompt apart, knows two roles that take turns, and puts tool calls and their results into
blocks of those turns.  What it would refuse for its order is refused here, with the path of the caller's own message.
Source: https://docs.anthropic.com/en/api/messages
"""

import re
from dataclasses import dataclass, field
from typing import Final

import msgspec

from data_plane.core.types import Json
from data_plane.providers._anthropic_parts import Blocks, blocks_of
from data_plane.providers._openai_request import place_of_message
from shared.errors import BadRequest

_NOT_IN_IDS: Final = re.compile(r"[^a-zA-Z0-9_-]")
_THINKING: Final = frozenset({"thinking", "redacted_thinking"})


@dataclass(slots=True)
class _Turn:
    """One turn; `path` is where it begins in the caller's list."""

    role: str
    path: str
    blocks: Blocks = field(default_factory=list)

    def pairing(self) -> tuple[list[str], list[str]]:
        """Return the ids of the turn's tool calls, and those that its results answer."""
        calls: list[str] = []
        results: list[str] = []
        if len(self.blocks) == 1 and self.blocks[0]["type"] == "text":
            return calls, results
        for block in self.blocks:
            kind = block["type"]
            if kind == "tool_use" and isinstance(block.get("id"), str):
                calls.append(block["id"])
            elif kind == "tool_result" and isinstance(block.get("tool_use_id"), str):
                results.append(block["tool_use_id"])
        return calls, results


def _tool_id(said: Json, name: str, path: str) -> str:
    value = said.get(name)
    if not isinstance(value, str) or not value:
        raise BadRequest(f"{path}.{name} must be a string.", path=f"{path}.{name}")
    # Other providers' ids may hold characters that Anthropic refuses; call and result change in the same way.
    return _NOT_IN_IDS.sub("_", value)


def _arguments(value: object, path: str) -> Json:
    if isinstance(value, dict):
        return value
    if value is None or value == "":
        return {}
    try:
        decoded = msgspec.json.decode(value) if isinstance(value, str) else None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        decoded = None
    if not isinstance(decoded, dict):
        raise BadRequest(f"{path} must be a JSON object written as a string.", path=path)
    return decoded


def _tool_use(call: object, path: str) -> Json:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(call, dict) or not isinstance(function, dict):
        raise BadRequest(f"{path} must be the call of a function.", path=path)
    name = function.get("name")
    if not isinstance(name, str) or not name:
        raise BadRequest(f"{path}.function.name must be a string.", path=f"{path}.function.name")
    block: Json = {
        "type": "tool_use",
        "id": _tool_id(call, "id", path),
        "name": name,
        "input": _arguments(function.get("arguments"), f"{path}.function.arguments"),
    }
    if isinstance(call.get("cache_control"), dict):
        block["cache_control"] = call["cache_control"]
    return block


def _native_blocks(message: Json, path: str) -> Blocks:
    """Return the blocks of an earlier answer that the caller sends back as the provider wrote them."""
    native = message["content_blocks"]
    if not isinstance(native, list) or not all(isinstance(b, dict) and isinstance(b.get("type"), str) for b in native):
        raise BadRequest(f"{path}.content_blocks must be a list of blocks.", path=f"{path}.content_blocks")
    kept: Blocks = []
    for block in native:
        # Thinking counts only with the provider's signature; without it Anthropic refuses the whole request.
        unsigned = block["type"] == "thinking" and not block.get("signature")
        empty = block["type"] == "text" and not str(block.get("text") or "").strip()
        if not unsigned and not empty and block["type"] != "tool_use":
            kept.append(block)
    return kept


def _assistant_blocks(message: Json, path: str, provider: str) -> Blocks:
    blocks = _native_blocks(message, path) if message.get("content_blocks") is not None else []
    if not blocks or not any(block["type"] == "text" for block in blocks):
        blocks += blocks_of(message, path, provider)
    calls = message.get("tool_calls")
    if calls is None:
        return blocks
    if not isinstance(calls, list):
        raise BadRequest(f"{path}.tool_calls must be a list.", path=f"{path}.tool_calls")
    return blocks + [_tool_use(call, f"{path}.tool_calls[{number}]") for number, call in enumerate(calls)]


def _tool_result(message: Json, path: str, provider: str) -> Json:
    block: Json = {
        "type": "tool_result",
        "tool_use_id": _tool_id(message, "tool_call_id", path),
    }
    content = message.get("content")
    if isinstance(content, str) and content:
        block["content"] = content
    elif parts := blocks_of(message, path, provider):
        block["content"] = parts
    if isinstance(message.get("is_error"), bool):
        block["is_error"] = message["is_error"]
    if isinstance(message.get("cache_control"), dict):
        block["cache_control"] = message["cache_control"]
    return block


def _check_pairs(turns: list[_Turn]) -> None:
    """Refuse calls without results right behind them, and results without calls right before them."""
    seen: set[str] = set()
    pairings = [turn.pairing() for turn in turns]
    before: list[str] = []
    for turn, (calls, results), (_, behind) in zip(turns, pairings, [*pairings[1:], ([], [])], strict=True):
        if not calls and not results:
            before = calls
            continue
        if len(set(calls)) < len(calls) or not seen.isdisjoint(calls):
            raise BadRequest("The ids of tool calls must differ.", path=f"{turn.path}.tool_calls")
        seen.update(calls)
        if set(calls) - set(behind):
            raise BadRequest(
                "Each tool call must be followed by a message of the role tool with its id.",
                path=f"{turn.path}.tool_calls",
            )
        if set(results) - set(before) or len(set(results)) < len(results):
            raise BadRequest(
                "Each message of the role tool must answer one call of the assistant message before it.",
                path=f"{turn.path}.tool_call_id",
            )
        before = calls


def _finish(turns: list[_Turn]) -> None:
    """Check the order of turns, and put each turn's blocks in the order that Anthropic asks for."""
    if not turns or turns[0].role != "user":
        raise BadRequest("The first message besides system messages must be the user's.", path="messages")
    for turn in turns:
        if len(turn.blocks) > 1:
            turn.blocks.sort(key=lambda block: block["type"] != "tool_result")
    _check_pairs(turns)
    last = turns[-1].blocks[-1]
    if turns[-1].role == "assistant" and last["type"] == "text":
        # Anthropic continues an assistant message at the end, but refuses one that ends in white space.
        turns[-1].blocks[-1] = {**last, "text": str(last.get("text")).rstrip()}


def _read_message(message: object, path: str, provider: str) -> tuple[str, Blocks]:
    """Return ("system" | "user" | "assistant", blocks) of one message."""
    if not isinstance(message, dict):
        raise BadRequest(f"{path} must be an object.", path=path)
    role = message.get("role")
    if not isinstance(role, str):
        raise BadRequest(f"{path}.role must be a string.", path=f"{path}.role")
    if role in {"system", "developer"}:
        return "system", blocks_of(message, path, provider)
    if role == "tool":
        return "user", [_tool_result(message, path, provider)]
    if role == "assistant":
        return role, _assistant_blocks(message, path, provider)
    if role != "user":
        raise BadRequest(f"{path}.role must be system, developer, user, assistant or tool.", path=f"{path}.role")
    blocks = blocks_of(message, path, provider)
    if not blocks:
        raise BadRequest(f"{path}.content must not be empty for {provider}.", path=f"{path}.content")
    return role, blocks


def split_messages(messages: object, provider: str) -> tuple[Blocks, list[Json]]:
    """Return the system prompt's blocks and the turns of OpenAI's `messages`.

    Raises BadRequest, or Unsupported, with the path of the message that is at fault.
    """
    if not isinstance(messages, list) or not messages:
        raise BadRequest("messages must be a list that is not empty.", path="messages")
    system: Blocks = []
    turns: list[_Turn] = []
    for number, message in enumerate(messages):
        path = place_of_message(number)
        role, blocks = _read_message(message, path, provider)
        if role == "system":
            system += blocks
        elif blocks and turns and turns[-1].role == role:
            turns[-1].blocks += blocks
        elif blocks:
            turns.append(_Turn(role, path, blocks))
    _finish(turns)
    return system, [{"role": turn.role, "content": _shortest(turn.blocks)} for turn in turns]


def _shortest(blocks: Blocks) -> str | Blocks:
    """Return the text alone when that is all there is."""
    if len(blocks) == 1 and len(blocks[0]) == 2 and blocks[0]["type"] == "text" and "text" in blocks[0]:
        return str(blocks[0]["text"])
    return blocks


def shortest_system(blocks: Blocks) -> str | Blocks:
    """Return the system prompt as a string when it is one plain text."""
    return _shortest(blocks)


def calls_without_thinking(turns: list[Json]) -> bool:
    """Return whether a turn called tools and its thinking was not sent back: Anthropic then refuses to think on."""
    for turn in turns:
        content = turn["content"]
        if turn["role"] == "assistant" and isinstance(content, list):
            kinds = {block["type"] for block in content}
            if "tool_use" in kinds and not kinds & _THINKING:
                return True
    return False
