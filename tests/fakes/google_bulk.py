"""Cloud Storage and Vertex AI's jobs for tests: strict about the order of an upload and the members of a job.

`FakeGoogleBulk` is a script for a FakeProvider.
"""

import re
from urllib.parse import parse_qs, unquote

import orjson

from tests.fakes.provider import Reply

TOKEN = "google-token"
ROOT = "/v1/projects/proj/locations/europe-west1"
CREATED = "2026-01-02T03:04:05.123456789Z"
CHUNK = 256 * 1024
_BATCH = {"displayName": str, "model": str, "inputConfig": dict, "outputConfig": dict}
_TUNING = {"baseModel": str, "supervisedTuningSpec": dict, "tunedModelDisplayName": str}
_MODEL = re.compile(r"publishers/(?:google|anthropic)/models/[\w.@-]+|projects/[^/]+/locations/[^/]+/models/[0-9]+")


def error(status, message, word="INVALID_ARGUMENT"):
    return Reply(status, json={"error": {"code": status, "message": message, "status": word}})


class FakeGoogleBulk:
    """`objects` are {"bucket/name": (content, metadata)}, `uploads` those begun and not ended, `jobs` by number."""

    def __init__(self, page=1000):
        self.objects = {}
        self.uploads = {}
        self.jobs = {}
        self.refusals = []
        self.page = page
        self.location = ""

    def refuse(self, reply):
        self.refusals.append(reply.json["error"]["message"])
        return reply

    def __call__(self, seen):
        if seen.headers.get("authorization") != f"Bearer {TOKEN}":
            return self.refuse(error(401, "who are you?", "UNAUTHENTICATED"))
        path, _, query_text = seen.target.partition("?")
        query = parse_qs(query_text)
        if path.startswith("/upload/storage/v1/b/"):
            return self.upload(seen, path.split("/")[5], query)
        if path.startswith("/storage/v1/b/"):
            return self.storage(seen, path, query)
        return self.control(seen, path, query)

    # storage

    def upload(self, seen, bucket, query):
        assert query["uploadType"] == ["resumable"]
        if seen.method == "POST":
            name = f"up-{len(self.uploads)}"
            self.uploads[name] = (f"{bucket}/{seen.json['name']}", bytearray(), seen.json)
            place = self.location or f"http://{seen.headers['host']}"
            return Reply(
                headers={"location": f"{place}/upload/storage/v1/b/{bucket}/o?uploadType=resumable&upload_id={name}"}
            )
        name = query["upload_id"][0]
        if seen.method == "DELETE":
            del self.uploads[name]
            return Reply(499)
        target, held, said = self.uploads[name]
        match = re.fullmatch(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)", seen.headers["content-range"])
        start, end, total = match.groups()
        if start is not None and (int(start) != len(held) or int(end) + 1 != len(held) + len(seen.body)):
            return self.refuse(error(400, "another range"))
        held += seen.body
        if total == "*":
            if len(seen.body) % CHUNK:
                return self.refuse(error(400, "not a multiple of 256 KiB"))
            return Reply(308, headers={"range": f"bytes=0-{len(held) - 1}"})
        if int(total) != len(held):
            return self.refuse(error(400, "another total"))
        del self.uploads[name]
        self.objects[target] = (bytes(held), said.get("metadata", {}))
        return Reply(json=self.told(target))

    def told(self, name):
        content, metadata = self.objects[name]
        bucket, _, key = name.partition("/")
        return {
            "kind": "storage#object",
            "bucket": bucket,
            "name": key,
            "size": str(len(content)),
            "timeCreated": CREATED,
            "metadata": metadata,
        }

    def storage(self, seen, path, query):
        bucket, _, key = path.removeprefix("/storage/v1/b/").partition("/o")
        key = unquote(key.removeprefix("/"))
        if not key:
            prefix, after = query.get("prefix", [""])[0], query.get("pageToken", [""])[0]
            names = sorted(name for name in self.objects if name.startswith(f"{bucket}/{prefix}") and name > after)
            token = {"nextPageToken": names[self.page - 1]} if len(names) > self.page else {}
            return Reply(json={"items": [self.told(name) for name in names[: self.page]], **token})
        name = f"{bucket}/{key}"
        if name not in self.objects:
            return error(404, f"No such object: {name}", "NOT_FOUND")
        if seen.method == "DELETE":
            del self.objects[name]
            return Reply(204)
        if query.get("alt") == ["media"]:
            return Reply(body=self.objects[name][0], headers={"content-type": "application/jsonl"})
        return Reply(json=self.told(name))

    # jobs

    def control(self, seen, path, query):
        match = re.fullmatch(rf"{ROOT}/(batchPredictionJobs|tuningJobs)(?:/([0-9]+))?(:cancel)?", path)
        if match is None:
            return self.refuse(error(404, f"unknown path {path}"))
        kind, number, cancel = match.groups()
        if number is None:
            return self.create(kind, seen.json) if seen.method == "POST" else self.listing(kind, query)
        job = self.jobs.get((kind, number))
        if job is None:
            return error(404, "The job does not exist.", "NOT_FOUND")
        if cancel:
            job["state"] = "JOB_STATE_CANCELLING"
            return Reply(json={})
        return Reply(json=job)

    def create(self, kind, body):
        known = _BATCH if kind == "batchPredictionJobs" else _TUNING
        if wrong := [name for name, value in body.items() if not isinstance(value, known.get(name, ()))]:
            return self.refuse(error(400, f"Unknown name {wrong}"))
        if kind == "batchPredictionJobs" and (
            not _MODEL.fullmatch(body["model"])
            or body["inputConfig"].keys() != {"instancesFormat", "gcsSource"}
            or body["outputConfig"].keys() != {"predictionsFormat", "gcsDestination"}
        ):
            return self.refuse(error(400, f"not a job: {body}"))
        number = str(7000 + len(self.jobs))
        name = f"projects/42/locations/europe-west1/{kind}/{number}"
        self.jobs[kind, number] = {
            **body,
            "name": name,
            "state": "JOB_STATE_PENDING",
            "createTime": CREATED,
            "updateTime": CREATED,
        }
        return Reply(json=self.jobs[kind, number])

    def listing(self, kind, query):
        found = [job for (each, _), job in self.jobs.items() if each == kind][::-1]
        start = int(query.get("pageToken", ["0"])[0])
        end = start + min(int(query["pageSize"][0]), self.page)
        return Reply(json={kind: found[start:end], **({"nextPageToken": str(end)} if end < len(found) else {})})

    def run(self, number, answer):
        """Run a batch: `answer` makes the rest of each line's result."""
        job = self.jobs["batchPredictionJobs", number]
        source = job["inputConfig"]["gcsSource"]["uris"][0].removeprefix("gs://")
        prefix = job["outputConfig"]["gcsDestination"]["outputUriPrefix"]
        lines = [orjson.loads(line) for line in self.objects[source][0].splitlines()]
        kept = [{"instance": line} if "content" in line else {**line, "processed_time": CREATED} for line in lines]
        told = [orjson.dumps({**held, **answer(line)}) + b"\n" for held, line in zip(kept, lines, strict=True)]
        folder = f"{prefix}/prediction-model-2026-01-02T03:04:05.123456Z"
        name = "000000000000.jsonl" if "embedding" in job["model"] else "predictions.jsonl"
        self.objects[f"{folder.removeprefix('gs://')}/{name}"] = (b"".join(told), {})
        job.update(
            state="JOB_STATE_SUCCEEDED", endTime=CREATED, outputInfo={"gcsOutputDirectory": folder},
            completionStats={"successfulCount": str(len(lines)), "failedCount": "0"},
        )  # fmt: skip
