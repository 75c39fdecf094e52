"""A host that speaks OpenAI's API in a dialect of its own and forgives nothing, in a thread of the test's process."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = "acme-sentinel-key-0123456789"
#: What each path takes besides `model`: (what it must have, what it may have).
PATHS = {
    "/v1/chat": ({"messages"}, {"max_output_tokens", "safe_mode", "stream", "stream_options"}),
    "/v1/embeddings": ({"input"}, set()),
}
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
ANSWER = "Acme says hello"


def refusal(path, headers, body):
    """Return (status, sentence) of what is wrong with a request, None when nothing is."""
    if headers.get("x-acme-key") != KEY or headers.get("authorization"):
        return 401, "The key belongs into x-acme-key, and nowhere else."
    if headers.get("x-acme-region") != "eu":
        return 400, "x-acme-region is missing."
    if path not in PATHS:
        return 404, f"There is no {path}."
    needed, optional = PATHS[path]
    unknown = sorted(set(body) - needed - optional - {"model"})
    missing = sorted((needed | {"model"}) - set(body))
    if unknown or missing:
        return 400, f"Unknown: {unknown}, missing: {missing}."
    return None


def chat_answer(body):
    """Return a chat completion, as OpenAI writes one."""
    message = {"role": "assistant", "content": ANSWER}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return {"id": "acme-1", "object": "chat.completion", "created": 1, "model": body["model"], "choices": choices, "usage": USAGE}  # fmt: skip


def chunks(body):
    """Yield the events of a streamed chat."""
    head = {"id": "acme-1", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}
    for word in ANSWER.split():
        yield {
            **head,
            "choices": [{"index": 0, "delta": {"role": "assistant", "content": word}, "finish_reason": None}],
        }
    yield {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    if (body.get("stream_options") or {}).get("include_usage"):
        yield {**head, "choices": [], "usage": USAGE}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_arguments):
        """Say nothing."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.seen.append((self.path, headers, body))
        wrong = refusal(self.path, headers, body)
        if wrong is not None:
            self._say(wrong[0], {"error": {"message": wrong[1], "type": "acme_error"}})
        elif self.path == "/v1/embeddings":
            listed = [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}]
            self._say(200, {"object": "list", "model": body["model"], "data": listed, "usage": {"prompt_tokens": 2}})
        elif body.get("stream"):
            events = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks(body))
            self._send(200, events + b"data: [DONE]\n\n", "text/event-stream")
        else:
            self._say(200, chat_answer(body))

    def _say(self, status, body):
        self._send(status, json.dumps(body).encode(), "application/json")

    def _send(self, status, content, kind):
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def acme_host():
    """Yield (base URL, requests seen so far as (path, headers, body))."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.seen = []
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", server.seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
