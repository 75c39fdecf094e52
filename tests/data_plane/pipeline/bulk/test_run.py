"""Files, batches and fine-tuning of Bedrock through a whole gateway, with OpenAI's SDK, against a strict AWS."""

import asyncio
from urllib.parse import quote, unquote

import aiohttp
import openai
import orjson
import pytest

from data_plane.pipeline.bulk import wire
from tests.data_plane import kit
from tests.data_plane.pipeline.bulk.bulk_kit import NOVA, ROLE, ask, bedrock, converse_answer, lines_of
from tests.fakes.aws_bulk import FakeAwsBulk, error_xml
from tests.fakes.provider import Reply


async def made(stage, **changes):
    """A batch of two chats, begun."""
    stored = await stage.upload(ask(1) + b"\n" + ask(2), provider_model=NOVA)
    options = {"role_arn": ROLE, "model": NOVA, **changes.pop("provider_options", {})}
    fields = {"endpoint": "/v1/chat/completions", "completion_window": "24h", **changes}
    return await stage.client.batches.create(
        input_file_id=stored.id, extra_body={"provider_options": options}, **fields
    )


async def test_a_batch_goes_from_its_file_to_its_answers(tmp_path):
    async with bedrock(tmp_path) as stage:
        batch = await made(stage)
        arn = unquote(batch.id)
        assert (batch.status, batch.object, batch.endpoint) == ("validating", "batch", "/v1/chat/completions")
        assert stage.cloud.jobs[arn]["modelInvocationType"] == "Converse"
        stage.cloud.run(arn, converse_answer)
        batch = await stage.client.batches.retrieve(batch.id)
        assert (batch.status, batch.request_counts.completed) == ("completed", 2)
        told = (await stage.client.files.content(batch.output_file_id)).content
        status, output, headers = await stage.gw.get(f"/v1/batches/{batch.id}/output", {"x-portkey-provider": "@cloud"})
        assert (status, headers["content-type"]) == (200, "application/jsonl")
        assert [line["custom_id"] for line in lines_of(told)] == ["ask-1", "ask-2"]
        first, second = lines_of(output)
        assert (first["custom_id"], second["custom_id"], first["error"]) == ("ask-1", "ask-2", None)
        assert (first["response"]["status_code"], first["response"]["body"]["model"]) == (200, NOVA)
        assert first["response"]["body"]["choices"][0]["message"]["content"] == "re: hé 1"
        assert stage.cloud.refusals == []


async def test_a_file_is_what_bedrock_reads_and_is_told_of_in_openais_words(tmp_path):
    async with bedrock(tmp_path) as stage:
        stored = await stage.upload(
            ask(1) + b"\n\n" + ask(2) + b"\n", aws_bedrock_model=NOVA, aws_s3_object_key="a/b.jsonl",
            amz_server_side_encryption="aws:kms", amz_server_side_encryption_aws_kms_key_id="alias/mine",
        )  # fmt: skip
        content, headers = stage.cloud.objects["in-bucket/a/b.jsonl"]
        assert [record["recordId"] for record in lines_of(content)] == ["ask-1", "ask-2"]
        assert headers["x-amz-server-side-encryption-aws-kms-key-id"] == "alias/mine"
        assert stored.id == "s3%3A%2F%2Fin-bucket%2Fa%2Fb.jsonl"
        read = await stage.client.files.retrieve(stored.id)
        assert (read.bytes, read.purpose, read.filename, read.created_at) == (
            len(content),
            "batch",
            "b.jsonl",
            1767323045,
        )
        assert (await stage.client.files.content(stored.id)).content == content
        assert [item.id for item in (await stage.client.files.list()).data] == [stored.id]
        assert (await stage.client.files.delete(stored.id)).deleted
        with pytest.raises(openai.NotFoundError, match="NoSuchKey"):
            await stage.client.files.retrieve(stored.id)
        assert stage.cloud.refusals == []


