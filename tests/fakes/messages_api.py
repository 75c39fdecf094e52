"""A small Anthropic: refuses what the Messages API refuses, and answers deterministically.

Source: https://docs.anthropic.com/en/api/messages and https://docs.anthropic.com/en/api/errors
"""

import base64
import hashlib
import json
import re
from typing import Any

from deploy.local.demo_provider import fill, text_of

Json = dict[str, Any]

KEY = "sk-ant-fake"
PARAMETERS = {
    "model", "messages", "max_tokens", "system", "stream", "stop_sequences", "temperature", "top_p", "top_k", "tools",
    "tool_choice", "metadata", "thinking", "output_config", "service_tier", "container", "mcp_servers",
    "context_management", "cache_control", "inference_geo", "speed",
}  # fmt: skip
_ID = re.compile(r"[a-zA-Z0-9_-]+")
_INPUT_BLOCKS = {
    "text", "image", "document", "tool_use", "tool_result", "thinking", "redacted_thinking", "search_result",
}  # fmt: skip
_IMAGES = {"image/jpeg", "image/png", "image/gif", "image/webp"}


class Refused(Exception):
    """The real API would refuse this request."""

    def __init__(self, message: str, *, status: int = 400, kind: str = "invalid_request_error") -> None:
        super().__init__(message)
        self.status = status
        self.body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_fake"}


def _need(truth: object, message: str) -> None:
    if not truth:
        raise Refused(message)


def _check_source(block: Json, place: str) -> None:
    source: Any = block.get("source")
    _need(isinstance(source, dict), f"{place}.source: Field required")
    kind = source.get("type")
    _need(kind in {"base64", "url", "text", "file"}, f"{place}.source.type: unknown {kind!r}")
    if kind == "base64":
        allowed = _IMAGES if block["type"] == "image" else {"application/pdf"}
        _need(source.get("media_type") in allowed, f"{place}.source.media_type: not allowed")
        try:
            _need(bool(base64.b64decode(source.get("data", ""), validate=True)), f"{place}.source.data: empty")
        except ValueError:
            raise Refused(f"{place}.source.data: invalid base64") from None
    if kind == "url":
        _need(str(source.get("url")).startswith("http"), f"{place}.source.url: only http(s)")
    if kind == "text":
        _need(source.get("media_type") == "text/plain", f"{place}.source.media_type: not text/plain")


def _check_block(block: Any, role: str, place: str) -> None:
    _need(isinstance(block, dict), f"{place}: not an object")
    kind = block.get("type")
    _need(kind in _INPUT_BLOCKS, f"{place}.type: unknown {kind!r}")
    if kind == "text":
        _need(isinstance(block.get("text"), str), f"{place}.text: Field required")
        _need(bool(block["text"].strip()), f"{place}: text content blocks must contain non-whitespace text")
        _need(block.keys() <= {"type", "text", "cache_control", "citations"}, f"{place}: Extra inputs")
    if kind in {"image", "document"}:
        _check_source(block, place)
    if kind == "tool_use":
        _need(role == "assistant", f"{place}: tool_use in a user message")
        _need(bool(_ID.fullmatch(block.get("id", ""))), f"{place}.id: String should match pattern")
        _need(isinstance(block.get("input"), dict), f"{place}.input: should be a dictionary")
        _need(isinstance(block.get("name"), str) and bool(block["name"]), f"{place}.name: Field required")
    if kind == "tool_result":
        _need(role == "user", f"{place}: tool_result in an assistant message")
        inner = block.get("content")
        if isinstance(inner, list):
            for number, part in enumerate(inner):
                _check_block(part, role, f"{place}.content.{number}")
        else:
            _need(inner is None or isinstance(inner, str), f"{place}.content: wrong type")
    if kind == "thinking":
        _need(bool(block.get("signature")), f"{place}.signature: Field required")


def _blocks(message: Json) -> list[Json]:
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _ids(message: Json, kind: str, name: str) -> list[str]:
    return [block[name] for block in _blocks(message) if block["type"] == kind]


def _check_messages(messages: Any) -> None:
    _need(isinstance(messages, list) and bool(messages), "messages: at least one message is required")
    for number, message in enumerate(messages):
        place = f"messages.{number}"
        _need(isinstance(message, dict) and message.keys() == {"role", "content"}, f"{place}: Extra inputs")
        _need(message["role"] in {"user", "assistant"}, f"{place}.role: unexpected role")
        _need(isinstance(message["content"], (str, list)) and bool(message["content"]), f"{place}: non-empty content")
        for index, block in enumerate(_blocks(message)):
            _check_block(block, message["role"], f"{place}.content.{index}")
    _need(messages[0]["role"] == "user", 'messages: first message must use the "user" role')
    last = _blocks(messages[-1])[-1]
    if messages[-1]["role"] == "assistant" and last["type"] == "text":
        _need(last["text"] == last["text"].rstrip(), "messages: final assistant content ends with trailing whitespace")
    _check_tool_order(messages)


