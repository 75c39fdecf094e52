"""A model provider for tests: plays a script, else answers like a strict OpenAI or Anthropic, and remembers requests.

In one event loop: `async with FakeProvider(script) as fake: ... fake.base_url, fake.seen`.
From synchronous tests: `python -m tests.fakes.provider --port 0 --kind anthropic` prints its port; `GET /_seen` lists.
"""

import argparse
import asyncio
import json
import signal
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import orjson
from aiohttp import web

from deploy.local import demo_provider
from tests.fakes import messages_api

Json = dict[str, Any]
#: An event: bytes are written as they are; a dict or str is the data; a pair has the event's name too.
Event = bytes | str | Json | tuple[str, Json | str]

KEYS = {"openai": demo_provider.KEY, "anthropic": messages_api.KEY}
PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}


@dataclass
class Seen:
    """A request as it arrived; `headers` have lower-case names, `json` is None for a body that is none.

    `target` is path and query, byte for byte.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    target: str = ""

    @property
    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError:
            return None


@dataclass
class Reply:
    """One answer of a script.

    `sse` makes it a stream, without an end marker unless the events hold one (`"[DONE]"`).  `break_after` aborts the
    connection behind that many events (0: before the first), or in the middle of a plain body.  `hang` answers
    nothing until the fake is closed; `hang_after` stops in the middle of a stream.
    """

    status: int = 200
    json: Any = None
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    sse: Iterable[Event] | None = None
    delay_s: float = 0.0
    break_after: int | None = None
    hang: bool = False
    hang_after: int | None = None


Script = Sequence[Reply] | Callable[[Seen], Reply]


def event_bytes(event: Event) -> bytes:
    """Return the bytes of one server-sent event."""
    if isinstance(event, bytes):
        return event
    name = ""
    if isinstance(event, tuple):
        name, event = event
    text = event if isinstance(event, str) else orjson.dumps(event).decode()
    return (f"event: {name}\n" if name else "").encode() + f"data: {text}\n\n".encode()


def openai_reply(seen: Seen) -> Reply:
    """Return what a strict OpenAI answers."""
    try:
        if seen.headers.get("authorization") != f"Bearer {demo_provider.KEY}":
            raise demo_provider.Refused("Incorrect API key provided.", status=401, code="invalid_api_key")
        body = demo_provider.check(seen.json)
        if body.get("stream"):
            return Reply(sse=[*demo_provider.chunks(body), "[DONE]"])
        return Reply(json=demo_provider.complete(body))
    except demo_provider.Refused as refusal:
        return Reply(refusal.status, json=refusal.body)


def anthropic_reply(seen: Seen) -> Reply:
    """Return what a strict Anthropic answers."""
    try:
        messages_api.authorise(seen.headers)
        body = messages_api.check(seen.json)
        return Reply(sse=messages_api.events(body)) if body.get("stream") else Reply(json=messages_api.answer(body))
    except messages_api.Refused as refusal:
        return Reply(refusal.status, json=refusal.body)


_DEFAULTS = {"openai": openai_reply, "anthropic": anthropic_reply}


class FakeProvider:
    """A server on a free port of 127.0.0.1; `script` is used up first, or called for each request when callable."""

    def __init__(self, script: Script = (), *, kind: str = "openai", port: int = 0) -> None:
        self.seen: list[Seen] = []
        self.kind = kind
        self._choose = script if callable(script) else None
        self._replies = [] if callable(script) else list(script)
        self._port = port
        self._closing = asyncio.Event()
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_get("/_seen", self._list_seen)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)

    @property
    def port(self) -> int:
        return int(self._runner.addresses[0][1])

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """What a provider's `base_url` would be."""
        return f"{self.origin}/v1"

    @property
    def key(self) -> str:
        """The key that the strict answers ask for."""
        return KEYS[self.kind]

    def add(self, *replies: Reply) -> None:
        """Append to the script."""
        self._replies += replies

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        await self._runner.cleanup()

    def _next(self, seen: Seen) -> Reply:
        if self._choose is not None:
            return self._choose(seen)
        if self._replies:
            return self._replies.pop(0)
        if seen.path == "/v1/models":
            return Reply(json={"object": "list", "data": [{"id": name} for name in demo_provider.MODELS]})
        if seen.path != PATHS[self.kind]:
            return Reply(404, json={"error": {"message": f"Unknown path {seen.path}", "type": "not_found_error"}})
        return _DEFAULTS[self.kind](seen)

    async def _list_seen(self, _request: web.Request) -> web.Response:
        listed = [{"path": seen.path, "headers": seen.headers, "body": seen.json} for seen in self.seen]
        return web.json_response(listed)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        seen = Seen(request.method, request.path, headers, await request.read(), request.raw_path)
        self.seen.append(seen)
        reply = self._next(seen)
        if reply.delay_s:
            await asyncio.sleep(reply.delay_s)
        if reply.hang:
            await self._closing.wait()
            return web.Response(status=500)
        return await (self._stream(request, reply) if reply.sse is not None else self._whole(request, reply))

    async def _whole(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        body = orjson.dumps(reply.json) if reply.json is not None else reply.body
        headers = {"content-type": "application/json", **reply.headers}
        if reply.break_after is None:
            return web.Response(status=reply.status, body=body, headers=headers)
        response = web.StreamResponse(status=reply.status, headers={**headers, "content-length": str(len(body) + 1)})
        await response.prepare(request)
        await response.write(body)
        return self._abort(request, response)

    async def _stream(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        headers = {"content-type": "text/event-stream; charset=utf-8", **reply.headers}
        response = web.StreamResponse(status=reply.status, headers=headers)
        await response.prepare(request)
        events = list(reply.sse or ())
        for event in events[: reply.break_after if reply.break_after is not None else reply.hang_after]:
            await response.write(event_bytes(event))
        if reply.break_after is not None:
            return self._abort(request, response)
        if reply.hang_after is not None:
            await self._closing.wait()
        await response.write_eof()
        return response

    @staticmethod
    def _abort(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
        """Close without the end of the chunked body: what was written arrives, and then the answer breaks off."""
        if request.transport is not None:
            request.transport.close()
        return response


async def serve(kind: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT; the first line printed is the port."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with FakeProvider(kind=kind, port=port) as fake:
        print(fake.port, flush=True)
        await stop.wait()


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--kind", choices=sorted(KEYS), default="openai")
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.kind, arguments.port))


if __name__ == "__main__":
    main()
