import openai
import pytest

from data_plane.core.types import CallFacts
from data_plane.providers.registry import load_providers
from shared.addresses import fill_address
from tests.data_plane.pipeline.bulk.bulk_kit import ask, lines_of, staged
from tests.fakes.azure_files import KEY, FakeAzureFiles

PROVIDER = load_providers()["azure-openai"]


def test_a_resource_has_its_own_host():
    assert fill_address(PROVIDER.base_url, {"azure_resource_name": "res"}) == "https://res.openai.azure.com/openai"


def test_every_operation_is_found_below_the_deployment():
    facts = CallFacts("gpt-4o", False, True, {}, {"azure_api_version": "2024-10-21"})
    named = {name: operation.path_for(facts) for name, operation in PROVIDER.operations.items()}
    assert named.pop("responses") == "/responses?api-version=2024-10-21"
    assert named.pop("realtime") == "/realtime?api-version=2024-10-21"
    assert set(named.values()) == {
        f"/deployments/gpt-4o{path}?api-version=2024-10-21"
        for path in (
            "/chat/completions",
            "/completions",
            "/embeddings",
            "/images/generations",
            "/images/edits",
            "/audio/speech",
            "/audio/transcriptions",
            "/audio/translations",
        )
    }


def test_an_account_needs_no_key_when_it_signs_in_otherwise():
    assert not next(field for field in PROVIDER.credential if field.name == "key").required
    assert PROVIDER.hosts == ("https://login.microsoftonline.com",)


def filed(tmp_path, version=""):
    settings = {"azure_resource_name": "res", **({"azure_api_version": version} if version else {})}
    return staged(
        tmp_path, FakeAzureFiles(), provider="azure-openai", settings=settings, secrets={}, path="/openai", key=KEY
    )


async def made(stage):
    content = ask(1, model="my-deployment") + b"\n" + ask(2, model="my-deployment")
    stored = await stage.upload(content)
    batch = await stage.client.batches.create(
        input_file_id=stored.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"team": "a"}
    )
    return stored, content, batch


@pytest.mark.parametrize("version", ["", "v1", "preview", "2025-03-01-preview"])
async def test_a_batch_goes_from_its_file_to_its_answers(tmp_path, version):
    async with filed(tmp_path, version) as stage:
        stored, content, batch = await made(stage)
        assert (stored.purpose, stored.filename, stored.bytes) == ("batch", "in.jsonl", len(content))
        assert (batch.status, batch.endpoint, batch.metadata) == ("validating", "/v1/chat/completions", {"team": "a"})
        assert (await stage.client.files.content(stored.id)).content == content
        stage.cloud.run(batch.id, lambda line: {"asked": line["body"]["model"]})
        batch = await stage.client.batches.retrieve(batch.id)
        assert (batch.status, batch.request_counts.completed) == ("completed", 2)
        status, told, _ = await stage.gw.get(f"/v1/batches/{batch.id}/output", {"x-portkey-provider": "@cloud"})
        assert status == 200
        for output in (told, (await stage.client.files.content(batch.output_file_id)).content):
            assert [(line["custom_id"], line["response"]["body"]) for line in lines_of(output)] == [
                ("ask-1", {"asked": "my-deployment"}), ("ask-2", {"asked": "my-deployment"}),
            ]  # fmt: skip
        assert stage.cloud.refusals == []
        assert {record.provider for record in stage.records} == {"azure-openai"}


@pytest.mark.parametrize("version", ["", "2024-10-21"])
async def test_files_and_batches_are_listed_cancelled_and_deleted(tmp_path, version):
    async with filed(tmp_path, version) as stage:
        stored, _, batch = await made(stage)
        assert [item.id async for item in stage.client.files.list(purpose="batch")] == [stored.id]
        assert [item.id async for item in stage.client.batches.list(limit=5)] == [batch.id]
        assert (await stage.client.batches.cancel(batch.id)).status == "cancelling"
        assert (await stage.client.files.retrieve(stored.id)).id == stored.id
        assert (await stage.client.files.delete(stored.id)).deleted
        with pytest.raises(openai.NotFoundError, match="does not exist"):
            await stage.client.files.retrieve(stored.id)
        status, _, _ = await stage.gw.get(f"/v1/batches/{batch.id}/output", {"x-portkey-provider": "@cloud"})
        assert (status, stage.cloud.refusals) == (404, [])


async def test_what_azure_refuses_is_told_in_its_own_words(tmp_path):
    async with filed(tmp_path) as stage:
        with pytest.raises(openai.BadRequestError, match=r"must be a \.jsonl"):
            await stage.upload(ask(1), name="in.txt")
        with pytest.raises(openai.NotFoundError, match="Cannot find the batch job"):
            await stage.client.batches.retrieve("batch_9")
    async with filed(tmp_path, "2020-01-01") as stage:
        with pytest.raises(openai.NotFoundError, match="Resource not found in the version 2020-01-01"):
            await stage.upload(ask(1))
