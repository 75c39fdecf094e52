"""Fireworks' datasets and supervised fine-tuning jobs as OpenAI's files and fine-tuning jobs.

They stand below an account, which a setting names.  Lines are OpenAI's own examples and go up as they are.
Source: https://docs.fireworks.ai/api-reference/create-dataset,
https://docs.fireworks.ai/api-reference/create-supervised-fine-tuning-job
"""

import re
import time
from secrets import token_hex
from typing import Any, Final

import orjson

from data_plane.core.types import CallFacts, Json, UpstreamRequest
from data_plane.providers._bulk import (
    JSON_TYPE,
    Result,
    TuningFacts,
    encoded_id,
    model_named,
    request_to,
    seconds,
    tuning_object,
    tuning_parameters,
    whole_number,
    word,
)
from data_plane.providers._hosted import Hosted, Taken, own_id, stem_of
from data_plane.providers._openai_like import mapping, read_fault
from shared.errors import BadRequest, NotFound, Unsupported, UpstreamInvalid

_ID: Final = "fireworks-ai"
ACCOUNT: Final = "fireworks_account_id"
_INFERENCE: Final = "/inference/v1"
#: As much as Fireworks takes in one request.
MOST_BYTES: Final = 150 * 1000 * 1000
MAX_PAGE: Final = 200
_MODEL_SETTINGS: Final = ("provider_model",)
_ACCOUNT_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_MODEL_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
#: OpenAI's hyperparameters in Fireworks' words, and those that only Fireworks has.
_PARAMETERS: Final = {"n_epochs": "epochs", "batch_size": "batchSizeSamples"}
_OWN_PARAMETERS: Final = (
    "learningRate", "loraRank", "maxContextLength", "earlyStop", "isTurbo", "jinjaTemplate", "evalAutoCarveout",
    "gradientAccumulationSteps", "learningRateWarmupSteps", "displayName",
)  # fmt: skip
_STATUSES: Final = {
    "RUNNING": "running", "IDLE": "running", "WRITING_RESULTS": "running", "CANCELLING": "running",
    "COMPLETED": "succeeded", "EARLY_STOPPED": "succeeded", "FAILED": "failed", "EXPIRED": "failed",
    "CANCELLED": "cancelled", "DELETING": "cancelled", "DELETING_CLEANING_UP": "cancelled", "DELETED": "cancelled",
    "PAUSED": "paused", "VALIDATING": "validating_files", "CREATING_INPUT_DATASET": "validating_files",
}  # fmt: skip


def _account(base_url: str, facts: CallFacts) -> tuple[str, str]:
    """Return (where an account is, its name); raises BadRequest."""
    account = facts.settings.get(ACCOUNT)
    if not isinstance(account, str) or not _ACCOUNT_NAME.fullmatch(account):
        raise BadRequest(
            f"x-portkey-fireworks-account-id is required for files and fine-tuning of {_ID}.", path=ACCOUNT
        )
    name = f"accounts/{account}"
    return f"{base_url.rstrip('/').removesuffix(_INFERENCE)}/v1/{name}", name


def _last(name: object) -> str:
    return word(name).rpartition("/")[2]


def _refuse_answer() -> UpstreamInvalid:
    return UpstreamInvalid(f"Invalid response received from {_ID}.")


