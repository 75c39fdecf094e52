"""Cohere's datasets and embed jobs as OpenAI's files and batches of embeddings.

A line of a batch is a text of a dataset, with the line's `custom_id` beside it; what is embedded how is said once, for
the whole job.  The vectors are another dataset, of which Cohere tells where its parts can be fetched.
Source: https://docs.cohere.com/reference/create-embed-job, https://docs.cohere.com/reference/create-dataset
"""

from typing import Any, Final
from urllib.parse import urlencode

import orjson

from data_plane.core.types import CallFacts, Json, UpstreamRequest
from data_plane.providers._bulk import (
    JSON_TYPE,
    BatchFacts,
    Result,
    batch_object,
    model_named,
    option,
    request_to,
    seconds,
    whole_number,
    word,
)
from data_plane.providers._cohere_embed import DEFAULT_INPUT_TYPE
from data_plane.providers._hosted import Hosted, Taken, own_id, stem_of
from data_plane.providers._openai_like import mapping, read_fault
from shared.errors import BadRequest, NotFound, Unsupported, UpstreamInvalid

_ID: Final = "cohere"
EMBEDDINGS: Final = "/v1/embeddings"
RESULTS: Final = frozenset({"embed-result", "embed-output"})
#: As much as is taken in here; larger datasets are uploaded to Cohere itself, and named by their ids.
MOST_BYTES: Final = 256 * 1024 * 1024
MAX_PAGE: Final = 100
_MODEL_SETTINGS: Final = ("provider_model",)
#: What of a line's body the line itself says; all else is said for the whole job.
_OF_A_LINE: Final = frozenset({"model", "input", "encoding_format", "user"})
_OF_A_JOB: Final = ("input_type", "embedding_types", "truncate", "name")
_FILE_STATUSES: Final = {"validated": "processed", "skipped": "processed", "failed": "error"}
_STATUSES: Final = {
    "processing": "in_progress", "complete": "completed", "cancelling": "cancelling", "cancelled": "cancelled",
    "failed": "failed",
}  # fmt: skip


def _refuse_answer() -> UpstreamInvalid:
    return UpstreamInvalid(f"Invalid response received from {_ID}.")


def _text(body: Json) -> str:
    given = body.get("input")
    text = given[0] if isinstance(given, list) and len(given) == 1 else given
    if not isinstance(text, str):
        raise Unsupported(f"{_ID} embeds one text for each line of a batch.", path="body.input")
    return text


class CohereFiles:
    """Datasets that are embedded, or that were made of one."""

    purpose = "batch"
    field = "data"
    most_bytes = MOST_BYTES

    def __init__(self, base_url: str, _facts: CallFacts) -> None:
        self._url = f"{base_url.rstrip('/')}/v1/datasets"

    def line(self, said: Json) -> tuple[Json, str]:
        """Return a row of a dataset; a row in Cohere's own words stays as it is."""
        if "body" not in said and isinstance(said.get("text"), str):
            return said, ""
        custom_id, body = said.get("custom_id"), said.get("body")
        if not isinstance(custom_id, str) or not custom_id:
            raise BadRequest("custom_id is required, as a text.", path="custom_id")
        if not isinstance(body, dict):
            raise BadRequest("body must be an object.", path="body")
        if said.get("url", EMBEDDINGS) != EMBEDDINGS:
            raise Unsupported(f"{_ID} has batches for: {EMBEDDINGS}", path="url")
        if others := sorted(body.keys() - _OF_A_LINE):
            raise Unsupported(f"{others[0]} is said once for the whole batch, in provider_options.", path="body")
        return {"text": _text(body), "custom_id": custom_id}, word(body.get("model"))

    def begin(self, _taken: Taken) -> UpstreamRequest | None:
        """Return None: the file itself begins it."""
        return None

    def send(self, taken: Taken) -> UpstreamRequest:
        """Return the request that makes a dataset of a file; the ids of its lines are kept beside the texts."""
        query = {"name": stem_of(taken.name), "type": "embed-input", "optional_fields": "custom_id"}
        return request_to(f"{self._url}?{urlencode(query)}", "POST")

    def drop(self) -> UpstreamRequest | None:
        """Return None: what did not arrive whole is no dataset."""
        return None

    def stored(self, answer: Json, taken: Taken) -> Json:
        """Return the file that was sent."""
        if not word(answer.get("id")):
            raise _refuse_answer()
        dataset = {**answer, "name": stem_of(taken.name), "dataset_parts": [{"size_bytes": taken.size}]}
        return self._file(dataset)

    def read(self, file_id: str) -> UpstreamRequest:
        """Return the request for a dataset."""
        return request_to(f"{self._url}/{own_id(file_id, 'file')}")

    def shown(self, answer: Json) -> Json:
        """Return the file that a dataset is."""
        return self._file(mapping(answer.get("dataset")))

    def _file(self, dataset: Any) -> Json:
        if not word(dataset.get("id")):
            raise _refuse_answer()
        status = _FILE_STATUSES.get(word(dataset.get("validation_status")), "uploaded")
        parts = dataset.get("dataset_parts")
        return {
            "id": dataset["id"], "object": "file",
            "bytes": sum(whole_number(mapping(part).get("size_bytes")) for part in parts or ()),
            "created_at": seconds(dataset.get("created_at")) or 0, "filename": word(dataset.get("name")),
            "purpose": "batch_output" if dataset.get("dataset_type") in RESULTS else "batch", "status": status,
            "status_details": word(dataset.get("validation_error")) or None, "provider": _ID,
        }  # fmt: skip

    def delete(self, file_id: str) -> UpstreamRequest:
        """Return the request that deletes a dataset."""
        return request_to(f"{self._url}/{own_id(file_id, 'file')}", "DELETE")

    def page(self, count: int, token: str | None) -> UpstreamRequest:
        """Return the request for the next datasets."""
        return request_to(f"{self._url}?limit={min(count, MAX_PAGE)}&offset={whole_number(token)}")

    def paged(self, answer: Json, token: str | None) -> tuple[list[Json], str | None]:
        """Return the files, and where the next page begins; an empty page is the last."""
        told = answer.get("datasets")
        found = [self._file(each) for each in told if isinstance(each, dict)] if isinstance(told, list) else []
        return found, str(whole_number(token) + len(found)) if found else None

    def look(self, file_id: str) -> UpstreamRequest:
        """Return the request for a dataset, which tells where its parts are."""
        return self.read(file_id)

    def parts(self, answer: Json) -> list[str]:
        """Return where the parts of a dataset are."""
        parts = mapping(answer.get("dataset")).get("dataset_parts")
        ordered = sorted(
            (mapping(part) for part in (parts if isinstance(parts, list) else ())),
            key=lambda part: whole_number(part.get("index")),
        )
        return [part["url"] for part in ordered if word(part.get("url"))]

    def is_result(self, answer: Json) -> bool:
        """Return whether a dataset was made by a job."""
        return mapping(answer.get("dataset")).get("dataset_type") in RESULTS

    def result(self, record: Json, facts: CallFacts) -> Result:
        """Return the vector of one text; of several kinds of numbers the floats, or the first."""
        held = record.get("embeddings", record.get("embedding"))
        kinds = {name: value for name, value in mapping(held).items() if isinstance(value, list)}
        vector = kinds.get("float") or next(iter(kinds.values()), held)
        if isinstance(vector, list) and len(vector) == 1 and isinstance(vector[0], list):
            vector = vector[0]
        if not isinstance(vector, list):
            raise UpstreamInvalid("This result has no vector.")
        data = [{"object": "embedding", "index": 0, "embedding": vector}]
        return Result(
            word(record.get("custom_id")), 200,
            {"object": "list", "data": data, "model": facts.model, "provider": _ID},
        )  # fmt: skip