def _check_tool_order(messages: list[Json]) -> None:
    seen: set[str] = set()
    for number, message in enumerate(messages):
        calls = _ids(message, "tool_use", "id")
        _need(len(set(calls)) == len(calls) and seen.isdisjoint(calls), "messages: `tool_use` ids must be unique")
        seen |= set(calls)
        results = _ids(message, "tool_result", "tool_use_id")
        before = _ids(messages[number - 1], "tool_use", "id") if number else []
        _need(set(results) <= set(before), f"messages.{number}: unexpected `tool_use_id` in `tool_result` blocks")
        _need(len(set(results)) == len(results), f"messages.{number}: each tool_use must have a single result")
        kinds = [block["type"] for block in _blocks(message)]
        _need(kinds[: len(results)] == ["tool_result"] * len(results), f"messages.{number}: results must come first")
        if calls:
            behind = _ids(messages[number + 1], "tool_result", "tool_use_id") if number + 1 < len(messages) else []
            _need(set(calls) <= set(behind), f"messages.{number}: `tool_use` ids without `tool_result` blocks")


def check(body: Any) -> Any:
    """Return `body` when the Messages API would take it; raises Refused."""
    _need(isinstance(body, dict), "body: not an object")
    extra = body.keys() - PARAMETERS
    _need(not extra, f"{', '.join(sorted(extra))}: Extra inputs are not permitted")
    _need(isinstance(body.get("model"), str), "model: Field required")
    limit = body.get("max_tokens")
    _need(type(limit) is int and limit >= 1, "max_tokens: Field required")
    _check_messages(body.get("messages"))
    system = body.get("system", "")
    _need(isinstance(system, (str, list)), "system: wrong type")
    for number, block in enumerate(system if isinstance(system, list) else []):
        _check_block(block, "system", f"system.{number}")
    thinking = body.get("thinking") or {}
    if thinking.get("type") == "enabled":
        budget = thinking.get("budget_tokens")
        _need(type(budget) is int and 1024 <= budget < limit, "max_tokens: must be greater than thinking.budget_tokens")
    for number, tool in enumerate(body.get("tools") or ()):
        _need(isinstance(tool.get("name"), str), f"tools.{number}.name: Field required")
        schema = tool.get("input_schema")
        native = tool.get("type", "custom") != "custom"
        _need(native or (isinstance(schema, dict) and schema.get("type") == "object"), f"tools.{number}.input_schema")
    _need("tool_choice" not in body or bool(body.get("tools")), "tool_choice: only with tools")
    return body


def authorise(headers: Any) -> None:
    """Refuse a request without the headers that the real API needs."""
    if not headers.get("anthropic-version"):
        raise Refused("anthropic-version: header is required")
    if headers.get("x-api-key") != KEY:
        raise Refused("invalid x-api-key", status=401, kind="authentication_error")


def _content(body: Json) -> tuple[list[Json], str]:
    blocks = _blocks(body["messages"][-1])
    text = text_of(blocks)
    choice = (body.get("tool_choice") or {}).get("type", "auto")
    tools = {tool["name"]: tool for tool in body.get("tools") or () if "input_schema" in tool}
    called = [tool for name, tool in tools.items() if name in text] if choice != "none" else []
    if not called and choice in {"any", "tool"} and tools:
        called = [tools.get((body.get("tool_choice") or {}).get("name", ""), next(iter(tools.values())))]
    said = [{"type": "text", "text": f"Demo answer to: {text}"}]
    if not called:
        return said, "end_turn"
    uses = []
    for tool in called:
        made = fill(tool["input_schema"], text)
        digest = hashlib.sha256(json.dumps([tool["name"], made]).encode()).hexdigest()[:24]
        uses.append({"type": "tool_use", "id": f"toolu_{digest}", "name": tool["name"], "input": made})
    return said + uses, "tool_use"


def answer(body: Json) -> Json:
    """Return the whole answer of a checked body."""
    content, stop = _content(body)
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:24]
    words = sum(len(text_of(_blocks(message)).split()) for message in body["messages"])
    return {
        "id": f"msg_{digest}", "type": "message", "role": "assistant", "model": body["model"], "content": content,
        "stop_reason": stop, "stop_sequence": None,
        "usage": {
            "input_tokens": words, "output_tokens": len(text_of(content).split()),
            "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0,
        },
    }  # fmt: skip


def _deltas(block: Json) -> tuple[Json, list[Json]]:
    if block["type"] == "tool_use":
        text = json.dumps(block["input"]) if block["input"] else ""
        parts = [text[start : start + 7] for start in range(0, len(text), 7)]
        return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": part} for part in ("", *parts)]
    pieces = re.findall(r"\S+\s*", block["text"])
    return {"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in pieces]


def events(body: Json) -> list[tuple[str, Json]]:
    """Return the events of a checked body's streamed answer."""
    whole = answer(body)
    usage = whole["usage"]
    begun = {**whole, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    made: list[tuple[str, Json]] = [("message_start", {"message": begun}), ("ping", {})]
    for index, block in enumerate(whole["content"]):
        start, deltas = _deltas(block)
        made.append(("content_block_start", {"index": index, "content_block": start}))
        made += [("content_block_delta", {"index": index, "delta": delta}) for delta in deltas]
        made.append(("content_block_stop", {"index": index}))
    ended = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    made.append(("message_delta", {"delta": ended, "usage": {"output_tokens": usage["output_tokens"]}}))
    made.append(("message_stop", {}))
    return [(name, {"type": name, **event}) for name, event in made]
