"""What can be called when nobody has a provider's key yet?  A provider on this machine that speaks OpenAI's chat API.

It is deterministic (the same body gets the same answer, bytes and all) and refuses what OpenAI refuses, so that a
caller that works here was not merely humoured.  It has no model: it repeats what it was told.
"""

import argparse
import asyncio
import hashlib
import json
import re
import signal
from typing import Any, Final

import orjson
from aiohttp import web

KEY: Final = "demo-key"
MODELS: Final = ("gpt-4o", "gpt-4o-mini")
CREATED: Final = 1_700_000_000
MAX_BODY_BYTES: Final = 32 * 1024 * 1024
_ROLES: Final = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_PIECE: Final = re.compile(r"\S+\s*")

Json = dict[str, Any]


class Refused(Exception):
    """The request is one that OpenAI would refuse."""

    def __init__(self, message: str, param: str | None = None, *, status: int = 400, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}


def _answer(body: Json, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")


def text_of(content: object) -> str:
    """Return the text of a message's content."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str))


def _words(text: str) -> int:
    return len(text.split())


def _is_call(call: object) -> bool:
    function = call.get("function") if isinstance(call, dict) else None
    named = isinstance(function, dict) and all(isinstance(function.get(name), str) for name in ("name", "arguments"))
    return named and isinstance(call, dict) and isinstance(call.get("id"), str)


def _check_message(message: object, place: str) -> None:
    if not isinstance(message, dict):
        raise Refused(f"Invalid type for '{place}': expected an object.", place, code="invalid_type")
    role, content = message.get("role"), message.get("content")
    if not isinstance(role, str) or role not in _ROLES:
        raise Refused(f"Invalid value: '{role}'.", f"{place}.role", code="invalid_value")
    if not (content is None and role == "assistant") and not isinstance(content, (str, list)):
        sentence = f"Invalid type for '{place}.content': expected a string or a list."
        raise Refused(sentence, f"{place}.content", code="invalid_type")
    if isinstance(content, list) and not all(isinstance(part, dict) and "type" in part for part in content):
        raise Refused(f"Invalid content part in '{place}.content'.", f"{place}.content", code="invalid_type")
    calls = message.get("tool_calls")
    if calls is not None and not (isinstance(calls, list) and all(_is_call(call) for call in calls)):
        raise Refused(f"Invalid '{place}.tool_calls'.", f"{place}.tool_calls", code="invalid_type")
    if role == "tool" and not isinstance(message.get("tool_call_id"), str):
        sentence = f"Missing parameter '{place}.tool_call_id'."
        raise Refused(sentence, f"{place}.tool_call_id", code="missing_required_parameter")


def _check_order(messages: list[Json]) -> None:
    """Refuse tool messages that answer no call, as OpenAI does."""
    waiting: set[str] = set()
    for number, message in enumerate(messages):
        place = f"messages.[{number}]"
        if message["role"] == "tool":
            if message["tool_call_id"] not in waiting:
                sentence = "Messages with role 'tool' must be a response to a preceding message with 'tool_calls'."
                raise Refused(sentence, f"{place}.role")
            waiting.discard(message["tool_call_id"])
            continue
        if waiting:
            sentence = "An assistant message with 'tool_calls' must be followed by tool messages for each call."
            raise Refused(sentence, f"{place}.role")
        waiting = {call["id"] for call in message.get("tool_calls") or ()}


_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "stream": (bool,),
    "stream_options": (dict,),
    "temperature": (int, float),
    "top_p": (int, float),
    "max_tokens": (int,),
    "max_completion_tokens": (int,),
    "n": (int,),
    "tools": (list,),
    "tool_choice": (str, dict),
    "user": (str,),
}


def check(body: object) -> Json:
    """Return `body` when OpenAI would take it; raises Refused."""
    if not isinstance(body, dict):
        raise Refused("We could not parse the JSON body of your request: expected an object.")
    if not isinstance(body.get("model"), str) or not body["model"]:
        raise Refused("you must provide a model parameter")
    messages = body.get("messages")
    if messages is None:
        raise Refused("Missing required parameter: 'messages'.", "messages", code="missing_required_parameter")
    if not isinstance(messages, list):
        raise Refused("Invalid type for 'messages': expected a list.", "messages", code="invalid_type")
    if not messages:
        raise Refused("Invalid 'messages': empty array.", "messages", code="empty_array")
    for name, types in _TYPES.items():
        value = body.get(name)
        if value is not None and (not isinstance(value, types) or (isinstance(value, bool) and bool not in types)):
            raise Refused(f"Invalid type for '{name}'.", name, code="invalid_type")
    if body.get("stream_options") is not None and not body.get("stream"):
        raise Refused("The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options")
    if not 1 <= (body.get("n") or 1) <= 8:
        raise Refused("Invalid 'n': must be from 1 to 8.", "n", code="invalid_value")
    for number, message in enumerate(messages):
        _check_message(message, f"messages[{number}]")
    _check_order(messages)
    return body


def _tools(body: Json) -> dict[str, Json]:
    found = {}
    for number, tool in enumerate(body.get("tools") or ()):
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            place = f"tools[{number}].function.name"
            raise Refused(f"Missing required parameter: '{place}'.", place, code="missing_required_parameter")
        found[function["name"]] = function
    return found


def fill(schema: object, text: str) -> Json:
    """Return arguments that fit a flat JSON schema: strings are `text`, everything else is the smallest value."""
    properties = schema.get("properties") if isinstance(schema, dict) else None
    smallest: Json = {"number": 1, "integer": 1, "boolean": True, "array": [], "object": {}}
    filled: Json = {}
    for name, inner in properties.items() if isinstance(properties, dict) else ():
        kind = inner.get("type") if isinstance(inner, dict) else None
        filled[name] = smallest.get(kind, text) if isinstance(kind, str) else text
    return filled


def _called_tool(body: Json, text: str) -> Json | None:
    """Return the tool that the last user message names, or that `tool_choice` forces."""
    tools, choice = _tools(body), body.get("tool_choice")
    if choice == "none" or not tools or body["messages"][-1]["role"] != "user":
        return None
    if isinstance(choice, dict):
        function = choice.get("function")
        return tools.get(str(function.get("name"))) if isinstance(function, dict) else None
    named = next((tool for name, tool in tools.items() if name in text), None)
    return named or (next(iter(tools.values())) if choice == "required" else None)


def answer_message(body: Json) -> tuple[Json, str]:
    """Return the assistant's message and its finish reason."""
    text = next((text_of(m.get("content")) for m in reversed(body["messages"]) if m["role"] == "user"), "")
    tool = _called_tool(body, text)
    if tool is not None:
        arguments = json.dumps(fill(tool.get("parameters"), text), ensure_ascii=False)
        call_id = f"call_{hashlib.sha256(arguments.encode()).hexdigest()[:24]}"
        call = {"id": call_id, "type": "function", "function": {"name": tool["name"], "arguments": arguments}}
        return {"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls"
    pieces = _PIECE.findall(f"Demo answer to: {text}")
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    finish = "length" if limit and limit < len(pieces) else "stop"
    return {"role": "assistant", "content": "".join(pieces[: limit or None]), "refusal": None}, finish


def _usage(body: Json, message: Json, choices: int) -> Json:
    prompt = sum(_words(text_of(m.get("content"))) for m in body["messages"])
    calls = message.get("tool_calls") or ()
    written = _words(message["content"] or "") + sum(_words(call["function"]["arguments"]) for call in calls)
    completion = written * choices
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def _head(body: Json, kind: str) -> Json:
    digest = hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()
    return {"id": f"chatcmpl-{digest[:29]}", "object": kind, "created": CREATED, "model": body["model"]}


def complete(body: Json) -> Json:
    """Return the whole answer of a checked body."""
    message, finish = answer_message(body)
    number = body.get("n") or 1
    choices = [{"index": i, "message": message, "logprobs": None, "finish_reason": finish} for i in range(number)]
    return {**_head(body, "chat.completion"), "choices": choices, "usage": _usage(body, message, number)}


def _deltas(message: Json) -> list[Json]:
    first: Json = {"role": "assistant", "content": None if message.get("tool_calls") else ""}
    deltas = [first]
    for index, call in enumerate(message.get("tool_calls") or ()):
        function, arguments = call["function"], call["function"]["arguments"]
        deltas.append(
            {"tool_calls": [{**call, "index": index, "function": {"name": function["name"], "arguments": ""}}]}
        )
        deltas += [
            {"tool_calls": [{"index": index, "function": {"arguments": arguments[start : start + 8]}}]}
            for start in range(0, len(arguments), 8)
        ]
    return deltas + [{"content": piece} for piece in _PIECE.findall(message["content"] or "")]


def chunks(body: Json) -> list[Json]:
    """Return the chunks of a checked body's streamed answer, a word each."""
    message, finish = answer_message(body)
    head = _head(body, "chat.completion.chunk")
    shows_usage = (body.get("stream_options") or {}).get("include_usage") is True
    tail: Json = {"usage": None} if shows_usage else {}
    number, made = body.get("n") or 1, []
    for index in range(number):
        steps: list[tuple[Json, str | None]] = [(delta, None) for delta in _deltas(message)]
        for delta, reason in [*steps, ({}, finish)]:
            choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}
            made.append({**head, "choices": [choice], **tail})
    if shows_usage:
        made.append({**head, "choices": [], "usage": _usage(body, message, number)})
    return made


def _authorise(request: web.Request) -> None:
    given = request.headers.get("Authorization", "")
    if not given:
        raise Refused("You didn't provide an API key.", status=401)
    if given != f"Bearer {KEY}":
        raise Refused("Incorrect API key provided.", status=401, code="invalid_api_key")


async def _stream(request: web.Request, body: Json) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "text/event-stream", "cache-control": "no-cache"})
    await response.prepare(request)
    for chunk in chunks(body):
        await response.write(b"data: " + orjson.dumps(chunk) + b"\n\n")
    await response.write(b"data: [DONE]\n\n")
    await response.write_eof()
    return response


