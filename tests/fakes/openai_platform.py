"""A strict OpenAI: every endpoint that is not a chat, refusing what the real one refuses.

`python -m tests.fakes.openai_platform` serves on a free port and prints it.
"""

import asyncio
import base64
import itertools
import json
import struct

from aiohttp import BodyPartReader, web

KEY = "sk-sentinel-platform-key-0123456789"
PNG = base64.b64encode(b"\x89PNG picture").decode()
FORMATS = {"json", "text", "srt", "verbose_json", "vtt"}
PURPOSES = {"assistants", "batch", "fine-tune", "vision", "user_data", "evals"}


class Refused(Exception):
    def __init__(self, message, status=400, param=None):
        super().__init__(message)
        self.status, self.param = status, param


def need(condition, message, param=None):
    if not condition:
        raise Refused(message, param=param)


def only(body, *names):
    """Refuse members that the real one does not know."""
    unknown = set(body) - set(names)
    need(
        not unknown, f"Unrecognized request argument supplied: {', '.join(sorted(unknown))}", next(iter(unknown), None)
    )


def vector(text):
    return [len(text) / 100, 0.5, -0.25]


class Platform:
    """The state of one account."""

    def __init__(self):
        self.files, self.batches, self.jobs = {}, {}, {}
        self.numbers = itertools.count(1)

    async def embeddings(self, _request, body):
        only(body, "model", "input", "encoding_format", "dimensions", "user")
        need(isinstance(body.get("model"), str), "you must provide a model parameter", "model")
        texts = body["input"] if isinstance(body.get("input"), list) else [body.get("input")]
        need(texts and all(isinstance(text, str) and text for text in texts), "'$.input' is invalid", "input")
        packed = body.get("encoding_format") == "base64"

        def shown(text):
            numbers = vector(text)
            return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode() if packed else numbers

        data = [{"object": "embedding", "index": at, "embedding": shown(text)} for at, text in enumerate(texts)]
        count = sum(len(text.split()) for text in texts)
        return {
            "object": "list",
            "data": data,
            "model": body["model"],
            "usage": {"prompt_tokens": count, "total_tokens": count},
        }

    async def completions(self, _request, body):
        need(isinstance(body.get("prompt"), str), "you must provide a prompt", "prompt")
        choice = {"text": " done", "index": 0, "logprobs": None, "finish_reason": "stop"}
        usage = {"prompt_tokens": 2, "completion_tokens": 1, "total_tokens": 3}
        return {
            "id": "cmpl-1",
            "object": "text_completion",
            "created": 1,
            "model": body["model"],
            "choices": [choice],
            "usage": usage,
        }

    async def moderations(self, _request, body):
        only(body, "model", "input")
        need(body.get("input"), "you must provide an input", "input")
        result = {
            "flagged": False,
            "categories": {"hate": False},
            "category_scores": {"hate": 0.01},
            "category_applied_input_types": {"hate": ["text"]},
        }
        return {"id": "modr-1", "model": body.get("model") or "omni-moderation-latest", "results": [result]}

    async def generate(self, _request, body):
        only(
            body,
            "model",
            "prompt",
            "n",
            "size",
            "quality",
            "response_format",
            "style",
            "user",
            "background",
            "output_format",
        )
        need(isinstance(body.get("prompt"), str), "you must provide a prompt", "prompt")
        return self._images(body.get("n", 1))

    def _images(self, count):
        usage = {
            "input_tokens": 5,
            "output_tokens": 100,
            "total_tokens": 105,
            "input_tokens_details": {"text_tokens": 5, "image_tokens": 0},
        }
        return {"created": 1, "data": [{"b64_json": PNG} for _ in range(int(count))], "usage": usage}

    async def edit(self, request, _body):
        form = await read_form(request)
        need(form.get("prompt"), "you must provide a prompt", "prompt")
        images = [part for name in ("image", "image[]") for part in form.get(name, []) if isinstance(part, tuple)]
        need(images and all(content for _, content in images), "you must provide an image", "image")
        return self._images(form.get("n", ["1"])[0])

    async def vary(self, request, _body):
        form = await read_form(request)
        need(isinstance(form.get("image", [None])[0], tuple), "you must provide an image", "image")
        return self._images(form.get("n", ["1"])[0])

    async def speak(self, _request, body):
        only(body, "model", "input", "voice", "response_format", "speed", "instructions", "stream_format")
        need(isinstance(body.get("voice"), str), "you must provide a voice", "voice")
        return web.Response(body=b"ID3" + body["input"].encode(), content_type="audio/mpeg")

    async def transcribe(self, request, _body):
        form = await read_form(request)
        need(form.get("model"), "you must provide a model parameter", "model")
        need(isinstance(form.get("file", [None])[0], tuple), "you must provide a file", "file")
        kind = form.get("response_format", ["json"])[0]
        need(kind in FORMATS, "invalid response_format", "response_format")
        name, content = form["file"][0]
        text = f"{name} has {len(content)} bytes"
        if kind in {"text", "srt", "vtt"}:
            return web.Response(text=text + "\n", content_type="text/plain")
        return {"text": text, "usage": {"type": "duration", "seconds": 2}}

    async def create_file(self, request, _body):
        form = await read_form(request)
        need(form.get("purpose", [""])[0] in PURPOSES, "invalid purpose", "purpose")
        need(isinstance(form.get("file", [None])[0], tuple), "you must provide a file", "file")
        name, content = form["file"][0]
        file_id = f"file-{next(self.numbers)}"
        row = {
            "id": file_id,
            "object": "file",
            "bytes": len(content),
            "created_at": 1,
            "filename": name,
            "purpose": form["purpose"][0],
            "status": "processed",
        }
        self.files[file_id] = (row, content)
        return row

    async def list_files(self, _request, _body):
        return {"object": "list", "data": [row for row, _ in self.files.values()], "has_more": False}

    async def read_file(self, request, _body):
        return self._file(request)[0]

    def _file(self, request):
        found = self.files.get(request.match_info["id"])
        if found is None:
            raise Refused(f"No such File object: {request.match_info['id']}", 404, "id")
        return found

    async def file_content(self, request, _body):
        return web.Response(body=self._file(request)[1], content_type="application/octet-stream")

    async def delete_file(self, request, _body):
        row, _ = self._file(request)
        del self.files[row["id"]]
        return {"id": row["id"], "object": "file", "deleted": True}

    async def create_batch(self, _request, body):
        only(body, "input_file_id", "endpoint", "completion_window", "metadata", "output_expires_after")
        need(
            body.get("completion_window") == "24h", "Invalid value: completion_window must be 24h", "completion_window"
        )
        need(body.get("input_file_id") in self.files, "No such File object", "input_file_id")
        batch_id = f"batch_{next(self.numbers)}"
        _, content = self.files[body["input_file_id"]]
        lines = [json.loads(line) for line in content.splitlines() if line.strip()]
        answered = [
            {
                "id": "r",
                "custom_id": line["custom_id"],
                "response": {"status_code": 200, "request_id": "q", "body": {}},
                "error": None,
            }
            for line in lines
        ]
        out = f"file-{next(self.numbers)}"
        written = "\n".join(map(json.dumps, answered)).encode() + b"\n"
        self.files[out] = (
            {
                "id": out,
                "object": "file",
                "bytes": len(written),
                "created_at": 1,
                "filename": "out.jsonl",
                "purpose": "batch_output",
                "status": "processed",
            },
            written,
        )
        self.batches[batch_id] = {
            "id": batch_id, "object": "batch", "endpoint": body["endpoint"], "input_file_id": body["input_file_id"], "completion_window": "24h",
            "status": "completed", "created_at": 1, "output_file_id": out, "metadata": body.get("metadata"),
        }  # fmt: skip
        return {**self.batches[batch_id], "status": "validating", "output_file_id": None}

    def _named(self, kept, request):
        found = kept.get(request.match_info["id"])
        if found is None:
            raise Refused("No such object", 404, "id")
        return found

    async def read_batch(self, request, _body):
        return self._named(self.batches, request)

    async def list_batches(self, _request, _body):
        return {"object": "list", "data": list(self.batches.values()), "has_more": False}

    async def cancel_batch(self, request, _body):
        return {**self._named(self.batches, request), "status": "cancelling"}

    async def create_job(self, _request, body):
        only(
            body,
            "model",
            "training_file",
            "validation_file",
            "suffix",
            "seed",
            "method",
            "hyperparameters",
            "integrations",
            "metadata",
        )
        need(body.get("training_file") in self.files, "No such File object", "training_file")
        job_id = f"ftjob-{next(self.numbers)}"
        self.jobs[job_id] = {
            "id": job_id,
            "object": "fine_tuning.job",
            "model": body["model"],
            "created_at": 1,
            "status": "queued",
            "training_file": body["training_file"],
        }
        return self.jobs[job_id]

    async def read_job(self, request, _body):
        return self._named(self.jobs, request)

    async def job_events(self, request, _body):
        self._named(self.jobs, request)
        return {
            "object": "list",
            "data": [
                {
                    "id": "ftevent-1",
                    "object": "fine_tuning.job.event",
                    "created_at": 1,
                    "level": "info",
                    "message": "queued",
                }
            ],
            "has_more": False,
        }

    async def create_assistant(self, request, body):
        need(request.headers.get("openai-beta") == "assistants=v2", "You must provide the 'OpenAI-Beta' header")
        return {"id": "asst_1", "object": "assistant", "created_at": 1, "model": body["model"], "tools": []}

    async def rerank(self, _request, body):
        ranked = sorted(((text.count(body["query"]), -at) for at, text in enumerate(body["documents"])), reverse=True)
        return {
            "model": body["model"],
            "results": [{"index": -at, "relevance_score": score / 10} for score, at in ranked],
            "usage": {"total_tokens": 7},
        }

    async def ocr(self, _request, body):
        document = body.get("document")
        need(
            isinstance(document, dict) and document.get("type") in {"document_url", "image_url"},
            "invalid document",
            "document",
        )
        page = {"index": 0, "markdown": f"# {document['document_url']}"}
        return {"model": body["model"], "pages": [page], "usage_info": {"pages_processed": 1}}

    async def models(self, _request, _body):
        return {"object": "list", "data": [{"id": "gpt-4o", "object": "model", "created": 1, "owned_by": "openai"}]}