class CohereBatches:
    """Embed jobs."""

    def __init__(self, base_url: str, facts: CallFacts) -> None:
        self._url = f"{base_url.rstrip('/')}/v1/embed-jobs"
        self._facts = facts

    def create(self, body: Json) -> UpstreamRequest:
        """Return the request that begins a job."""
        if body.get("endpoint") != EMBEDDINGS:
            raise Unsupported(f"{_ID} has batches for: {EMBEDDINGS}", path="endpoint")
        try:
            source = own_id(word(body.get("input_file_id")), "file")
        except NotFound:
            raise BadRequest("input_file_id must be the id of a dataset.", path="input_file_id") from None
        said = {name: value for name in _OF_A_JOB if (value := option(body, name)) is not None}
        job = {
            "model": model_named(body, self._facts, _MODEL_SETTINGS), "dataset_id": source,
            "input_type": DEFAULT_INPUT_TYPE, "embedding_types": ["float"], **said,
        }  # fmt: skip
        return request_to(self._url, "POST", orjson.dumps(job), content_type=JSON_TYPE)

    def created(self, answer: Json, body: Json) -> Json:
        """Return the batch that was begun."""
        return self.shown({
            "status": "processing", "input_dataset_id": body.get("input_file_id"),
            "model": model_named(body, self._facts, _MODEL_SETTINGS), **answer,
        })  # fmt: skip

    def read(self, job_id: str) -> UpstreamRequest:
        """Return the request for a job."""
        return request_to(f"{self._url}/{own_id(job_id, 'batch')}")

    def cancel(self, job_id: str) -> UpstreamRequest:
        """Return the request that ends a job."""
        return request_to(f"{self._url}/{own_id(job_id, 'batch')}/cancel", "POST", b"{}", content_type=JSON_TYPE)

    def shown(self, answer: Json) -> Json:
        """Return the batch that a job is; raises UpstreamInvalid."""
        if not word(answer.get("job_id")):
            raise _refuse_answer()
        status = _STATUSES.get(word(answer.get("status")), "in_progress")
        return batch_object(
            BatchFacts(
                id=answer["job_id"],
                status=status,
                endpoint=EMBEDDINGS,
                input_file=word(answer.get("input_dataset_id")),
                model=word(answer.get("model")),
                created=seconds(answer.get("created_at")),
                output_file=word(answer.get("output_dataset_id")) or None,
                message="Cohere could not embed this dataset." if status == "failed" else "",
            ),
            _ID,
        )

    def page(self, _count: int, _token: str | None) -> UpstreamRequest:
        """Return the request for all jobs: Cohere has no pages of them."""
        return request_to(self._url)

    def paged(self, answer: Json) -> tuple[list[Json], str | None]:
        """Return (batches, None)."""
        told = answer.get("embed_jobs")
        return [self.shown(job) for job in told if isinstance(job, dict)] if isinstance(told, list) else [], None

    def output(self, answer: Json) -> tuple[str, str] | None:
        """Return the dataset that a job has made, and its model."""
        named = word(answer.get("output_dataset_id"))
        return (named, word(answer.get("model"))) if named and answer.get("status") == "complete" else None


HOSTED: Final = Hosted(files=CohereFiles, batches=CohereBatches, fault=read_fault)