async def test_every_call_is_recorded_under_what_it_is_about(tmp_path):
    async with bedrock(tmp_path) as stage:
        batch = await made(stage)
        await stage.client.batches.retrieve(batch.id)
        records = stage.records
        assert [(record.endpoint, record.method, record.status) for record in records] == [
            ("files", "POST", 200), ("batches", "POST", 200), ("batches", "GET", 200)
        ]  # fmt: skip
        assert [record.model_served for record in records[:2]] == [NOVA, NOVA]
        assert {record.price_status for record in records} == {"unpriced"}
        assert {record.virtual_key for record in records} == {"cloud"}


async def test_batches_are_listed_page_by_page_and_cancelled(tmp_path):
    async with bedrock(tmp_path, FakeAwsBulk(page=2)) as stage:
        batches = [await made(stage) for _ in range(5)]
        seen = [batch.id async for batch in stage.client.batches.list(limit=2)]
        assert seen == [batch.id for batch in reversed(batches)]
        assert (await stage.client.batches.cancel(batches[0].id)).status == "cancelling"


@pytest.mark.parametrize(
    "encode", [lambda text: text, lambda text: quote(text, safe=""), lambda text: quote(quote(text, safe=""), safe="")]
)
async def test_an_id_may_come_as_it_is_or_encoded(tmp_path, encode):
    async with bedrock(tmp_path) as stage:
        batch = await made(stage)
        url = f"{stage.gw.url}/v1/batches/{encode(unquote(batch.id))}"
        headers = {"x-portkey-api-key": kit.KEY_TEXT, "x-portkey-provider": "@cloud"}
        async with stage.gw.session.get(aiohttp.client.URL(url, encoded=True), headers=headers) as response:
            assert (response.status, (await response.json())["id"]) == (200, batch.id)


async def test_a_large_file_goes_out_in_parts_of_which_few_are_held(tmp_path):
    count = 9000
    padding = "x" * 2000
    async with bedrock(tmp_path) as stage:
        stored = await stage.upload(b"\n".join(ask(number, padding) for number in range(count)), provider_model=NOVA)
        parts = [seen for seen in stage.fake.seen if "partNumber" in seen.target]
        assert [len(part.body) for part in parts[:-1]] == [wire.SLICE_BYTES] * (len(parts) - 1)
        assert len(parts) > 2
        content, _ = stage.cloud.objects[unquote(stored.id).removeprefix("s3://")]
        assert [record["recordId"] for record in lines_of(content)] == [f"ask-{number}" for number in range(count)]
        assert (stored.bytes, stage.cloud.refusals, stage.cloud.uploads) == (len(content), [], {})


@pytest.mark.parametrize(("line", "told"), [
    (b"{", "Line 2 .* not a JSON object"), (b"[]", "Line 2 .* not a JSON object"), (b"\xff", "Line 2"),
    (ask(2, custom_id=""), "Line 2 .*custom_id"), (ask(2, method="GET"), "Line 2 .*method"), (ask(2, url="/v1/audio/speech"), "Line 2 .*url"),
    (ask(2, body=3), "Line 2 .*body"), (ask(2, body={"messages": [], "stream": True}), "Line 2 .*stream"),
    (ask(2, url="/v1/embeddings"), "Line 2 .*one url"), (ask(2, body={"messages": [{"role": "user", "content": "a"}], "n": 2}), "Line 2 .* n"),
    (b'{"custom_id":"x","body":{"messages":[{"role":"user","content":"a"}],"top_k":' + b"9" * 40 + b"}}", "Line 2 .*number"),
])  # fmt: skip
async def test_a_bad_line_is_named_and_leaves_nothing_behind(tmp_path, line, told):
    async with bedrock(tmp_path) as stage:
        with pytest.raises(openai.BadRequestError, match=told):
            await stage.upload(ask(1) + b"\n" + line, provider_model=NOVA)
        assert (stage.cloud.objects, stage.cloud.uploads) == ({}, {})
        assert (stage.records[-1].status, stage.records[-1].endpoint) == (400, "files")


