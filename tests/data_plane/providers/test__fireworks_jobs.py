"""Datasets and fine-tuning jobs through a whole gateway, with OpenAI's SDK, against a strict Fireworks."""

import openai
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_plane.core.types import CallFacts
from data_plane.providers._fireworks_jobs import HOSTED, FireworksFiles, FireworksTunings
from data_plane.providers._hosted import Taken
from shared.errors import BadRequest, GatewayError, NotFound, Unsupported
from tests.data_plane.pipeline.bulk.bulk_kit import lines_of, staged
from tests.fakes.hosted_files import ACCOUNT, KEY, FakeFireworksJobs
from tests.fakes.provider import Reply

MODEL = "accounts/fireworks/models/llama-v3p1-8b-instruct"
FACTS = CallFacts("", False, True, {}, {"fireworks_account_id": ACCOUNT})
BASE = "https://api.fireworks.ai/inference/v1"
FILES, TUNINGS = FireworksFiles(BASE, FACTS), FireworksTunings(BASE, FACTS)
EXAMPLE = {"messages": [{"role": "user", "content": "hé"}, {"role": "assistant", "content": "ho"}]}
LINES = orjson.dumps(EXAMPLE) + b"\n\n" + orjson.dumps({"prompt": "a", "completion": "b"})


def fireworks(tmp_path, cloud=None, **changes):
    fields = {
        "settings": {"fireworks_account_id": ACCOUNT},
        "secrets": {},
        "key": KEY,
        "path": "/inference/v1",
        **changes,
    }
    return staged(tmp_path, cloud or FakeFireworksJobs(), provider="fireworks-ai", **fields)


async def test_a_model_is_tuned_on_a_file_of_examples(tmp_path):
    async with fireworks(tmp_path) as stage:
        stored = await stage.upload(LINES, purpose="fine-tune", name="My Data.jsonl")
        assert (stored.purpose, stored.filename, stored.status) == ("fine-tune", "My Data.jsonl", "uploaded")
        assert stored.id.startswith("my-data-")
        assert stage.cloud.files[stored.id]["rows"] == [EXAMPLE, {"prompt": "a", "completion": "b"}]
        job = await stage.client.fine_tuning.jobs.create(
            model=MODEL, training_file=stored.id, validation_file=stored.id, suffix="mine",
            method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2, "batch_size": "auto"}}},
            extra_body={"provider_options": {"learningRate": 0.0001, "metricsFileSignedUrl": "https://x.example"}},
        )  # fmt: skip
        assert (job.id, job.status, job.model, job.training_file) == ("sft-0", "queued", MODEL, stored.id)
        made = stage.cloud.jobs[job.id]
        assert {name: made.get(name) for name in ("baseModel", "outputModel", "dataset", "epochs", "learningRate", "metricsFileSignedUrl")} == {
            "baseModel": MODEL, "outputModel": f"accounts/{ACCOUNT}/models/mine", "dataset": f"accounts/{ACCOUNT}/datasets/{stored.id}",
            "epochs": 2, "learningRate": 0.0001, "metricsFileSignedUrl": None,
        }  # fmt: skip
        made |= {"state": "JOB_STATE_COMPLETED", "completedTime": "2026-01-02T04:00:00Z"}
        job = await stage.client.fine_tuning.jobs.retrieve(job.id)
        assert (job.status, job.fine_tuned_model, job.finished_at) == (
            "succeeded",
            f"accounts/{ACCOUNT}/models/mine",
            1767326400,
        )
        assert (job.hyperparameters.n_epochs, job.validation_file, stage.cloud.refusals) == (2, stored.id, [])


async def test_a_job_is_listed_and_ended(tmp_path):
    async with fireworks(tmp_path) as stage:
        stored = await stage.upload(LINES, purpose="fine-tune")
        job = await stage.client.fine_tuning.jobs.create(model=MODEL, training_file=stored.id)
        assert [each.id async for each in stage.client.fine_tuning.jobs.list()] == [job.id]
        assert (await stage.client.fine_tuning.jobs.cancel(job.id)).status == "cancelled"
        with pytest.raises(openai.BadRequestError, match="no events"):
            await stage.client.fine_tuning.jobs.list_events(job.id)


async def test_files_are_told_of_read_listed_and_deleted(tmp_path):
    async with fireworks(tmp_path) as stage:
        names = [(await stage.upload(LINES, purpose="fine-tune", name=f"f{number}.jsonl")).id for number in range(3)]
        read = await stage.client.files.retrieve(names[0])
        assert (read.status, read.created_at, read.id) == ("processed", 1767323045, names[0])
        assert [each.id async for each in stage.client.files.list(limit=2)] == names
        content = (await stage.client.files.content(names[1])).content
        assert lines_of(content) == [EXAMPLE, {"prompt": "a", "completion": "b"}]
        assert stage.cloud.fetched_with == [None]
        assert (await stage.client.files.delete(names[0])).deleted
        assert list(stage.cloud.files) == names[1:]


async def test_a_file_that_cannot_be_sent_leaves_nothing(tmp_path):
    class Failing(FakeFireworksJobs):
        def datasets(self, seen, rest, query):
            if rest.endswith(":upload"):
                return Reply(503, json={"error": {"message": "no room"}})
            return super().datasets(seen, rest, query)

    async with fireworks(tmp_path, Failing()) as stage:
        with pytest.raises(openai.InternalServerError, match="no room"):
            await stage.upload(LINES, purpose="fine-tune")
        assert [seen.method for seen in stage.fake.seen] == ["POST", "POST", "DELETE"]
        assert stage.cloud.files == {}


