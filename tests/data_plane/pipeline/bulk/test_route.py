"""Which calls are about files, batches and fine-tuning jobs."""

import pytest

from data_plane.pipeline.bulk.route import Route, find_route

ARN = "arn%3Aaws%3Abedrock%3Aeu-west-1%3A123456789012%3Amodel-invocation-job%2Fabc"


@pytest.mark.parametrize(("method", "target", "route"), [
    ("POST", "/v1/files", Route("files", "create")), ("GET", "/v1/files?limit=3", Route("files", "list")), ("GET", "/v1/files/", Route("files", "list")),
    ("GET", "/v1/files/s3%3A%2F%2Fb%2Fk", Route("files", "read", "s3%3A%2F%2Fb%2Fk")), ("DELETE", "/v1/files/x", Route("files", "delete", "x")),
    ("GET", "/v1/files/s3://b/k/content", Route("files", "content", "s3://b/k")), ("GET", "/v1/files/content", Route("files", "read", "content")),
    ("POST", "/v1/batches", Route("batches", "create")), ("GET", f"/v1/batches/{ARN}", Route("batches", "read", ARN)),
    ("POST", "/v1/batches/7/cancel", Route("batches", "cancel", "7")), ("GET", "/v1/batches/7/output", Route("batches", "output", "7")),
    ("GET", "/v1/batches/arn:aws:x/y/output", Route("batches", "output", "arn:aws:x/y")),
    ("POST", "/v1/fine_tuning/jobs", Route("fine_tuning", "create")), ("GET", "/v1/fine_tuning/jobs/7/events?limit=1", Route("fine_tuning", "events", "7")),
])  # fmt: skip
def test_a_call_is_about_one_thing(method, target, route):
    assert find_route(method, target) == route


@pytest.mark.parametrize(("method", "target"), [
    ("POST", "/v1/chat/completions"), ("PUT", "/v1/files"), ("HEAD", "/v1/files/x"), ("POST", "/v1/files/x"), ("GET", "/v1/filesystem"),
    ("GET", "/v1/files/a/b"), ("DELETE", "/v1/batches/7"), ("POST", "/v1/batches/7/output"), ("GET", "/v1/proxy/files"), ("GET", "/v1/fine_tuning"),
])  # fmt: skip
def test_everything_else_is_forwarded(method, target):
    assert find_route(method, target) is None