async def read_form(request):
    """Return {name: [text or (file name, content)]}; refuses what is no form."""
    need(request.content_type == "multipart/form-data", "Invalid Content-Type header: expected multipart/form-data")
    form = {}
    async for part in await request.multipart():
        need(isinstance(part, BodyPartReader), "a nested form")
        content = bytes(await part.read())
        form.setdefault(part.name, []).append((part.filename, content) if part.filename else content.decode())
    return form


ROUTES = (
    ("POST", "/embeddings", "embeddings"), ("POST", "/completions", "completions"), ("POST", "/moderations", "moderations"),
    ("POST", "/images/generations", "generate"), ("POST", "/images/edits", "edit"), ("POST", "/images/variations", "vary"),
    ("POST", "/audio/speech", "speak"), ("POST", "/audio/transcriptions", "transcribe"), ("POST", "/audio/translations", "transcribe"),
    ("POST", "/files", "create_file"), ("GET", "/files", "list_files"), ("GET", "/files/{id}", "read_file"), ("DELETE", "/files/{id}", "delete_file"),
    ("GET", "/files/{id}/content", "file_content"), ("POST", "/batches", "create_batch"), ("GET", "/batches", "list_batches"),
    ("GET", "/batches/{id}", "read_batch"), ("POST", "/batches/{id}/cancel", "cancel_batch"), ("POST", "/fine_tuning/jobs", "create_job"),
    ("GET", "/fine_tuning/jobs/{id}", "read_job"), ("GET", "/fine_tuning/jobs/{id}/events", "job_events"), ("POST", "/assistants", "create_assistant"),
    ("POST", "/rerank", "rerank"), ("POST", "/ocr", "ocr"), ("GET", "/models", "models"),
)  # fmt: skip


def answering(handler):
    async def answer(request):
        try:
            if request.headers.get("authorization") != f"Bearer {KEY}":
                raise Refused("Incorrect API key provided", 401)
            body = {}
            if request.method == "POST" and request.content_type == "application/json" and request.can_read_body:
                body = await request.json()
                need(isinstance(body, dict), "not an object")
            told = await handler(request, body)
        except Refused as refused:
            error = {"message": str(refused), "type": "invalid_request_error", "param": refused.param, "code": None}
            return web.json_response({"error": error}, status=refused.status)
        return told if isinstance(told, web.Response) else web.json_response(told)

    return answer


def make_app():
    platform, app = Platform(), web.Application(client_max_size=64 * 1024 * 1024)
    for method, path, name in ROUTES:
        app.router.add_route(method, "/v1" + path, answering(getattr(platform, name)))
    return app


async def serve():
    runner = web.AppRunner(make_app(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve())