async def _chat(request: web.Request) -> web.StreamResponse:
    try:
        _authorise(request)
        try:
            decoded = orjson.loads(await request.read())
        except orjson.JSONDecodeError:
            raise Refused("We could not parse the JSON body of your request.") from None
        body = check(decoded)
        return await _stream(request, body) if body.get("stream") else _answer(complete(body))
    except Refused as refusal:
        return _answer(refusal.body, refusal.status)


async def _models(request: web.Request) -> web.Response:
    try:
        _authorise(request)
    except Refused as refusal:
        return _answer(refusal.body, refusal.status)
    listed = [{"id": name, "object": "model", "created": CREATED, "owned_by": "demo"} for name in MODELS]
    return _answer({"object": "list", "data": listed})


async def _health(_request: web.Request) -> web.Response:
    return _answer({"status": "success"})


def make_app() -> web.Application:
    """Return the demo provider as an application, its API below `/v1`."""
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.router.add_post("/v1/chat/completions", _chat)
    app.router.add_get("/v1/models", _models)
    app.router.add_get("/health", _health)
    return app


async def serve(port: int) -> None:
    """Serve on 127.0.0.1 until SIGTERM or SIGINT; prints the address, for `port` 0 picks one."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = web.AppRunner(make_app(), access_log=None, shutdown_timeout=2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print(f"demo provider on http://127.0.0.1:{runner.addresses[0][1]}/v1", flush=True)
    try:
        await stop.wait()
    finally:
        await runner.cleanup()


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8790, help="0 picks a free one")
    asyncio.run(serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