@pytest.mark.parametrize(("content", "told"), [
    (b'{"a": 1}', "Line 1 .*messages"), (b"{}\n", "Line 1"), (b"x", "no(t a)? JSON object"), (b"\n\n", "at least one line"),
    (LINES + b"\n[]", "Line 4"),
])  # fmt: skip
async def test_a_bad_line_is_told_and_nothing_is_sent(tmp_path, content, told):
    async with fireworks(tmp_path) as stage:
        with pytest.raises(openai.BadRequestError, match=told):
            await stage.upload(content, purpose="fine-tune")
        assert stage.fake.seen == []


@pytest.mark.parametrize("account", [None, "../other", "a/b", "A", ""])
async def test_an_account_must_be_named(tmp_path, account):
    settings = {} if account is None else {"fireworks_account_id": account}
    async with fireworks(tmp_path, settings=settings) as stage:
        with pytest.raises(openai.BadRequestError, match="fireworks-account-id"):
            await stage.client.files.list()
        assert stage.fake.seen == []


async def test_a_model_that_the_account_may_not_tune_begins_nothing(tmp_path):
    async with fireworks(tmp_path, models=frozenset({"other"})) as stage:
        with pytest.raises(openai.PermissionDeniedError):
            await stage.client.fine_tuning.jobs.create(model=MODEL, training_file="a")
        assert stage.fake.seen == []


async def test_there_are_no_batches_at_fireworks(tmp_path):
    async with fireworks(tmp_path) as stage:
        with pytest.raises(openai.BadRequestError, match="no batches"):
            await stage.client.batches.list()


async def test_an_error_of_the_provider_is_told(tmp_path):
    async with fireworks(tmp_path) as stage:
        with pytest.raises(openai.NotFoundError, match="fireworks-ai error: no such job"):
            await stage.client.fine_tuning.jobs.retrieve("sft-9")


# bodies


@pytest.mark.parametrize(("changes", "error", "path"), [
    ({"training_file": "../a"}, BadRequest, "training_file"), ({"training_file": None}, BadRequest, "training_file"),
    ({"validation_file": 7}, BadRequest, "validation_file"), ({"suffix": "Über"}, BadRequest, "suffix"),
    ({"hyperparameters": {"learning_rate_multiplier": 2}}, Unsupported, "learning_rate_multiplier"),
    ({"hyperparameters": {"x": 2}}, BadRequest, "hyperparameters"), ({"method": {"type": "dpo"}}, BadRequest, "method.type"),
    ({"model": ""}, BadRequest, "model"),
])  # fmt: skip
def test_a_job_that_cannot_be_is_refused(changes, error, path):
    with pytest.raises(error) as refused:
        TUNINGS.create({"model": MODEL, "training_file": "a", **changes})
    assert refused.value.path == path


@pytest.mark.parametrize("name", ["d-1", f"accounts/{ACCOUNT}/datasets/d-1"])
def test_a_file_may_be_named_in_full(name):
    job = orjson.loads(TUNINGS.create({"model": MODEL, "training_file": name}).body)
    assert job["dataset"] == f"accounts/{ACCOUNT}/datasets/d-1"


@pytest.mark.parametrize(
    ("base", "root"),
    [
        (BASE, "https://api.fireworks.ai"),
        ("https://proxy.example/fw/inference/v1/", "https://proxy.example/fw"),
        ("https://x.example", "https://x.example"),
    ],
)
def test_the_account_is_beside_the_models(base, root):
    assert FireworksTunings(base, FACTS).read("j").url == f"{root}/v1/accounts/{ACCOUNT}/supervisedFineTuningJobs/j"


@pytest.mark.parametrize("name", ["a/b", "..", "", "a:cancel", "é"])
def test_an_id_that_can_be_none_asks_nothing(name):
    for ask in (TUNINGS.read, TUNINGS.cancel, FILES.read, FILES.delete, FILES.look):
        with pytest.raises(NotFound):
            ask(name)


@pytest.mark.parametrize(("state", "status"), [
    ("CREATING", "queued"), ("VALIDATING", "validating_files"), ("RUNNING", "running"), ("EARLY_STOPPED", "succeeded"),
    ("EXPIRED", "failed"), ("PAUSED", "paused"), ("NEVER_HEARD_OF", "queued"),
])  # fmt: skip
def test_states_are_told_in_openais_words(state, status):
    assert TUNINGS.shown({"name": "a/b", "state": f"JOB_STATE_{state}"})["status"] == status


def test_why_a_job_failed_is_told():
    job = TUNINGS.shown(
        {"name": "j", "state": "JOB_STATE_FAILED", "status": {"code": "INTERNAL", "message": "out of luck"}}
    )
    assert job["error"]["message"] == "out of luck"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda of: st.lists(of, max_size=3) | st.dictionaries(st.sampled_from(["name", "state", "status", "message", "a"]), of, max_size=4),
    max_leaves=8,
)  # fmt: skip


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "name",
                "state",
                "status",
                "datasets",
                "supervisedFineTuningJobs",
                "filenameToSignedUrls",
                "messages",
                "training_file",
                "model",
                "provider_options",
                "hyperparameters",
                "suffix",
                "createTime",
            ]
        ),
        JSON,
    )
)
def test_whatever_is_said_is_read_or_refused(told):
    reads = (
        FILES.shown, FILES.parts, FILES.is_result, FILES.line, TUNINGS.shown, TUNINGS.paged, TUNINGS.create,
        lambda answer: FILES.stored(answer, Taken("a", 1, 1)), lambda answer: FILES.paged(answer, None),
        lambda answer: HOSTED.fault(400, answer),
    )  # fmt: skip
    for read in reads:
        try:
            read(told)
        except GatewayError as error:
            assert error.message