async def test_a_bad_line_far_behind_ends_an_upload_that_has_begun(tmp_path):
    async with bedrock(tmp_path) as stage:
        content = b"\n".join([*(ask(number, "x" * 4000) for number in range(5000)), b"{"])
        with pytest.raises(openai.BadRequestError, match="Line 5001 "):
            await stage.upload(content, provider_model=NOVA)
        assert any("partNumber" in seen.target for seen in stage.fake.seen)
        assert (stage.cloud.objects, stage.cloud.uploads) == ({}, {})


async def test_a_caller_who_hangs_up_leaves_nothing_behind(tmp_path):
    async with bedrock(tmp_path) as stage:
        sent, dropped = stage.cloud.part_sent, stage.cloud.dropped

        async def pieces():
            yield b"\n".join(ask(number, "x" * 4000) for number in range(5000))
            await sent.wait()
            raise ConnectionError

        form = aiohttp.FormData()
        form.add_field("purpose", "batch")
        form.add_field("file", pieces(), filename="in.jsonl")
        headers = {"x-portkey-api-key": kit.KEY_TEXT, "x-portkey-provider": "@cloud", "x-portkey-provider-model": NOVA}
        with pytest.raises((aiohttp.ClientError, ConnectionError)):
            await stage.gw.session.post(stage.gw.url + "/v1/files", data=form, headers=headers)
        async with asyncio.timeout(10):
            await dropped.wait()
        assert (stage.cloud.objects, stage.cloud.uploads) == ({}, {})


async def test_a_part_that_is_refused_for_now_is_sent_again(tmp_path):
    async with bedrock(tmp_path) as stage:
        stage.cloud.failures = [error_xml(503, "SlowDown")]
        assert (await stage.upload(ask(1), provider_model=NOVA)).object == "file"
        stage.cloud.failures = [error_xml(403, "AccessDenied", "you may not")]
        with pytest.raises(openai.PermissionDeniedError, match="bedrock error: you may not"):
            await stage.upload(ask(1), provider_model=NOVA)
        assert stage.cloud.uploads == {}


async def test_a_failure_that_s3_tells_with_200_is_no_file(tmp_path):
    async with bedrock(tmp_path) as stage:
        stage.cloud.completes_badly = True
        with pytest.raises(openai.InternalServerError, match="later"):
            await stage.upload(ask(1), provider_model=NOVA)
        assert (stage.cloud.objects, stage.cloud.uploads) == ({}, {})


@pytest.mark.parametrize(("headers", "told"), [
    ({"aws_s3_bucket": "x/../y"}, "bucket"), ({"aws_s3_bucket": "evil.example/"}, "bucket"), ({"aws_s3_bucket": "10.0.0.1"}, "bucket"),
    ({"aws_s3_bucket": "UPPER"}, "bucket"), ({"aws_s3_object_key": "../x.jsonl"}, "plain name"), ({"aws_s3_object_key": "a//b.jsonl"}, "plain name"),
    ({"aws_s3_object_key": "a?b.jsonl"}, "plain name"), ({"aws_s3_object_key": "a.txt"}, "jsonl"), ({"aws_s3_object_key": "/a.jsonl"}, "plain name"),
    ({"aws_s3_bucket": ""}, "aws-s3-bucket is required"), ({"amz_server_side_encryption": "none"}, "amz_server_side_encryption"),
])  # fmt: skip
async def test_a_name_that_could_lead_elsewhere_is_a_400_and_nothing_is_asked(tmp_path, headers, told):
    async with bedrock(tmp_path, bucket=None) as stage:
        with pytest.raises(openai.BadRequestError, match=told):
            await stage.upload(ask(1), provider_model=NOVA, **{"aws_s3_bucket": "in-bucket", **headers})
        assert stage.fake.seen == []


