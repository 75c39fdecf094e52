"""A provider for tests of load: streams as long and as slow as the model's name says, or answers what body arrived.

`stream-EVENTS-BYTES-PAUSEMS` streams that many events of that many characters each, pausing in between; `digest`
answers the SHA-256 of the last message, `chat` a short fixed answer.  `GET /_counts` tells how many bytes of streams were
taken, how many streams are open, and how many there have been.  What it cannot read it refuses with a 400.
"""

import argparse
import asyncio
import contextlib
import hashlib
import json
import resource
import signal

KEY = "paced-key"
READ_BYTES = 1024 * 1024
#: Written but not yet taken by the kernel; little, so that what counts as taken has left this process.
UNSENT_BYTES = 64 * 1024
USAGE = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}


class Refused(Exception):
    """The request is not what a careful client sends."""


def raise_file_limit():
    """Allow this process as many open files as it may have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def text_of_event(number, size):
    """Return the text of one event: its number, filled up to `size` characters."""
    return f"{number:08d}".ljust(size, ".")


def stream_shape(model):
    """Return (events, characters each, pause in seconds) of a model's name; None when it names no stream."""
    kind, *numbers = model.split("-")
    if kind != "stream":
        return None
    if len(numbers) != 3 or not all(number.isdigit() for number in numbers):
        raise Refused("model must be stream-EVENTS-BYTES-PAUSEMS")
    events, size, pause_ms = (int(number) for number in numbers)
    if size < 8:
        raise Refused("an event has at least 8 characters")
    return events, size, pause_ms / 1000


def event(delta, finish=None):
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "paced", "choices": [choice]}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def last_event():
    return event({}, "stop") + b"data: [DONE]\n\n"


def whole_stream(events, size):
    """Return all the bytes of a stream's events, which a gateway passes on as they are."""
    return b"".join(event({"content": text_of_event(number, size)}) for number in range(events)) + last_event()


def whole(content):
    message = {"role": "assistant", "content": content}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "paced",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": USAGE,
    }


def http_answer(status, body):
    content = json.dumps(body).encode()
    head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    return head.encode() + content


STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
CHAT = http_answer(200, whole("A short answer."))


def chunked(content):
    return b"%x\r\n%b\r\n" % (len(content), content)


def last_text(body):
    """Return the last message's text; raises Refused."""
    messages = body.get("messages")
    text = messages[-1].get("content") if isinstance(messages, list) and messages else None
    if not isinstance(text, str):
        raise Refused("the last message must have a text")
    return text


def answer_to(body):
    """Return the whole answer to a checked body; raises Refused."""
    if body["model"] == "chat":
        return CHAT
    return http_answer(200, whole(hashlib.sha256(last_text(body).encode()).hexdigest()))


async def read_request(reader):
    """Return (request line, headers, body); None when the client has gone.  Raises Refused."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")[:-2]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = headers.get("content-length", "0")
        if not length.isdigit() or "transfer-encoding" in headers:
            raise Refused("the length of the body must be said")
        return first, headers, await reader.readexactly(int(length))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


class PacedProvider:
    """The server's state: its counts."""

    def __init__(self, *, blind=False):
        """`blind`: bodies are not looked at, so that a large one costs this process next to nothing."""
        self._blind = blind
        self.taken_bytes = 0
        self.open = 0
        self.begun = 0

    def counts(self):
        return {"taken_bytes": self.taken_bytes, "open": self.open, "begun": self.begun}

    async def handle(self, reader, writer):
        """Serve one connection to its end."""
        try:
            # Cancelled only when the server ends; a cancelled task would be reported as a fault by asyncio's streams.
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                while (request := await read_request(reader)) is not None:
                    await self._reply(request, writer)
                    await writer.drain()
        finally:
            writer.close()

    async def _reply(self, request, writer):
        first, headers, content = request
        if first.startswith("GET /_counts "):
            writer.write(http_answer(200, self.counts()))
            return
        if self._blind:
            writer.write(CHAT)
            return
        try:
            shape, body = self._read(first, headers, content)
            answer = None if shape is not None else answer_to(body)
        except Refused as refusal:
            answer = http_answer(400, {"error": {"message": str(refusal), "type": "invalid_request_error"}})
        if answer is not None:
            writer.write(answer)
        else:
            await self._stream(writer, *shape)

    def _read(self, first, headers, content):
        """Return (shape of the stream, body), checked; raises Refused."""
        if not first.startswith("POST /v1/chat/completions "):
            raise Refused("unknown path")
        if headers.get("authorization") != f"Bearer {KEY}":
            raise Refused("wrong key")
        try:
            body = json.loads(content)
        except ValueError:
            raise Refused("the body is no JSON") from None
        model = body.get("model") if isinstance(body, dict) else None
        if not isinstance(model, str):
            raise Refused("model must be a string")
        shape = stream_shape(model)
        if (shape is not None) != (body.get("stream") is True):
            raise Refused("model and `stream` contradict each other")
        if shape is None and model not in {"chat", "digest"}:
            raise Refused("unknown model")
        return shape, body

    async def _stream(self, writer, events, size, pause_s):
        self.open += 1
        self.begun += 1
        writer.transport.set_write_buffer_limits(high=UNSENT_BYTES)
        try:
            writer.write(STREAM_HEAD)
            for number in range(events):
                await self._put(writer, event({"content": text_of_event(number, size)}))
                if pause_s:
                    await asyncio.sleep(pause_s)
            await self._put(writer, last_event())
            writer.write(b"0\r\n\r\n")
        finally:
            self.open -= 1

    async def _put(self, writer, content):
        writer.write(chunked(content))
        await writer.drain()
        self.taken_bytes += len(content)


async def serve(port, *, blind):
    """Serve until SIGTERM or SIGINT; the first line printed is the port."""
    raise_file_limit()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    provider = PacedProvider(blind=blind)
    server = await asyncio.start_server(provider.handle, "127.0.0.1", port, limit=READ_BYTES, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await stop.wait()


def main():
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--blind", action="store_true", help="answer every chat alike, without reading its body")
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.port, blind=arguments.blind))


if __name__ == "__main__":
    main()
