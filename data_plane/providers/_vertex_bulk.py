"""Files, batches and fine-tuning jobs of Google Vertex AI: objects in Cloud Storage, and jobs that read and write them.

Gemini's lines come back with the request that they answer, so a line's id travels in the request's labels; Claude's
have a place of their own for it.
Source: https://docs.cloud.google.com/vertex-ai/generative-ai/docs/multimodal/batch-prediction-from-cloud-storage,
https://docs.cloud.google.com/vertex-ai/generative-ai/docs/partner-models/claude/batch
"""

import base64
import binascii
import re
from dataclasses import replace
from secrets import token_hex
from typing import Any, Final

import msgspec
import orjson

from data_plane.core.types import CallFacts, Json, UpstreamRequest
from data_plane.providers._anthropic_like import messages
from data_plane.providers._bulk import (
    BATCHED,
    ENDED,
    JSON_TYPE,
    BatchFacts,
    Bulk,
    Place,
    Result,
    Results,
    address_of,
    batch_object,
    encoded_id,
    folder_of,
    model_named,
    option,
    place_named,
    request_to,
    seconds,
    whole_number,
    word,
)
from data_plane.providers._bulk_jobs import GOOGLE, Jobs, failed_line
from data_plane.providers._gcs import Gcs
from data_plane.providers._gemini_answer import decode_answer, read_google_fault
from data_plane.providers._gemini_embeddings import decode_embeddings
from data_plane.providers._openai_like import bearer, mapping
from data_plane.providers._vertex_chat import vertex_chat
from data_plane.providers._vertex_embed_lines import embeddings_of, embeds, encode_line, line_key
from data_plane.providers._vertex_models import Tongue, find_model
from data_plane.providers._vertex_services import STORAGE, service_at
from data_plane.providers._vertex_tuning import STATES, VertexTunings
from shared.errors import BadRequest, GatewayError, Unsupported, UpstreamInvalid
from shared.redact import Secret

PROVIDER_ID: Final = "vertex-ai"
_CHAT: Final = vertex_chat()
_CLAUDE: Final = messages(PROVIDER_ID)
_JOB: Final = re.compile(r"(?:projects/[a-z0-9:.-]+/locations/[a-z0-9-]+/batchPredictionJobs/)?([0-9]{1,32})")
_OWN_MODEL: Final = re.compile(r"projects/[a-z0-9:.-]+/locations/[a-z0-9-]+/models/[0-9]+(?:@[0-9]+)?")
#: Where the results of a job are in its folder, by what it made; a large job has several objects.
_FILES: Final = {"chat": "predictions.jsonl", "embed": "000000000000.jsonl"}
_RESULT: Final = re.compile(r"(?:.*/)?prediction-[^/]+/(?:[^/]*predictions?[^/]*|[0-9]{12})\.jsonl")
_PATHS: Final = {operation: path for path, operation in BATCHED.items()}
#: What Google takes as the value of a label.
_LABEL: Final = re.compile(r"[a-z0-9_-]{1,63}")
_PLAIN: Final = "custom_id"
_CODED: Final = "custom_id_b32_"
_CODED_CHARS: Final = 63
_CODED_BYTES: Final = 39
#: Google's state of a job in OpenAI's words for a batch.
_STATUSES: Final = {
    **STATES, "JOB_STATE_QUEUED": "validating", "JOB_STATE_PENDING": "validating", "JOB_STATE_RUNNING": "in_progress",
    "JOB_STATE_PAUSED": "in_progress", "JOB_STATE_UPDATING": "in_progress", "JOB_STATE_CANCELLING": "cancelling",
    "JOB_STATE_SUCCEEDED": "completed", "JOB_STATE_PARTIALLY_SUCCEEDED": "completed", "JOB_STATE_EXPIRED": "expired",
}  # fmt: skip


def _store(base_url: str, facts: CallFacts) -> Gcs:
    return Gcs(service_at(base_url, facts, STORAGE), facts)


def id_labels(custom_id: str) -> dict[str, str]:
    """Return the labels that hold a line's id: as it is when a label can hold it, else in letters that one can."""
    if _LABEL.fullmatch(custom_id):
        return {_PLAIN: custom_id}
    content = custom_id.encode("utf-8", "surrogatepass")
    pieces = [content[at : at + _CODED_BYTES] for at in range(0, len(content), _CODED_BYTES)]
    return {
        f"{_CODED}{number:02}": base64.b32encode(piece).decode().rstrip("=").lower()
        for number, piece in enumerate(pieces)
    }