class FireworksFiles:
    """Datasets that models are tuned with."""

    purpose = "fine-tune"
    field = "file"
    most_bytes = MOST_BYTES

    def __init__(self, base_url: str, facts: CallFacts) -> None:
        self._url = f"{_account(base_url, facts)[0]}/datasets"
        self._begun = ""

    def line(self, said: Json) -> tuple[Json, str]:
        """Return an example as it came; raises BadRequest for what is none."""
        if not isinstance(said.get("messages"), list) and not isinstance(said.get("prompt"), str):
            raise BadRequest("an example has messages, or a prompt and its completion.", path="messages")
        return said, ""

    def begin(self, taken: Taken) -> UpstreamRequest | None:
        """Return the request that announces a dataset."""
        self._begun = f"{stem_of(taken.name)}-{token_hex(6)}"
        dataset = {"userUploaded": {}, "exampleCount": str(taken.lines)}
        body = orjson.dumps({"datasetId": self._begun, "dataset": dataset})
        return request_to(self._url, "POST", body, content_type=JSON_TYPE)

    def send(self, _taken: Taken) -> UpstreamRequest:
        """Return the request that fills the dataset."""
        return request_to(f"{self._url}/{self._begun}:upload", "POST")

    def drop(self) -> UpstreamRequest | None:
        """Return the request that deletes a dataset that was not filled."""
        return request_to(f"{self._url}/{self._begun}", "DELETE") if self._begun else None

    def stored(self, _answer: Json, taken: Taken) -> Json:
        """Return the file that was sent: what Fireworks says of it there is less than is known here."""
        return self._file(self._begun, taken.name, taken.size, int(time.time()), "UPLOADING")

    def _file(self, name: str, shown: str, size: int, created: int, state: str) -> Json:
        return {
            "id": name, "object": "file", "bytes": size, "created_at": created, "filename": shown,
            "purpose": self.purpose, "status": "processed" if state == "READY" else "uploaded", "provider": _ID,
        }  # fmt: skip

    def read(self, file_id: str) -> UpstreamRequest:
        """Return the request for a dataset."""
        return request_to(f"{self._url}/{own_id(file_id, 'file')}")

    def shown(self, answer: Json) -> Json:
        """Return the file that a dataset is; Fireworks does not tell its size."""
        name = _last(answer.get("name"))
        if not name:
            raise _refuse_answer()
        created = seconds(answer.get("createTime")) or 0
        shown = word(answer.get("displayName")) or name
        return self._file(name, shown, whole_number(answer.get("sizeBytes")), created, word(answer.get("state")))

    def delete(self, file_id: str) -> UpstreamRequest:
        """Return the request that deletes a dataset."""
        return request_to(f"{self._url}/{own_id(file_id, 'file')}", "DELETE")

    def page(self, count: int, token: str | None) -> UpstreamRequest:
        """Return the request for the next datasets."""
        return request_to(f"{self._url}?{_page_query(count, token)}")

    def paged(self, answer: Json, _token: str | None) -> tuple[list[Json], str | None]:
        """Return the files, and the token of what follows."""
        told = answer.get("datasets")
        found = [self.shown(each) for each in told if isinstance(each, dict)] if isinstance(told, list) else []
        return found, word(answer.get("nextPageToken")) or None

    def look(self, file_id: str) -> UpstreamRequest:
        """Return the request that tells where a dataset can be fetched."""
        return request_to(f"{self._url}/{own_id(file_id, 'file')}:getDownloadEndpoint")

    def parts(self, answer: Json) -> list[str]:
        """Return where the files of a dataset are."""
        urls = mapping(answer.get("filenameToSignedUrls"))
        return [url for _, url in sorted(urls.items()) if isinstance(url, str) and url]

    def is_result(self, _answer: Json) -> bool:
        """Return False: only batches have results."""
        return False

    def result(self, _record: Json, _facts: CallFacts) -> Result:
        """Raise: only batches have results."""
        raise _refuse_answer()


def _page_query(count: int, token: str | None) -> str:
    following = f"&pageToken={encoded_id(token)}" if token else ""
    return f"pageSize={min(count, MAX_PAGE)}{following}"


