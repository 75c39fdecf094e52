"""Fine-tuning at Google Vertex AI: supervised tuning jobs, and examples as Gemini's conversations.

Source: https://docs.cloud.google.com/vertex-ai/generative-ai/docs/models/gemini-use-supervised-tuning
"""

import re
from collections.abc import Mapping
from typing import Final

import orjson

from data_plane.core.types import CallFacts, Json, UpstreamRequest
from data_plane.providers._bulk import (
    JSON_TYPE,
    TuningFacts,
    address_of,
    encoded_id,
    model_named,
    option,
    place_named,
    request_to,
    seconds,
    tuning_object,
    tuning_parameters,
    word,
)
from data_plane.providers._bulk_jobs import GOOGLE, Jobs
from data_plane.providers._gcs import Gcs
from data_plane.providers._gemini_request import encode_request
from data_plane.providers._openai_like import mapping
from data_plane.providers._vertex_models import Tongue, find_model
from shared.errors import BadRequest, Unsupported, UpstreamInvalid

_ID: Final = "vertex-ai"
_JOB: Final = re.compile(r"(?:projects/[a-z0-9:.-]+/locations/[a-z0-9-]+/tuningJobs/)?([0-9]{1,32})")
#: Google's states of a job that read the same for batches and for fine-tuning.
STATES: Final = {"JOB_STATE_FAILED": "failed", "JOB_STATE_CANCELLED": "cancelled"}
_STATUSES: Final = {
    **STATES, "JOB_STATE_QUEUED": "queued", "JOB_STATE_PENDING": "queued", "JOB_STATE_SUCCEEDED": "succeeded",
    "JOB_STATE_PARTIALLY_SUCCEEDED": "succeeded", "JOB_STATE_EXPIRED": "failed",
}  # fmt: skip
#: OpenAI's hyperparameters in Google's words; the batch's size is Google's own to choose.
_PARAMETERS: Final[Mapping[str, str]] = {
    "n_epochs": "epochCount", "learning_rate_multiplier": "learningRateMultiplier",
}  # fmt: skip
_OWN_WORDS: Final = {theirs: ours for ours, theirs in _PARAMETERS.items()}
MAX_NAME_CHARS: Final = 128


class VertexTunings(Jobs):
    """Tuning jobs below `base_url`, whose files are in `store`."""

    words = GOOGLE
    noun = "fine-tuning job"
    held = "tuningJobs"

    def __init__(self, base_url: str, store: Gcs, facts: CallFacts) -> None:
        super().__init__(f"{base_url.rstrip('/')}/tuningJobs")
        self._store = store
        self._facts = facts

    def step(self, plain: str) -> str | None:
        """Return an id as it stands in a path: its number."""
        match = _JOB.fullmatch(plain)
        return match[1] if match else None

    def create(self, body: Json) -> UpstreamRequest:
        """Return the request that begins a job."""
        model = find_model(model_named(body, self._facts, ("provider_model",)))
        if model.tongue is not Tongue.GEMINI:
            raise Unsupported(f"{_ID} fine-tunes Gemini only.", path="model")
        source = place_named(self._store, body.get("training_file"), "training_file")
        spec: Json = {"trainingDatasetUri": address_of("gs", source)}
        if body.get("validation_file") is not None:
            place = place_named(self._store, body["validation_file"], "validation_file")
            spec["validationDatasetUri"] = address_of("gs", place)
        given = tuning_parameters(body)
        parameters = {_PARAMETERS.get(key, key): value for key, value in given.items() if key != "batch_size"}
        if parameters:
            spec["hyperParameters"] = parameters
        job: Json = {"baseModel": model.name, "supervisedTuningSpec": spec}
        name = option(body, "suffix") or option(body, "job_name")
        if name is not None:
            if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME_CHARS:
                raise BadRequest(f"suffix must be a text of up to {MAX_NAME_CHARS} characters.", path="suffix")
            job["tunedModelDisplayName"] = name
        return request_to(self.url, "POST", orjson.dumps(job), content_type=JSON_TYPE)

    def created(self, answer: Json, _body: Json) -> Json:
        """Return the job that was begun."""
        return self.shown(answer)

    def shown(self, answer: Json) -> Json:
        """Return the fine-tuning job that a job is; raises UpstreamInvalid."""
        match = _JOB.fullmatch(word(answer.get("name")))
        if match is None:
            raise UpstreamInvalid(f"Invalid response received from {_ID}.")
        spec = mapping(answer.get("supervisedTuningSpec"))
        tuned = mapping(answer.get("tunedModel"))
        validation = word(spec.get("validationDatasetUri"))
        endpoint = word(tuned.get("endpoint")).rpartition("/")[2]
        return tuning_object(
            TuningFacts(
                id=match[1],
                status=_STATUSES.get(word(answer.get("state")), "running"),
                model=word(answer.get("baseModel")),
                training_file=encoded_id(word(spec.get("trainingDatasetUri"))),
                validation_file=encoded_id(validation) if validation else None,
                # As chats name it.
                tuned_model=f"endpoints/{endpoint}" if endpoint else word(tuned.get("model")) or None,
                created=seconds(answer.get("createTime")),
                finished=seconds(answer.get("endTime")),
                message=word(mapping(answer.get("error")).get("message")),
                parameters={
                    _OWN_WORDS.get(key, key): value for key, value in mapping(spec.get("hyperParameters")).items()
                },
            ),
            _ID,
        )

    def encode(self, example: Json, facts: CallFacts) -> Json:
        """Return one example as a conversation of Gemini's."""
        said = {name: example[name] for name in ("messages", "tools") if example.get(name) is not None}
        request = encode_request(said, facts, provider=_ID)
        return {name: request[name] for name in ("systemInstruction", "contents", "tools") if name in request}
