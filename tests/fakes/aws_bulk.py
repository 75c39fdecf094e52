"""S3 and Bedrock's control service for tests: strict ones, which refuse what AWS's own description of them refuses.

`FakeAwsBulk` is a script for a FakeProvider.  Signatures are recomputed by botocore from what arrived.
"""

import asyncio
import hashlib
import re
from functools import cache
from urllib.parse import parse_qs, quote, unquote
from xml.etree import ElementTree as ET

import botocore.loaders
import botocore.model
import botocore.validate
import orjson
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.fakes.aws import converse_problems
from tests.fakes.clouds import BASE, KEYS, signature_fault
from tests.fakes.provider import Reply

ARN = "arn:aws:bedrock:eu-west-1:123456789012:"
ROLE = "arn:aws:iam::123456789012:role/batch"
MIN_PART = 5 * 1024 * 1024
XML = {"content-type": "application/xml"}
CREATED = "2026-01-02T03:04:05Z"


@cache
def service():
    loader = botocore.loaders.Loader()
    return botocore.model.ServiceModel(loader.load_service_model("bedrock", "service-2"), "bedrock")


def problems(operation, given):
    """What Bedrock's own description finds wrong with the parameters of an operation, patterns included."""
    shape = service().operation_model(operation).input_shape
    report = botocore.validate.ParamValidator().validate(given, shape).generate_report()
    return [line for line in (report, *misfits(shape, given)) if line]


def misfits(shape, given):
    """Texts that do not fit their patterns, and members that the service does not know."""
    if shape.type_name == "structure":
        for name, value in given.items():
            if name not in shape.members:
                yield f"unknown member {name}"
            else:
                yield from misfits(shape.members[name], value)
    elif shape.type_name == "list":
        for value in given:
            yield from misfits(shape.member, value)
    elif shape.type_name == "string":
        pattern = shape.metadata.get("pattern")
        if pattern and not re.fullmatch(pattern, given):
            yield f"{given!r} does not fit {pattern}"
        if shape.metadata.get("enum") and given not in shape.metadata["enum"]:
            yield f"{given!r} is no choice"


def s3_fault(seen, keys):
    """What S3 would find wrong with a signature; None when nothing."""
    told = seen.headers.get("authorization", "")
    if not told.startswith("AWS4-HMAC-SHA256 "):
        return "unsigned"
    parts = dict(part.split("=", 1) for part in told.partition(" ")[2].split(", "))
    key_id, _, region, named, _ = parts["Credential"].split("/")
    if named != "s3" or key_id not in keys:
        return "another service or key"
    if seen.headers.get("x-amz-content-sha256") != hashlib.sha256(seen.body).hexdigest():
        return "another body"
    signed = parts["SignedHeaders"].split(";")
    if missing := {name for name in seen.headers if name.startswith("x-amz-")} - set(signed):
        return f"unsigned headers: {sorted(missing)}"
    _, secret, token = keys[key_id]
    headers = {name: seen.headers[name] for name in signed if name != "host"}
    request = AWSRequest(seen.method, f"http://{seen.headers['host']}{seen.target}", data=seen.body, headers=headers)
    request.context["timestamp"] = seen.headers["x-amz-date"]
    auth = S3SigV4Auth(Credentials(key_id, secret, token), "s3", region)
    expected = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    return None if parts["Signature"] == expected else "wrong signature"


def error_xml(status, code, message="no"):
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Reply(status, body=body.encode(), headers=XML)


