"""A batch of the gateway's own through real processes: killed in the middle, it goes on and answers every line once."""

import hashlib
import json
import os
import re
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import openai
import pytest

from tests.system.system_kit import PROVIDER_KEY, wait_for

MIB = 1024 * 1024
LINES = 3000
CONCURRENCY = 25
#: Lines that are answered in a quarter of a second on a machine that does nothing else: what a recorder that waits for its
#: turn may hold in memory.
BLINK = 8 * CONCURRENCY
FILE_BYTES = 500 * MIB
#: What a file of any size may add to the memory of the worker that takes it.
FILE_BOUND = 32 * MIB
OWN = {"x-portkey-provider": "gatehouse"}
PIECE = hashlib.sha256(b"piece").digest() * (MIB // 32)


def client_of(system, headers=OWN):
    return openai.OpenAI(base_url=f"{system.gateway}/v1", api_key=system.key, default_headers=headers, max_retries=5)


def lines(count, model="@demo/gpt-4o"):
    for number in range(count):
        body = {"model": model, "messages": [{"role": "user", "content": f"number {number}"}]}
        yield json.dumps({"custom_id": f"c{number}", "method": "POST", "url": "/v1/chat/completions", "body": body})


@pytest.mark.timeout(240)
def test_a_batch_goes_on_after_a_kill_and_answers_every_line_once(system):
    with client_of(system) as client:
        file = client.files.create(file=("in.jsonl", "\n".join(lines(LINES)).encode()), purpose="batch")
        batch = client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="immediate"
        )
        wait_for(
            lambda: client.batches.retrieve(batch.id).request_counts.completed > 0, "the batch begins", every_s=0.01
        )
        system.programs["gateway"].kill()
        before = len(answered(system, batch.id))
        system.start("gateway")
        system.wait_ready()
        assert before < LINES, "the kill came too late to show anything"
        done = wait_for(lambda: ended(client, batch.id), "the batch ends", 120)
        assert (done.status, done.request_counts.completed, done.request_counts.failed) == ("completed", LINES, 0)
        told = [json.loads(line) for line in client.files.content(done.output_file_id).text.splitlines()]
        assert sorted(line["custom_id"] for line in told) == sorted(f"c{number}" for number in range(LINES))
        assert all(line["response"]["body"]["choices"] for line in told)
        ids = [line["response"]["request_id"] for line in told]
        # The kill may have taken the records of what had been answered in the blink before it, and of nothing else.
        stored = wait_for(lambda: enough(system.stored(*ids)), "the records arrive")
        assert set(stored.values()) == {1}
        sql = "SELECT count(*) FROM logs_record WHERE metadata->>'batch_id' = %s AND endpoint = 'chat' AND tok_out > 0"
        assert system.query(sql, batch.id)[0][0] >= LINES - BLINK


def enough(stored):
    return stored if len(stored) >= LINES - BLINK else None


def answered(system, batch_id):
    found = list(system.state.glob(f"batches/batches/*/{batch_id}/output.jsonl"))
    return found[0].read_bytes().splitlines() if found else []


def ended(client, batch_id):
    batch = client.batches.retrieve(batch_id)
    return batch if batch.status in {"completed", "failed", "cancelled", "expired"} else None


def test_a_batch_through_any_provider_tells_what_failed(system):
    with client_of(system) as client:
        content = "\n".join([*lines(2), "{broken", *lines(1, "@nobody/gpt-4o")]).encode().replace(b'"c0"', b'"x0"', 1)
        file = client.files.create(file=("in.jsonl", content), purpose="batch")
        batch = client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="immediate"
        )
        done = wait_for(lambda: ended(client, batch.id), "the batch ends", 60)
        wrong = {
            line["custom_id"]: line
            for line in map(json.loads, client.files.content(done.error_file_id).text.splitlines())
        }
        assert (done.status, done.request_counts.completed) == ("completed", 2)
        assert wrong["line-3"]["error"]["code"] == "invalid_request"
        assert wrong["c0"]["response"]["status_code"] == 400


class Sink(BaseHTTPRequestHandler):
    """Stands where a provider keeps files, and tells how much of one came and what its digest is."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        left, digest = int(self.headers["content-length"]), hashlib.sha256()
        assert self.headers["authorization"] == f"Bearer {PROVIDER_KEY}"
        taken = left
        while left:
            piece = self.rfile.read(min(left, MIB))
            digest.update(piece)
            left -= len(piece)
        body = json.dumps({"id": "file-1", "bytes": taken, "sha256": digest.hexdigest()}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def workers(system):
    """Return the processes that take requests; the one for batches starts when it likes."""
    pid = system.programs["gateway"].process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [child for child in children if b"batch-worker" not in Path(f"/proc/{child}/cmdline").read_bytes()]


def memory(system, field):
    told = [Path(f"/proc/{pid}/status").read_text() for pid in workers(system)]
    return sum(int(re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE)[1]) * 1024 for status in told)


def grown(system, send):
    """Return how many bytes the gateway's workers held at most beyond what they held before `send`."""
    for pid in workers(system):
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    before = memory(system, "VmRSS")
    send()
    return memory(system, "VmHWM") - before


def upload(system, headers):
    """Send a form with one large file; return the decoded answer and the digest of the form."""
    boundary = "x" * 24
    head = (
        f'--{boundary}\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--{boundary}\r\n'
        'content-disposition: form-data; name="file"; filename="large.jsonl"\r\n\r\n'
    ).encode()
    tail = f"\r\n--{boundary}--\r\n".encode()
    digest = hashlib.sha256()

    def pieces():
        for piece in (head, *(PIECE for _ in range(FILE_BYTES // MIB)), tail):
            digest.update(piece)
            yield piece

    sent = {
        "authorization": f"Bearer {system.key}", "content-type": f"multipart/form-data; boundary={boundary}",
        "content-length": str(len(head) + FILE_BYTES + len(tail)), **headers,
    }  # fmt: skip
    answer = httpx.post(f"{system.gateway}/v1/files", content=pieces(), headers=sent, timeout=120)
    assert answer.status_code == 200, answer.text
    return answer.json(), digest.hexdigest()


@pytest.mark.timeout(240)
def test_a_file_of_500_mb_takes_no_memory_kept_here_or_sent_on(system):
    answers = []
    kept = grown(system, lambda: answers.append(upload(system, OWN)[0]))
    assert answers[0]["bytes"] == FILE_BYTES
    assert kept < FILE_BOUND
    with client_of(system) as client:
        client.files.delete(answers[0]["id"])
    with HTTPServer(("127.0.0.1", 0), Sink) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            host = f"http://127.0.0.1:{server.server_port}/v1"
            made = {
                "name": f"Sink {os.getpid()}",
                "provider": "openai",
                "key": PROVIDER_KEY,
                "workspace_id": system.demo["workspace_id"],
            }
            slug = system.admin("POST", "/virtual-keys", made | {"custom_host": host})["slug"]
            system.wait_current()
            sent_on = grown(system, lambda: answers.append(upload(system, {"x-portkey-virtual-key": slug})))
        finally:
            server.shutdown()
            thread.join()
    told, digest = answers[1]
    assert told["sha256"] == digest
    assert sent_on < FILE_BOUND