def id_in_labels(labels: object) -> str:
    """Return the id that labels hold, "" when they hold none."""
    told = mapping(labels)
    if word(told.get(_PLAIN)):
        return word(told[_PLAIN])
    content = b""
    for name in sorted(name for name in told if name.startswith(_CODED)):
        text = word(told[name]).upper()
        try:
            content += base64.b32decode(text + "=" * (-len(text) % 8))
        except (binascii.Error, ValueError):
            return ""
    return content.decode("utf-8", "replace")


def _spoken_fault(status: str) -> tuple[int, str]:
    """Return (code, message) of what stands where a line failed: a sentence, at times with Google's error behind it."""
    start = status.find("{")
    error: Any = None
    if start >= 0:
        try:
            error = mapping(mapping(msgspec.json.decode(status[start:].encode("utf-8", "replace"))).get("error"))
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            error = None
    message = word(mapping(error).get("message")) or status
    return whole_number(mapping(error).get("code")), message


def _answer_of(line: Json, facts: CallFacts) -> Json | None:
    """Return OpenAI's answer to a line, None for a line that has none; raises UpstreamInvalid."""
    embedded = embeddings_of(line)
    if embedded is not None:
        return decode_embeddings(embedded, facts, provider=PROVIDER_ID)
    answer = line.get("response")
    if not isinstance(answer, dict) or not answer:
        return None
    if "candidates" in answer or "promptFeedback" in answer:
        return decode_answer(answer, facts, provider=PROVIDER_ID)
    return _CLAUDE.decode(answer, facts)


def _operation_of(model: str) -> str:
    """Return what a model is for, by its name or its path."""
    return "embed" if embeds(model) and not _OWN_MODEL.fullmatch(model) else "chat"


def _check_model(model: str, operation: str) -> None:
    """Raise Unsupported for a model that has no batches here, or none of this operation."""
    found = find_model("gemini-tuned" if _OWN_MODEL.fullmatch(model) else model)
    if found.tongue not in {Tongue.GEMINI, Tongue.CLAUDE} or not found.path.startswith("/publishers/"):
        raise Unsupported(
            f"{PROVIDER_ID} has batches here for Gemini and Claude, and for text embeddings.", path="model"
        )
    if _operation_of(model) != operation:
        raise Unsupported(f"{PROVIDER_ID} has no batches for {_PATHS[operation]} with this model.", path="model")


