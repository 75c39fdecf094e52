"""Cohere's datasets and embed jobs, and Fireworks' datasets and fine-tuning jobs, for tests: strict about what they get.

Each is a script for a FakeProvider; `refusals` are what it did not take.
"""

import re
from email.parser import BytesParser
from urllib.parse import parse_qs

import orjson

from tests.fakes.provider import Reply

KEY = "hosted-key"
ACCOUNT = "acme"
CREATED = "2026-01-02T03:04:05Z"


def file_in(seen, field):
    """Return the content of a form's one file."""
    head = f"content-type: {seen.headers['content-type']}\r\n\r\n".encode()
    [part] = BytesParser().parsebytes(head + seen.body).get_payload()
    assert part.get_param("name", header="content-disposition") == field
    assert int(seen.headers["content-length"]) == len(seen.body)
    return part.get_payload(decode=True)


class Hosted:
    """`files` are {id: content}, `jobs` {id: job}; `next_reply` answers the next request in place of all else."""

    def __init__(self):
        self.files, self.jobs, self.refusals, self.fetched_with = {}, {}, [], []
        self.next_reply, self.signed, self.part_url = None, {}, ""

    def refuse(self, status, message):
        self.refusals.append(message)
        return Reply(status, json={"message": message})

    def __call__(self, seen):
        path, _, query = seen.target.partition("?")
        if self.next_reply is not None:
            reply, self.next_reply = self.next_reply, None
            return reply
        if path.startswith("/signed/"):
            self.fetched_with.append(seen.headers.get("authorization"))
            return Reply(body=self.signed[path])
        if seen.headers.get("authorization") != f"Bearer {KEY}":
            return self.refuse(401, "invalid api token")
        return self.control(seen, path, parse_qs(query))


class FakeCohereJobs(Hosted):
    """`signed` is what lies at the parts of datasets; `part_url` is where they are said to be."""

    def dataset(self, name, host):
        held = self.files[name]
        parts = [
            {"id": f"p{number}", "name": "part", "index": number, "size_bytes": 10,
             "url": (self.part_url or f"http://{host}") + f"/signed/{name}/{number}"}
            for number in reversed(range(held.get("parts", 0)))
        ]  # fmt: skip
        return {
            "id": name, "name": held["name"], "created_at": CREATED, "updated_at": CREATED, "dataset_type": held["type"],
            "validation_status": "validated", "dataset_parts": parts,
        }  # fmt: skip

    def control(self, seen, path, query):
        host = seen.headers["host"]
        if path == "/v1/datasets" and seen.method == "POST":
            assert query.keys() == {"name", "type", "optional_fields"}, query
            assert (query["type"], query["optional_fields"]) == (["embed-input"], ["custom_id"])
            name = f"{query['name'][0]}-{len(self.files)}"
            rows = [orjson.loads(line) for line in file_in(seen, "data").splitlines()]
            self.files[name] = {"name": query["name"][0], "type": "embed-input", "rows": rows}
            return Reply(json={"id": name})
        if path == "/v1/datasets":
            first, count = int(query["offset"][0]), int(query["limit"][0])
            return Reply(
                json={"datasets": [self.dataset(name, host) for name in list(self.files)[first : first + count]]}
            )
        if match := re.fullmatch(r"/v1/datasets/([\w.-]+)", path):
            if match[1] not in self.files:
                return self.refuse(404, "dataset not found")
            if seen.method == "DELETE":
                del self.files[match[1]]
                return Reply(json={})
            return Reply(json={"dataset": self.dataset(match[1], host)})
        return self.job(seen, path)

    def job(self, seen, path):
        if path == "/v1/embed-jobs" and seen.method == "POST":
            if seen.json.keys() - {"model", "dataset_id", "input_type", "embedding_types", "truncate", "name"}:
                return self.refuse(400, "unknown field")
            if seen.json["dataset_id"] not in self.files:
                return self.refuse(400, "no such dataset")
            name = f"job-{len(self.jobs)}"
            self.jobs[name] = {
                "job_id": name, "status": "processing", "created_at": CREATED, "truncate": "END",
                "input_dataset_id": seen.json["dataset_id"], "model": seen.json["model"],
            }  # fmt: skip
            self.asked = seen.json
            return Reply(json={"job_id": name})
        if path == "/v1/embed-jobs":
            return Reply(json={"embed_jobs": list(self.jobs.values())})
        match = re.fullmatch(r"/v1/embed-jobs/([\w.-]+)(/cancel)?", path)
        if match is None or match[1] not in self.jobs:
            return self.refuse(404, "job not found")
        if match[2]:
            self.jobs[match[1]]["status"] = "cancelling"
            return Reply(json={})
        return Reply(json=self.jobs[match[1]])

    def run(self, job, *parts):
        """End a job with a dataset of these parts."""
        name = f"out-{job}"
        self.files[name] = {"name": name, "type": "embed-result", "parts": len(parts)}
        self.signed = {f"/signed/{name}/{number}": part for number, part in enumerate(parts)}
        self.jobs[job] |= {"status": "complete", "output_dataset_id": name}


