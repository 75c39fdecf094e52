"""How does a conversation in OpenAI's words read in Bedrock's Converse?

Converse keeps the system prompt apart, knows two roles that take turns, and puts tool calls and their results into
blocks of those turns.  Rules that only some models have are left to Bedrock, which names them.
Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Message.html
"""

import hashlib
import re
from typing import Final

from data_plane.core.types import Json
from data_plane.providers._converse_parts import MAX_NAME_CHARS, Blocks, blocks_of, cache_point
from data_plane.providers._openai_request import (
    Call,
    Message,
    arguments_of,
    call_id,
    read_calls,
    read_messages,
    wrong,
)
from shared.errors import Unsupported

MAX_ID_CHARS: Final = 64
_NOT_IN_IDS: Final = re.compile(r"[^a-zA-Z0-9_.:-]")
_SYSTEM_BLOCKS: Final = frozenset({"text", "guardContent", "cachePoint"})
_OF_TOOLS: Final = frozenset({"toolUse", "toolResult"})


def _tool_id(given: str) -> str:
    """Return an id that Bedrock takes; a call and its result change in the same way."""
    if len(given) > MAX_ID_CHARS:
        return hashlib.sha256(given.encode()).hexdigest()
    return _NOT_IN_IDS.sub("_", given)


def _tool_use(call: Call) -> Blocks:
    block: Json = {"toolUse": {"toolUseId": _tool_id(call.call_id), "name": call.name, "input": arguments_of(call)}}
    return [block, *cache_point(call.said)]


def _thinking(block: Json) -> Json | None:
    """Return an earlier answer's thinking; None for what is unsigned, which Bedrock refuses."""
    if block.get("type") == "redacted_thinking" and isinstance(block.get("data"), str):
        return {"reasoningContent": {"redactedContent": block["data"]}}
    text, signature = block.get("thinking"), block.get("signature")
    if block.get("type") != "thinking" or not isinstance(text, str) or not isinstance(signature, str) or not signature:
        return None
    return {"reasoningContent": {"reasoningText": {"text": text, "signature": signature}}}


def _assistant(message: Message, provider: str) -> Blocks:
    blocks = _thoughts(message) + blocks_of(message.said, message.path, provider)
    if message.said.get("tool_calls") is not None:
        for call in read_calls(message.said, message.path):
            blocks += _tool_use(call)
    return blocks


def _thoughts(message: Message) -> Blocks:
    native = message.said.get("content_blocks")
    if native is None:
        return []
    if not isinstance(native, list) or not all(isinstance(block, dict) for block in native):
        raise wrong(f"{message.path}.content_blocks", "must be a list of blocks.")
    return [block for block in map(_thinking, native) if block is not None]


def _tool_result(message: Message, provider: str) -> Blocks:
    said = message.said
    content = [
        block
        for block in blocks_of({"content": said.get("content")}, message.path, provider)
        if "cachePoint" not in block
    ]
    result: Json = {"toolUseId": _tool_id(call_id(said, "tool_call_id", message.path)), "content": content}
    if said.get("is_error") is True:
        result["status"] = "error"
    return [{"toolResult": result}, *cache_point(said)]


def _system(message: Message, provider: str) -> Blocks:
    blocks = blocks_of(message.said, message.path, provider)
    for block in blocks:
        if _SYSTEM_BLOCKS.isdisjoint(block):
            raise Unsupported(f"{provider} takes only text as system prompt.", path=f"{message.path}.content")
    return blocks


def _name_apart(turns: list[Json]) -> None:
    """Make the names of documents differ: Bedrock refuses two of the same."""
    seen: dict[str, int] = {}
    for turn in turns:
        for number, block in enumerate(turn["content"]):
            if "document" not in block:
                continue
            document = block["document"]
            if not isinstance(document, dict) or not isinstance(name := document.get("name"), str):
                continue
            seen[name] = seen.get(name, 0) + 1
            if seen[name] > 1:
                other = f"{name[: MAX_NAME_CHARS - 10].rstrip()} ({seen[name]})"
                turn["content"][number] = {"document": {**document, "name": other}}


def _finish(turns: list[Json]) -> None:
    """Put each turn's blocks in the order that models ask for."""
    for turn in turns:
        blocks = turn["content"]
        if len(blocks) > 1 and turn["role"] == "user" and "toolResult" in map(_kind, blocks):
            _results_first(turn)
    last = turns[-1]["content"][-1]
    if turns[-1]["role"] == "assistant" and isinstance(last.get("text"), str):
        # Models that continue an assistant message at the end refuse one that ends in white space.
        turns[-1]["content"][-1] = {**last, "text": last["text"].rstrip()}


def _kind(block: Json) -> str:
    return next(iter(block), "")


def _results_first(turn: Json) -> None:
    """Move results before what the user says; the mark behind a result stays behind it."""
    results: Blocks = []
    rest: Blocks = []
    held = rest
    for block in turn["content"]:
        kind = _kind(block)
        if kind != "cachePoint":
            held = results if kind == "toolResult" else rest
        held.append(block)
    turn["content"] = results + rest


def split_messages(body: Json, provider: str) -> tuple[Blocks, list[Json]]:
    """Return the system prompt's blocks and the turns of the body's messages.

    Raises BadRequest, or Unsupported, with the path of the message that is at fault.
    """
    system: Blocks = []
    turns: list[Json] = []
    for message in read_messages(body):
        if message.role == "system":
            system += _system(message, provider)
            continue
        role = "assistant" if message.role == "assistant" else "user"
        if message.role == "tool":
            blocks = _tool_result(message, provider)
        elif role == "assistant":
            blocks = _assistant(message, provider)
        else:
            blocks = blocks_of(message.said, message.path, provider)
            if not blocks:
                raise wrong(f"{message.path}.content", f"must not be empty for {provider}.")
        if blocks and turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": role, "content": blocks})
    if not turns:
        raise wrong("messages", "must hold more than a system prompt.")
    _finish(turns)
    _name_apart(turns)
    return system, turns


def speak_of_tools(turns: list[Json]) -> bool:
    """Return whether a turn holds a call or a result: Bedrock then needs to know the tools."""
    return any(not _OF_TOOLS.isdisjoint(block) for turn in turns for block in turn["content"])


def calls_without_thinking(turns: list[Json]) -> bool:
    """Return whether a turn called tools and its thinking was not sent back: Claude then refuses to think on."""
    for turn in turns:
        kinds = {_kind(block) for block in turn["content"]}
        if turn["role"] == "assistant" and "toolUse" in kinds and "reasoningContent" not in kinds:
            return True
    return False