class VertexBatches(Jobs):
    """Batch prediction jobs below `base_url`."""

    words = GOOGLE
    noun = "batch"
    held = "batchPredictionJobs"

    def __init__(self, base_url: str, facts: CallFacts) -> None:
        super().__init__(f"{base_url.rstrip('/')}/batchPredictionJobs")
        self._facts = facts
        self._store = _store(base_url, facts)

    def step(self, plain: str) -> str | None:
        """Return an id as it stands in a path: its number."""
        match = _JOB.fullmatch(plain)
        return match[1] if match else None

    def _model(self, body: Json, operation: str) -> str:
        model = model_named(body, self._facts, ("provider_model",))
        _check_model(model, operation)
        return model if _OWN_MODEL.fullmatch(model) else find_model(model).path.removeprefix("/")

    def create(self, body: Json) -> UpstreamRequest:
        """Return the request that begins a job."""
        operation = BATCHED.get(word(body.get("endpoint")))
        if operation is None:
            raise Unsupported(f"{PROVIDER_ID} has batches for: {', '.join(BATCHED)}", path="endpoint")
        source = place_named(self._store, body.get("input_file_id"), "input_file_id")
        said = option(body, "output_data_config")
        address = said if isinstance(said, str) else mapping(mapping(said).get("gcsDestination")).get("outputUriPrefix")
        folder = folder_of(source) if address is None else place_named(self._store, address, "output_data_config")
        name = option(body, "job_name")
        if name is not None and (not isinstance(name, str) or not 0 < len(name) <= 128):
            raise BadRequest("job_name must be a text of up to 128 characters.", path="job_name")
        job = {
            "displayName": name or f"gatehouse-{token_hex(12)}", "model": self._model(body, operation),
            "inputConfig": {"instancesFormat": "jsonl", "gcsSource": {"uris": [address_of("gs", source)]}},
            "outputConfig": {
                "predictionsFormat": "jsonl",
                "gcsDestination": {"outputUriPrefix": address_of("gs", folder).rstrip("/")},
            },
        }  # fmt: skip
        return request_to(self.url, "POST", orjson.dumps(job), content_type=JSON_TYPE)

    def created(self, answer: Json, _body: Json) -> Json:
        """Return the batch that was begun."""
        return self.shown(answer)

    def shown(self, answer: Json) -> Json:
        """Return the batch that a job is; raises UpstreamInvalid."""
        match = _JOB.fullmatch(word(answer.get("name")))
        if match is None:
            raise UpstreamInvalid(f"Invalid response received from {PROVIDER_ID}.")
        status = _STATUSES.get(word(answer.get("state")), "in_progress")
        uris = mapping(mapping(answer.get("inputConfig")).get("gcsSource")).get("uris")
        source = word(uris[0]) if isinstance(uris, list) and uris else ""
        counted = mapping(answer.get("completionStats"))
        done, failed, left = (
            whole_number(counted.get(name)) for name in ("successfulCount", "failedCount", "incompleteCount")
        )
        results = self.results(answer)
        model = word(answer.get("model"))
        operation = _operation_of(model)
        return batch_object(
            BatchFacts(
                id=match[1],
                status=status,
                endpoint=_PATHS[operation],
                input_file=encoded_id(source),
                model=model,
                created=seconds(answer.get("createTime")),
                since=seconds(answer.get("endTime" if status in ENDED else "updateTime")),
                output_file=encoded_id(f"{address_of('gs', results.folder)}/{_FILES[operation]}") if results else None,
                total=done + failed + left,
                completed=done,
                failed=failed,
                message=word(mapping(answer.get("error")).get("message")),
            ),
            PROVIDER_ID,
        )

    def encode(self, custom_id: str, operation: str, body: Json, facts: CallFacts) -> Json:
        """Return the line of one request."""
        _check_model(facts.model, operation)
        if _OWN_MODEL.fullmatch(facts.model):
            facts = replace(facts, model="gemini-tuned")
        model = find_model(facts.model)
        if operation == "embed":
            return encode_line(custom_id, body, replace(facts, model=model.name), provider=PROVIDER_ID)
        if model.tongue is Tongue.CLAUDE:
            return {"custom_id": custom_id, "request": _CHAT.encode(body, facts)}
        request = _CHAT.encode(body, facts)
        request["labels"] = {**mapping(request.get("labels")), **id_labels(custom_id)}
        return {"request": request}

    def decode(self, line: Json, facts: CallFacts) -> Result:
        """Return what a line says."""
        labels = mapping(line.get("request")).get("labels")
        custom_id = word(line.get("custom_id")) or line_key(line) or id_in_labels(labels)
        status = word(line.get("status"))
        try:
            answer = None if status else _answer_of(line, replace(facts, model=facts.model.rpartition("/")[2]))
        except GatewayError as error:
            return Result(custom_id, error=error.message)
        if answer is not None:
            return Result(custom_id, 200, answer)
        return failed_line(custom_id, *_spoken_fault(status or "Vertex AI did not answer this line."), PROVIDER_ID)

    def results(self, answer: Json) -> Results | None:
        """Return where the results are once Google says so and the job has ended."""
        address = word(mapping(answer.get("outputInfo")).get("gcsOutputDirectory"))
        if _STATUSES.get(word(answer.get("state"))) not in ENDED or not address:
            return None
        try:
            folder = place_named(self._store, address, "output_data_config")
        except BadRequest:
            return None
        return Results(folder, (".jsonl",), word(answer.get("model")))

    def result_of(self, place: Place) -> str | None:
        """Return "" for results: their folder does not name the job."""
        return "" if _RESULT.fullmatch(place.key) else None


def _sign(request: UpstreamRequest, key: Secret | None, _facts: CallFacts, _is_storage: bool) -> None:  # noqa: FBT001 -- as `Bulk.sign` has it
    if not key:
        raise BadRequest(f"{PROVIDER_ID} needs a service account, or an access token.", path="key")
    bearer(key, request.headers)


def _tunings(base_url: str, facts: CallFacts) -> VertexTunings:
    return VertexTunings(base_url, _store(base_url, facts), facts)


BULK: Final = Bulk(store=_store, batches=VertexBatches, tunings=_tunings, sign=_sign, fault=read_google_fault)