class FakeFireworksJobs(Hosted):
    """`signed` is what lies where a dataset is fetched."""

    def control(self, seen, path, query):
        root = f"/v1/accounts/{ACCOUNT}/"
        if not path.startswith(root):
            return self.refuse(404, f"unknown path {path}")
        kind, _, rest = path.removeprefix(root).partition("/")
        return self.datasets(seen, rest, query) if kind == "datasets" else self.tunings(seen, kind, rest, query)

    def shown(self, name):
        return {
            "name": f"accounts/{ACCOUNT}/datasets/{name}", "createTime": CREATED, "state": self.files[name]["state"],
            "exampleCount": self.files[name]["count"], "userUploaded": {},
        }  # fmt: skip

    def datasets(self, seen, rest, query):
        name, _, action = rest.partition(":")
        if not name and seen.method == "POST":
            made = seen.json["dataset"]
            assert made.keys() == {"userUploaded", "exampleCount"}
            self.files[seen.json["datasetId"]] = {"state": "UPLOADING", "count": made["exampleCount"]}
            return Reply(json=self.shown(seen.json["datasetId"]))
        if not name:
            names, first = list(self.files), int(query.get("pageToken", ["0"])[0])
            end = first + min(int(query["pageSize"][0]), 2)
            token = {"nextPageToken": str(end)} if end < len(names) else {}
            return Reply(json={"datasets": [self.shown(each) for each in names[first:end]], **token})
        if name not in self.files:
            return self.refuse(404, "no such dataset")
        if action == "upload":
            content = file_in(seen, "file")
            if int(self.files[name]["count"]) != len(content.splitlines()):
                return self.refuse(400, "another number of examples")
            self.files[name] |= {"state": "READY", "rows": [orjson.loads(line) for line in content.splitlines()]}
            return Reply(json={"id": name, "object": "file"})
        if action == "getDownloadEndpoint":
            self.signed = {f"/signed/{name}": b"".join(orjson.dumps(row) + b"\n" for row in self.files[name]["rows"])}
            return Reply(json={"filenameToSignedUrls": {"a": f"http://{seen.headers['host']}/signed/{name}"}})
        if seen.method == "DELETE":
            del self.files[name]
            return Reply(json={})
        return Reply(json=self.shown(name))

    def tunings(self, seen, kind, rest, query):
        assert kind == "supervisedFineTuningJobs"
        name, _, action = rest.partition(":")
        if not name and seen.method == "POST":
            if seen.json["dataset"].rpartition("/")[2] not in self.files:
                return self.refuse(400, "no such dataset")
            name = f"sft-{len(self.jobs)}"
            self.jobs[name] = {
                **seen.json, "name": f"accounts/{ACCOUNT}/supervisedFineTuningJobs/{name}", "createTime": CREATED,
                "state": "JOB_STATE_CREATING",
            }  # fmt: skip
            return Reply(json=self.jobs[name])
        if not name:
            assert int(query["pageSize"][0]) <= 200
            return Reply(json={"supervisedFineTuningJobs": list(self.jobs.values())})
        if name not in self.jobs:
            return self.refuse(404, "no such job")
        if action == "cancel":
            self.jobs[name]["state"] = "JOB_STATE_CANCELLED"
            return Reply(json={})
        return Reply(json=self.jobs[name])