class FireworksTunings:
    """Supervised fine-tuning jobs."""

    def __init__(self, base_url: str, facts: CallFacts) -> None:
        address, self._account = _account(base_url, facts)
        self._url = f"{address}/supervisedFineTuningJobs"
        self._facts = facts

    def _dataset(self, body: Json, name: str) -> str:
        folder = f"{self._account}/datasets/"
        try:
            return folder + own_id(word(body.get(name)).removeprefix(folder), "file")
        except NotFound:
            raise BadRequest(f"{name} must be the id of a file of this account.", path=name) from None

    def create(self, body: Json) -> UpstreamRequest:
        """Return the request that begins a job."""
        options = mapping(body.get("provider_options"))
        job: Json = {name: options[name] for name in _OWN_PARAMETERS if options.get(name) is not None}
        job |= _parameters(body)
        job["dataset"] = self._dataset(body, "training_file")
        if body.get("validation_file") is not None:
            job["evaluationDataset"] = self._dataset(body, "validation_file")
        job["baseModel"] = model_named(body, self._facts, _MODEL_SETTINGS)
        suffix = body.get("suffix")
        if suffix is not None:
            if not isinstance(suffix, str) or not _MODEL_NAME.fullmatch(suffix):
                raise BadRequest("suffix must be up to 63 lower-case letters, digits and dashes.", path="suffix")
            job["outputModel"] = f"{self._account}/models/{suffix}"
        return request_to(self._url, "POST", orjson.dumps(job), content_type=JSON_TYPE)

    def created(self, answer: Json, _body: Json) -> Json:
        """Return the job that was begun."""
        return self.shown(answer)

    def read(self, job_id: str) -> UpstreamRequest:
        """Return the request for a job."""
        return request_to(f"{self._url}/{own_id(job_id, 'fine-tuning job')}")

    def cancel(self, job_id: str) -> UpstreamRequest:
        """Return the request that ends a job."""
        url = f"{self._url}/{own_id(job_id, 'fine-tuning job')}:cancel"
        return request_to(url, "POST", b"{}", content_type=JSON_TYPE)

    def shown(self, answer: Json) -> Json:
        """Return the fine-tuning job that a job is; raises UpstreamInvalid."""
        name = _last(answer.get("name"))
        if not name:
            raise _refuse_answer()
        status = _STATUSES.get(word(answer.get("state")).removeprefix("JOB_STATE_"), "queued")
        given: dict[str, Any] = {ours: answer.get(theirs) for ours, theirs in _PARAMETERS.items()}
        return tuning_object(
            TuningFacts(
                id=name,
                status=status,
                model=word(answer.get("baseModel")) or word(answer.get("warmStartFrom")),
                training_file=_last(answer.get("dataset")),
                validation_file=_last(answer.get("evaluationDataset")) or None,
                tuned_model=word(answer.get("outputModel")) or None if status == "succeeded" else None,
                created=seconds(answer.get("createTime")),
                finished=seconds(answer.get("completedTime")),
                message=word(mapping(answer.get("status")).get("message")),
                parameters={ours: value for ours, value in given.items() if value},
            ),
            _ID,
        )

    def page(self, count: int, token: str | None) -> UpstreamRequest:
        """Return the request for the next jobs."""
        return request_to(f"{self._url}?{_page_query(count, token)}")

    def paged(self, answer: Json) -> tuple[list[Json], str | None]:
        """Return (jobs, token of what follows)."""
        told = answer.get("supervisedFineTuningJobs")
        jobs = [self.shown(job) for job in told if isinstance(job, dict)] if isinstance(told, list) else []
        return jobs, word(answer.get("nextPageToken")) or None


def _parameters(body: Json) -> Json:
    """Return the hyperparameters in Fireworks' words; raises BadRequest, and Unsupported for a multiplier of a rate."""
    given = tuning_parameters(body)
    if "learning_rate_multiplier" in given:
        raise Unsupported(
            f"{_ID} takes a rate, not a multiplier: provider_options.learningRate.", path="learning_rate_multiplier"
        )
    if unknown := sorted(given.keys() - _PARAMETERS.keys()):
        raise BadRequest(f"{unknown[0]} is no hyperparameter of {_ID}.", path="hyperparameters")
    return {_PARAMETERS[name]: value for name, value in given.items()}


HOSTED: Final = Hosted(files=FireworksFiles, tunings=FireworksTunings, fault=read_fault)
