"""A realtime provider for tests: refuses the handshakes that OpenAI refuses, answers events, and breaks off on demand.

In one event loop: `async with FakeRealtime() as fake: ... fake.base_url, fake.seen`.
From synchronous tests: `python -m tests.fakes.realtime --port 0` prints its port; `GET /_seen` lists the sessions.
Besides OpenAI's events it obeys `test.…` events: `break`, `close`, `flood`, `deaf` and `say`.
"""

import argparse
import asyncio
import signal
from dataclasses import asdict, dataclass, field

import orjson
from aiohttp import WSMsgType, web

KEY = "rt-key"
#: Where Azure has sessions, whose handshakes have a key of another name.
AZURE = ("/openai/v1/realtime", "/openai/realtime")
USAGE = {
    "total_tokens": 150, "input_tokens": 100, "output_tokens": 50,
    "input_token_details": {
        "text_tokens": 40, "audio_tokens": 60, "cached_tokens": 30,
        "cached_tokens_details": {"text_tokens": 10, "audio_tokens": 20},
    },
    "output_token_details": {"text_tokens": 10, "audio_tokens": 40},
}  # fmt: skip
TRANSCRIBED = {"type": "tokens", "total_tokens": 15, "input_tokens": 10, "output_tokens": 5,
               "input_token_details": {"text_tokens": 0, "audio_tokens": 10}}  # fmt: skip


@dataclass
class Session:
    """One handshake, and what followed it; `headers` have lower-case names, `close_code` is None while it goes on."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    status: int = 0
    texts: list[str] = field(default_factory=list)
    binaries: list[int] = field(default_factory=list)
    close_code: int | None = None
    close_reason: str = ""
    flooded: int = 0


def refusal(session):
    """Return (status, error) for a handshake that is refused, None for one that is not."""
    said = session.headers.get("api-key" if session.path in AZURE else "authorization", "")
    if said.removeprefix("Bearer ") != KEY or ("authorization" in session.headers) is (session.path in AZURE):
        return 401, {
            "message": "Incorrect API key provided.",
            "type": "invalid_request_error",
            "code": "invalid_api_key",
        }
    if session.path not in {"/v1/realtime", *AZURE}:
        return 404, {"message": f"Invalid URL (GET {session.path})", "type": "invalid_request_error", "code": None}
    if session.headers.get("upgrade", "").lower() != "websocket":
        return 426, {"message": "Upgrade required.", "type": "invalid_request_error", "code": None}
    writes = session.query.get("intent") == "transcription"
    named = "deployment" if "api-version" in session.query else "model"
    if writes == (named in session.query) and "call_id" not in session.query:
        return 400, {
            "message": "You must provide a model parameter.",
            "type": "invalid_request_error",
            "code": "missing_model",
        }
    if session.query.get("model", "").startswith("no-"):
        return 404, {"message": "The model does not exist.", "type": "invalid_request_error", "code": "model_not_found"}
    return None


class FakeRealtime:
    """A server on a free port of 127.0.0.1."""

    kind = "openai"
    key = KEY

    def __init__(self, port=0):
        self.seen = []
        self._port = port
        app = web.Application()
        app.router.add_get("/_seen", self._list_seen)
        app.router.add_get("/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2, handler_cancellation=True)

    @property
    def port(self):
        return int(self._runner.addresses[0][1])

    @property
    def base_url(self):
        return f"http://127.0.0.1:{self.port}/v1"

    async def __aenter__(self):
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        return self

    async def __aexit__(self, kind, error, trace):
        await self._runner.cleanup()

    async def _list_seen(self, _request):
        return web.json_response([asdict(session) for session in self.seen])

    async def _handle(self, request):
        headers = {name.lower(): value for name, value in request.headers.items()}
        session = Session(request.path, dict(request.query), headers)
        self.seen.append(session)
        refused = refusal(session)
        session.status = refused[0] if refused else 101
        if refused:
            return web.json_response({"error": {**refused[1], "param": None}}, status=refused[0])
        socket = web.WebSocketResponse(
            protocols=("realtime",), max_msg_size=64 * 1024 * 1024, autoclose=False, timeout=1
        )
        await socket.prepare(request)
        try:
            await self._serve(request, session, socket)
        finally:
            session.close_code = session.close_code or socket.close_code or 1006
        return socket

    async def _serve(self, request, session, socket):
        model = session.query.get("model") or session.query.get("deployment")
        told = {"object": "realtime.session", "id": "sess_1", "model": model} if model else {"type": "transcription"}
        await say(socket, {"type": "session.created", "event_id": "event_1", "session": told})
        while True:
            message = await socket.receive()
            if message.type is WSMsgType.TEXT:
                session.texts.append(message.data[:1000])
                await self._answer(request, session, socket, orjson.loads(message.data))
            elif message.type is WSMsgType.BINARY:
                session.binaries.append(len(message.data))
                await socket.send_bytes(message.data[::-1])
            else:
                if message.type is WSMsgType.CLOSE:
                    session.close_code, session.close_reason = message.data, message.extra or ""
                    await socket.close(code=message.data or 1000)
                return

    async def _answer(self, request, session, socket, event):
        kind = event["type"]
        if kind == "response.create":
            for number in range(3):
                await say(
                    socket, {"type": "response.output_text.delta", "event_id": f"event_{number}", "delta": str(number)}
                )
            await say(socket, {"type": "response.done", "event_id": "event_9", "response": {
                "object": "realtime.response", "id": "resp_1", "status": "completed", "output": [], "usage": USAGE}})  # fmt: skip
        elif kind == "input_audio_buffer.commit":
            await say(socket, {"type": "conversation.item.input_audio_transcription.completed", "event_id": "event_7",
                               "item_id": "i", "content_index": 0, "transcript": "hi", "usage": TRANSCRIBED})  # fmt: skip
        elif kind == "test.say":
            await socket.send_str(event["text"])
        elif kind == "test.break":
            request.transport.abort()
        elif kind == "test.close":
            await socket.close(code=event["code"], message=event["reason"].encode())
        elif kind == "test.deaf":
            await asyncio.Event().wait()
        elif kind == "test.flood":
            for number in range(event["count"]):
                await say(
                    socket,
                    {
                        "type": "response.output_audio.delta",
                        "event_id": f"event_{number}",
                        "delta": "A" * event["bytes"],
                    },
                )
                session.flooded += 1
        elif not kind.startswith(("session.", "conversation.", "input_audio_buffer.")):
            await say(socket, {"type": "error", "event_id": "event_8", "error": {
                "type": "invalid_request_error", "code": "invalid_value", "message": f"Invalid value: '{kind}'.", "param": "type",
                "event_id": event.get("event_id")}})  # fmt: skip


async def say(socket, event):
    await socket.send_str(orjson.dumps(event).decode())


async def serve(port):
    """Serve until SIGTERM or SIGINT; the first line printed is the port."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with FakeRealtime(port) as fake:
        print(fake.port, flush=True)
        await stop.wait()


def main():
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    asyncio.run(serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
