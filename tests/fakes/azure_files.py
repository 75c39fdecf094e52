"""Azure's files and batches for tests: strict about the key, the address with or without a version, and the form.

`FakeAzureFiles` is a script for a FakeProvider; `run` lets a batch come to its end.
"""

import re
from email.parser import BytesParser
from urllib.parse import parse_qsl

import orjson

from tests.fakes.provider import Reply

KEY = "azure-key"
VERSIONS = {"2024-10-21", "2025-03-01-preview"}
_PURPOSES = {"batch", "fine-tune", "assistants"}
_BATCH = {"input_file_id", "endpoint", "completion_window", "metadata"}
_PATH = re.compile(r"/openai(/v1)?/(files|batches)(?:/([A-Za-z0-9_-]+)(/content|/cancel)?)?")


def refusal(status, message, code="BadRequest"):
    return Reply(status, json={"error": {"code": code, "message": message}})


def parts_of(seen):
    """Return {name: (file name or None, content)} of a form."""
    head = f"content-type: {seen.headers['content-type']}\r\n\r\n".encode()
    form = BytesParser().parsebytes(head + seen.body)
    if form.get_content_type() != "multipart/form-data":
        return {}
    return {
        part.get_param("name", header="content-disposition"): (part.get_filename(), part.get_payload(decode=True))
        for part in form.get_payload()
    }


class FakeAzureFiles:
    """`files` are {id: (row, content)}, `batches` rows by id, `refusals` what was asked wrongly."""

    def __init__(self):
        self.files, self.batches, self.refusals = {}, {}, []

    def refuse(self, status, message, code="BadRequest"):
        self.refusals.append(message)
        return refusal(status, message, code)

    def __call__(self, seen):
        path, _, query_text = seen.target.partition("?")
        query, match = dict(parse_qsl(query_text)), _PATH.fullmatch(path)
        if seen.headers.get("api-key") != KEY or "authorization" in seen.headers:
            return self.refuse(401, "Access denied due to invalid subscription key.", "401")
        if match is None:
            return self.refuse(404, f"Resource not found: {path}", "404")
        version = query.pop("api-version", None)
        if version not in ({None, "preview"} if match[1] else VERSIONS):
            return self.refuse(404, f"Resource not found in the version {version}", "404")
        if query.keys() - {"limit", "after", "purpose"}:
            return self.refuse(400, f"unknown parameters {sorted(query)}")
        return getattr(self, f"{seen.method.lower()}_{match[2]}")(seen, match[3], match[4])

    def keep(self, name, content, purpose):
        file_id = f"file-{len(self.files)}"
        row = {
            "id": file_id, "object": "file", "bytes": len(content), "created_at": 1, "filename": name,
            "purpose": purpose, "status": "processed",
        }  # fmt: skip
        self.files[file_id] = (row, content)
        return row

    def post_files(self, seen, _id, _action):
        form = parts_of(seen)
        purpose = form.get("purpose", (None, b""))[1].decode()
        name, content = form.get("file", (None, b""))
        if purpose not in _PURPOSES or not name:
            return self.refuse(400, "Purpose and file are required.")
        if purpose == "batch" and not name.endswith(".jsonl"):
            return self.refuse(400, "A batch's file must be a .jsonl.")
        return Reply(201, json=self.keep(name, content, purpose))

    def get_files(self, _seen, file_id, action):
        if file_id is None:
            return Reply(json={"object": "list", "data": [row for row, _ in self.files.values()], "has_more": False})
        if file_id not in self.files:
            return refusal(404, "The specified file does not exist.", "notFound")
        row, content = self.files[file_id]
        headers = {"content-type": "application/octet-stream"}
        return Reply(body=content, headers=headers) if action == "/content" else Reply(json=row)

    def delete_files(self, _seen, file_id, _action):
        del self.files[file_id]
        return Reply(json={"id": file_id, "object": "file", "deleted": True})

    def post_batches(self, seen, batch_id, action):
        if action == "/cancel":
            self.batches[batch_id]["status"] = "cancelling"
            return Reply(json=self.batches[batch_id])
        body = seen.json
        if body.keys() - _BATCH or body["input_file_id"] not in self.files or body["completion_window"] != "24h":
            return self.refuse(400, f"not a batch: {body}")
        batch_id = f"batch_{len(self.batches)}"
        self.batches[batch_id] = {
            **body, "id": batch_id, "object": "batch", "created_at": 1, "status": "validating", "output_file_id": "",
            "request_counts": {"total": 0, "completed": 0, "failed": 0},
        }  # fmt: skip
        return Reply(json=self.batches[batch_id])

    def get_batches(self, _seen, batch_id, _action):
        if batch_id is None:
            rows = list(self.batches.values())[::-1]
            return Reply(json={"object": "list", "data": rows, "has_more": False, "first_id": "", "last_id": ""})
        if batch_id not in self.batches:
            return refusal(404, f"Cannot find the batch job for batch Id: {batch_id}.", "resourceNotFound")
        return Reply(json=self.batches[batch_id])

    def run(self, batch_id, answer):
        """Run a batch: `answer` makes the body of each line's answer."""
        batch = self.batches[batch_id]
        lines = [orjson.loads(line) for line in self.files[batch["input_file_id"]][1].splitlines()]
        told = [
            {"custom_id": line["custom_id"], "response": {"status_code": 200, "request_id": "r", "body": answer(line)}, "error": None}
            for line in lines
        ]  # fmt: skip
        row = self.keep("out.jsonl", b"".join(orjson.dumps(line) + b"\n" for line in told), "batch_output")
        counts = {"total": len(lines), "completed": len(lines), "failed": 0}
        batch.update(status="completed", output_file_id=row["id"], request_counts=counts)
