"""A provider that costs next to nothing: answers every request with one fixed chat, or one fixed stream."""

import argparse
import asyncio
import json

ANSWER = json.dumps({
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "lorem ipsum " * 120}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 400, "completion_tokens": 240, "total_tokens": 640},
}).encode()  # fmt: skip
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(ANSWER)


class Upstream(asyncio.Protocol):
    """HTTP/1.1 as far as two well-behaved clients need it."""

    def connection_made(self, transport):
        self.transport, self.waiting, self.pending = transport, 0, b""

    def data_received(self, data):
        self.pending += data
        while True:
            head, mark, rest = self.pending.partition(b"\r\n\r\n")
            if not mark:
                return
            length = 0
            for line in head.split(b"\r\n"):
                if line[:15].lower() == b"content-length:":
                    length = int(line[15:])
            if len(rest) < length:
                return
            self.pending = rest[length:]
            self.transport.write(HEAD + ANSWER)


async def main(port):
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    asyncio.run(main(parser.parse_args().port))