@pytest.mark.parametrize(
    "file_id", ["s3://in-bucket/../x", "s3://in-bucket", "gs://in-bucket/x", "file-1", "s3://a@b/c"]
)
async def test_an_id_that_is_no_file_of_the_store_is_a_404(tmp_path, file_id):
    async with bedrock(tmp_path) as stage:
        with pytest.raises(openai.NotFoundError):
            await stage.client.files.retrieve(quote(file_id, safe=""))
        with pytest.raises(openai.NotFoundError):
            await stage.client.batches.retrieve(quote(file_id, safe=""))
        assert stage.fake.seen == []


async def test_an_account_that_says_its_bucket_is_good_for_no_other(tmp_path):
    async with bedrock(tmp_path) as stage:
        stage.cloud.objects["out-bucket/x.jsonl"] = (b"{}\n", {})
        other = quote("s3://out-bucket/x.jsonl", safe="")
        for call in (
            lambda: stage.client.files.content(other),
            lambda: stage.client.files.delete(other),
            lambda: stage.upload(ask(1), provider_model=NOVA, aws_s3_bucket="out-bucket"),
            lambda: stage.client.batches.create(
                input_file_id=other, endpoint="/v1/chat/completions", completion_window="24h",
                extra_body={"role_arn": ROLE, "model": NOVA},
            ),
            lambda: made(stage, provider_options={"output_data_config": {"s3OutputDataConfig": {"s3Uri": "s3://out-bucket/"}}}),
        ):  # fmt: skip
            with pytest.raises(openai.PermissionDeniedError, match="another bucket"):
                await call()
        assert list(stage.cloud.jobs) == []
        assert "out-bucket/x.jsonl" in stage.cloud.objects


async def test_an_account_on_the_gateways_identity_must_say_its_bucket(tmp_path):
    settings = {"aws_auth_type": "serviceRole", "aws_region": "eu-west-1"}
    async with bedrock(tmp_path, settings=settings, bucket=None) as stage:
        asked = {"x-portkey-provider": "@cloud", "x-portkey-aws-s3-bucket": "in-bucket"}
        status, content, _ = await stage.gw.get("/v1/files", asked)
        assert (status, orjson.loads(content)["error"]["param"]) == (403, "aws_s3_bucket")
        assert stage.fake.seen == []


async def test_a_credential_that_is_not_bound_to_s3_is_not_sent_there(tmp_path):
    async with bedrock(tmp_path, custom_host=None, hosts=("bedrock-runtime.eu-west-1.amazonaws.com",)) as stage:
        with pytest.raises(openai.PermissionDeniedError, match="not bound to the host"):
            await stage.client.files.list()
        with pytest.raises(openai.PermissionDeniedError, match="not bound to the host"):
            await stage.client.batches.list()


async def test_an_account_that_allows_certain_models_runs_batches_of_those_only(tmp_path):
    async with bedrock(tmp_path, models=frozenset({NOVA})) as stage:
        await made(stage)
        with pytest.raises(openai.PermissionDeniedError, match="not allowed"):
            await stage.upload(ask(1, model="amazon.nova-lite-v1:0"))
        with pytest.raises(openai.PermissionDeniedError, match="not allowed"):
            await made(stage, provider_options={"model": "amazon.nova-lite-v1:0"})
        with pytest.raises(openai.PermissionDeniedError, match="names none"):
            await stage.upload(b'{"messages":[{"role":"user","content":"a"}]}', purpose="fine-tune")


async def test_lines_may_name_the_model_and_must_agree(tmp_path):
    async with bedrock(tmp_path) as stage:
        assert (await stage.upload(ask(1, model=f"@cloud/{NOVA}") + b"\n" + ask(2, model=NOVA))).object == "file"
        with pytest.raises(openai.BadRequestError, match=r"Line 2 .*one model"):
            await stage.upload(ask(1, model=NOVA) + b"\n" + ask(2, model="amazon.nova-lite-v1:0"))
        with pytest.raises(openai.BadRequestError, match=r"Line 1 .*model is required"):
            await stage.upload(ask(1))