class FakeAwsBulk:
    """`objects` are {"bucket/key": (content, headers)}, `uploads` those begun and not ended, `jobs` by ARN."""

    def __init__(self, buckets=("in-bucket", "out-bucket"), page=1000):
        self.buckets = set(buckets)
        self.objects = {}
        self.uploads = {}
        self.jobs = {}
        self.refusals = []
        self.keys = dict(KEYS)
        self.failures = []  # replies that are given before anything else to PUTs of parts
        self.completes_badly = False
        self.page = page
        self.part_sent, self.dropped = asyncio.Event(), asyncio.Event()

    def __call__(self, seen):
        control = re.match(r"/model-(invocation|customization)-job", seen.path)
        fault = signature_fault(seen, self.keys, "bedrock") if control else s3_fault(seen, self.keys)
        if fault and seen.headers.get("authorization") != "Bearer bedrock-api-key":
            self.refusals.append(fault)
            return Reply(403, json={"message": fault}) if control else error_xml(403, "SignatureDoesNotMatch", fault)
        return self.control(seen) if control else self.storage(seen)

    # storage

    def storage(self, seen):
        bucket, _, key = unquote(seen.target.partition("?")[0]).removeprefix("/").partition("/")
        query = parse_qs(seen.target.partition("?")[2], keep_blank_values=True)
        if bucket not in self.buckets:
            return error_xml(404, "NoSuchBucket", "The specified bucket does not exist")
        if seen.method == "GET" and not key:
            return self.listing(bucket, query)
        name = f"{bucket}/{key}"
        if seen.method == "POST" and "uploads" in query:
            upload = f"up/{len(self.uploads)}=+&"
            self.uploads[upload] = (name, {}, dict(seen.headers))
            escaped = upload.replace("&", "&amp;")
            return Reply(
                body=f"<InitiateMultipartUploadResult><UploadId>{escaped}</UploadId></InitiateMultipartUploadResult>".encode(),
                headers=XML,
            )
        if "uploadId" in query:
            return self.upload(seen, name, query)
        if name not in self.objects:
            return (
                Reply(404)
                if seen.method == "HEAD"
                else error_xml(404, "NoSuchKey", "The specified key does not exist.")
            )
        content, headers = self.objects[name]
        if seen.method == "DELETE":
            del self.objects[name]
            return Reply(204)
        purpose = {"x-amz-meta-purpose": headers.get("x-amz-meta-purpose", "")}
        return Reply(
            body=content,
            headers={"content-type": "application/jsonl", "last-modified": "Fri, 02 Jan 2026 03:04:05 GMT", **purpose},
        )

    def upload(self, seen, name, query):
        upload = query["uploadId"][0]
        if upload not in self.uploads or self.uploads[upload][0] != name:
            return error_xml(404, "NoSuchUpload")
        if seen.method == "DELETE":
            del self.uploads[upload]
            self.dropped.set()
            return Reply(204)
        if seen.method == "PUT":
            self.part_sent.set()
            if self.failures:
                return self.failures.pop(0)
            tag = f'"{hashlib.md5(seen.body).hexdigest()}"'
            self.uploads[upload][1][int(query["partNumber"][0])] = (tag, seen.body)
            return Reply(headers={"etag": tag})
        return self.complete(seen, name, upload)

    def complete(self, seen, name, upload):
        if self.completes_badly:
            return Reply(200, body=b"<Error><Code>InternalError</Code><Message>later</Message></Error>", headers=XML)
        _, parts, headers = self.uploads.pop(upload)
        space = "{http://s3.amazonaws.com/doc/2006-03-01/}"
        asked = [
            (int(part.find(f"{space}PartNumber").text), part.find(f"{space}ETag").text)
            for part in ET.fromstring(seen.body)
        ]
        if asked != sorted((number, tag) for number, (tag, _) in parts.items()):
            return error_xml(400, "InvalidPart")
        if any(len(parts[number][1]) < MIN_PART for number, _ in asked[:-1]):
            return error_xml(400, "EntityTooSmall")
        self.objects[name] = (b"".join(parts[number][1] for number, _ in asked), headers)
        return Reply(body=b"<CompleteMultipartUploadResult><Key>x</Key></CompleteMultipartUploadResult>", headers=XML)

    def listing(self, bucket, query):
        assert (query["list-type"], query["encoding-type"]) == (["2"], ["url"])
        prefix = query.get("prefix", [""])[0]
        after = query.get("continuation-token", [""])[0]
        keys = sorted(name.partition("/")[2] for name in self.objects if name.startswith(f"{bucket}/{prefix}"))
        keys = [key for key in keys if key > after]
        count = min(int(query["max-keys"][0]), self.page)
        entries = "".join(
            f"<Contents><Key>{quote(key)}</Key><LastModified>{CREATED}</LastModified><Size>{len(self.objects[f'{bucket}/{key}'][0])}</Size></Contents>"
            for key in keys[:count]
        )
        token = f"<NextContinuationToken>{keys[count - 1]}</NextContinuationToken>" if len(keys) > count else ""
        return Reply(
            body=f"<?xml version='1.0'?><ListBucketResult>{entries}{token}</ListBucketResult>".encode(), headers=XML
        )

    # jobs

    def control(self, seen):
        path = unquote(seen.target.partition("?")[0])
        query = parse_qs(seen.target.partition("?")[2])
        kind = "invocation" if path.startswith("/model-invocation") else "customization"
        if seen.method == "POST" and path in {"/model-invocation-job", "/model-customization-jobs"}:
            return self.create(kind, seen.json)
        if seen.method == "GET" and path in {"/model-invocation-jobs", "/model-customization-jobs"}:
            return self.jobs_of(kind, query)
        name = path.partition("/")[2].partition("/")[2]
        stop = seen.method == "POST" and name.endswith("/stop")
        name = name.removesuffix("/stop")
        job = next((job for arn, job in self.jobs.items() if name in {arn, arn.rpartition("/")[2]}), None)
        if job is None:
            return Reply(
                404,
                json={"message": "The provided job identifier does not exist."},
                headers={"x-amzn-errortype": "ResourceNotFoundException"},
            )
        if stop:
            job["status"] = "Stopping"
            return Reply(json={})
        return Reply(json=job) if seen.method == "GET" else Reply(405)

    def create(self, kind, body):
        operation = "CreateModelInvocationJob" if kind == "invocation" else "CreateModelCustomizationJob"
        if found := problems(operation, body):
            self.refusals.append(str(found))
            return Reply(400, json={"message": str(found)})
        number = f"job{len(self.jobs):09}"
        model = "" if kind == "invocation" else "amazon.nova-lite-v1:0/"
        arn = f"{ARN}model-{kind}-job/{model}{number}"
        started = {"submitTime": CREATED, "status": "Submitted"}
        if kind == "customization":
            base = f"arn:aws:bedrock:eu-west-1::foundation-model/{body.pop('baseModelIdentifier')}"
            started = {"creationTime": CREATED, "status": "InProgress", "baseModelArn": base}
        self.jobs[arn] = {**body, **started, "jobArn": arn}
        return Reply(201 if kind == "customization" else 200, json={"jobArn": arn})

    def jobs_of(self, kind, query):
        found = [job for arn, job in self.jobs.items() if f"model-{kind}-job" in arn][::-1]
        start = int(query.get("nextToken", ["0"])[0])
        end = start + min(int(query["maxResults"][0]), self.page)
        name = "invocationJobSummaries" if kind == "invocation" else "modelCustomizationJobSummaries"
        return Reply(json={name: found[start:end], **({"nextToken": str(end)} if end < len(found) else {})})

    def run(self, arn, answer):
        """Run a batch: `answer` makes the rest of each record's result of its input."""
        job = self.jobs[arn]
        source = job["inputDataConfig"]["s3InputDataConfig"]["s3Uri"].removeprefix("s3://")
        output = job["outputDataConfig"]["s3OutputDataConfig"]["s3Uri"].removeprefix("s3://")
        records = [orjson.loads(line) for line in self.objects[source][0].splitlines()]
        if job["modelInvocationType"] == "Converse":
            assert [converse_problems(record["modelInput"]) for record in records] == [""] * len(records)
        folder = f"{output}{arn.rpartition('/')[2]}/"
        told = b"".join(orjson.dumps({**record, **answer(record)}) + b"\n" for record in records)
        self.objects[f"{folder}{source.rpartition('/')[2]}.out"] = (told, {})
        self.objects[f"{folder}manifest.json.out"] = (b'{"totalRecordCount": 1}', {})
        counts = {"totalRecordCount": len(records), "successRecordCount": len(records), "errorRecordCount": 0}
        job.update(status="Completed", endTime=CREATED, **counts)


def credentials():
    """The settings and secrets of an account that the fake knows."""
    return {"aws_access_key_id": BASE[0], "aws_region": "eu-west-1"}, {"aws_secret_access_key": BASE[1]}
