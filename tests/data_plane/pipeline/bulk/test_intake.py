"""Forms that a file may come in; whole uploads are in `test_run.py`."""

import aiohttp
import orjson
import pytest

from tests.data_plane import kit
from tests.data_plane.pipeline.bulk.bulk_kit import NOVA, ask, bedrock

HEADERS = {"x-portkey-api-key": kit.KEY_TEXT, "x-portkey-provider": "@cloud"}


async def posted(stage, *fields):
    form = aiohttp.FormData(quote_fields=False)
    for name, value, filename in fields:
        form.add_field(name, value, filename=filename) if filename else form.add_field(name, value)
    async with stage.gw.session.post(stage.gw.url + "/v1/files", data=form, headers=HEADERS) as response:
        return response.status, orjson.loads(await response.read())


MODEL = ("x-portkey-provider-model", NOVA, None)
FILE = ("file", ask(1), "in.jsonl")
PURPOSE = ("purpose", "batch", None)


async def test_what_a_header_says_a_field_before_the_file_says_too(tmp_path):
    async with bedrock(tmp_path) as stage:
        key = ("aws_s3_object_key", "a/b.jsonl", None)
        assert (await posted(stage, PURPOSE, MODEL, key, FILE))[0] == 200
        assert list(stage.cloud.objects) == ["in-bucket/a/b.jsonl"]


@pytest.mark.parametrize(("fields", "told"), [
    ((PURPOSE, MODEL, FILE, FILE), "one file"), ((PURPOSE, MODEL, ("other", b"x", "x.jsonl")), "one file"),
    ((PURPOSE, MODEL, ("file", b"\n\n", "in.jsonl")), "at least one line"), ((PURPOSE, MODEL, ("file", b"", "in.jsonl")), "at least one line"),
    ((("purpose", "assistants", None), FILE), "purposes: batch, fine-tune"), ((PURPOSE, ("x", "y" * 5000, None), FILE), "too long"),
    ((PURPOSE, FILE, MODEL), "model is required"),
])  # fmt: skip
async def test_a_form_that_makes_no_file_leaves_nothing_behind(tmp_path, fields, told):
    async with bedrock(tmp_path) as stage:
        status, answer = await posted(stage, *fields)
        assert (status in {400, 413}, told in answer["message"]) == (True, True), answer
        assert (stage.cloud.objects, stage.cloud.uploads) == ({}, {})


async def test_a_field_may_not_choose_another_bucket_than_the_accounts(tmp_path):
    async with bedrock(tmp_path) as stage:
        status, answer = await posted(stage, PURPOSE, MODEL, ("x-portkey-aws-s3-bucket", "out-bucket", None), FILE)
        assert (status, "another bucket" in answer["message"]) == (403, True)


async def test_a_text_that_is_no_utf8_is_a_400(tmp_path):
    async with bedrock(tmp_path) as stage:
        content = b'--b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\n\xff\r\n--b--\r\n'
        headers = {"x-portkey-provider": "@cloud", "content-type": "multipart/form-data; boundary=b"}
        status, answer, _ = await stage.gw.send(raw=content, path="/v1/files", headers=headers)
        assert (status, "UTF-8" in orjson.loads(answer)["message"]) == (400, True)


async def test_a_body_that_is_no_form_is_a_400(tmp_path):
    async with bedrock(tmp_path) as stage:
        for content_type in ("application/json", "text/plain"):
            status, _, _ = await stage.gw.send(
                raw=b"{}", path="/v1/files", headers={"x-portkey-provider": "@cloud", "content-type": content_type}
            )
            assert status == 400
        assert stage.fake.seen == []