async def test_embeddings_are_batched_by_the_models_own_body(tmp_path):
    titan = "amazon.titan-embed-text-v2:0"
    line = {"custom_id": "e", "url": "/v1/embeddings", "body": {"input": "hello"}}
    async with bedrock(tmp_path) as stage:
        stored = await stage.upload(orjson.dumps(line), provider_model=titan)
        batch = await stage.client.batches.create(
            input_file_id=stored.id, endpoint="/v1/embeddings", completion_window="24h",
            extra_body={"role_arn": ROLE, "model": titan, "job_name": "night-1"},
        )  # fmt: skip
        job = stage.cloud.jobs[unquote(batch.id)]
        assert (job["modelInvocationType"], job["jobName"]) == ("InvokeModel", "night-1")
        stage.cloud.run(
            unquote(batch.id), lambda _record: {"modelOutput": {"embedding": [0.5], "inputTextTokenCount": 2}}
        )
        batch = await stage.client.batches.retrieve(batch.id)
        assert batch.endpoint == "/v1/embeddings"
        (told,) = lines_of((await stage.client.files.content(batch.output_file_id)).content)
        assert told["response"]["body"]["data"][0]["embedding"] == [0.5]


async def test_a_record_that_failed_is_told_as_an_error_of_its_line(tmp_path):
    def answer(record):
        failed = {"error": {"errorCode": 400, "errorMessage": "bad request"}}
        return failed if record["recordId"] == "ask-1" else {"modelOutput": {"output": 3}}

    async with bedrock(tmp_path) as stage:
        batch = await made(stage)
        stage.cloud.run(unquote(batch.id), answer)
        _, content, _ = await stage.gw.get(f"/v1/batches/{batch.id}/output", {"x-portkey-provider": "@cloud"})
        first, second = lines_of(content)
        assert first["response"]["status_code"] == 400
        assert first["response"]["body"]["error"]["message"] == "bedrock error: bad request"
        assert (second["custom_id"], second["response"], second["error"]["code"]) == ("ask-2", None, "provider_error")


async def test_a_batch_without_output_is_a_404(tmp_path):
    async with bedrock(tmp_path) as stage:
        batch = await made(stage)
        status, content, _ = await stage.gw.get(f"/v1/batches/{batch.id}/output", {"x-portkey-provider": "@cloud"})
        assert (status, orjson.loads(content)["message"]) == (404, "The batch has no output yet.")


async def test_a_providers_refusal_keeps_its_status_and_sentence(tmp_path):
    async with bedrock(tmp_path) as stage:
        with pytest.raises(openai.NotFoundError, match="bedrock error: The provided job identifier does not exist"):
            await stage.client.batches.retrieve("a" * 12)
        with pytest.raises(openai.BadRequestError, match="role_arn is required"):
            await stage.client.batches.create(
                input_file_id="s3://in-bucket/x.jsonl", endpoint="/v1/chat/completions", completion_window="24h",
                extra_body={"model": NOVA},
            )  # fmt: skip


async def test_an_api_key_runs_batches_and_has_no_files(tmp_path):
    async with bedrock(
        tmp_path, settings={"aws_region": "eu-west-1", "aws_s3_bucket": "in-bucket"}, secrets={}, key="bedrock-api-key"
    ) as stage:
        assert (await stage.client.batches.list()).data == []
        with pytest.raises(openai.BadRequestError, match="takes no Bedrock API key"):
            await stage.client.files.list()


async def test_a_model_is_tuned_on_examples_as_its_family_takes_them(tmp_path):
    example = {
        "messages": [
            {"role": "system", "content": "Be brief"},
            {"role": "user", "content": "Q"},
            {"role": "assistant", "content": "A"},
        ]
    }
    async with bedrock(tmp_path) as stage:
        stored = await stage.upload(orjson.dumps(example), purpose="fine-tune", provider_model="amazon.nova-lite-v1:0")
        content, _ = stage.cloud.objects[unquote(stored.id).removeprefix("s3://")]
        assert lines_of(content) == [{
            "schemaVersion": "bedrock-conversation-2024", "system": [{"text": "Be brief"}],
            "messages": [{"role": "user", "content": [{"text": "Q"}]}, {"role": "assistant", "content": [{"text": "A"}]}],
        }]  # fmt: skip
        job = await stage.client.fine_tuning.jobs.create(
            model="amazon.nova-lite-v1:0", training_file=stored.id, validation_file=stored.id, suffix="mine",
            method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2, "batch_size": "auto"}}},
            extra_body={"role_arn": ROLE, "job_name": "tune-1", "output_file": "s3://in-bucket/out/"},
        )  # fmt: skip
        assert (job.status, job.object, job.training_file) == ("running", "fine_tuning.job", stored.id)
        begun = stage.cloud.jobs[unquote(job.id)]
        assert (begun["hyperParameters"], begun["customModelName"]) == ({"epochCount": "2"}, "mine")
        begun.update(status="Completed", outputModelArn="arn:aws:bedrock:eu-west-1:1:custom-model/x/1")
        read = await stage.client.fine_tuning.jobs.retrieve(job.id)
        assert (read.status, read.fine_tuned_model) == ("succeeded", "arn:aws:bedrock:eu-west-1:1:custom-model/x/1")
        assert [item.id async for item in stage.client.fine_tuning.jobs.list()] == [job.id]
        assert (await stage.client.fine_tuning.jobs.cancel(job.id)).status == "running"
        with pytest.raises(openai.BadRequestError, match="no events"):
            await stage.client.fine_tuning.jobs.list_events(job.id)
        assert stage.cloud.refusals == []


async def test_the_purpose_may_stand_behind_the_file_and_must_fit_it(tmp_path):
    async with bedrock(tmp_path) as stage:
        for purpose, status in (("batch", 200), ("fine-tune", 400), ("vision", 400)):
            form = aiohttp.FormData(quote_fields=False)
            form.add_field("x-portkey-provider-model", NOVA)
            form.add_field("file", ask(1), filename="my file.jsonl")
            form.add_field("purpose", purpose)
            headers = {"x-portkey-api-key": kit.KEY_TEXT, "x-portkey-provider": "@cloud"}
            async with stage.gw.session.post(stage.gw.url + "/v1/files", data=form, headers=headers) as response:
                assert response.status == status, await response.read()
        (name,) = stage.cloud.objects
        assert name.endswith("/my_file.jsonl")
        assert stage.cloud.uploads == {}


async def test_what_s3_breaks_off_never_looks_whole(tmp_path):
    async with bedrock(tmp_path) as stage:
        stage.cloud.objects["in-bucket/x.jsonl"] = (b"a" * 100, {})
        whole = stage.cloud.storage

        def broken(seen):
            reply = whole(seen)
            return Reply(body=reply.body, break_after=0) if seen.method == "GET" else reply

        stage.cloud.storage = broken
        with pytest.raises(openai.APIConnectionError):
            await stage.client.files.content(quote("s3://in-bucket/x.jsonl", safe=""))


async def test_nothing_is_tried_at_another_target(tmp_path):
    config = {"strategy": {"mode": "fallback"}, "targets": [{"provider": "@cloud"}, {"provider": "@cloud"}]}
    async with bedrock(tmp_path) as stage:
        status, _, _ = await stage.gw.get(
            f"/v1/batches/{'a' * 12}", {"x-portkey-config": orjson.dumps(config).decode()}
        )
        assert (status, len(stage.fake.seen)) == (404, 1)
