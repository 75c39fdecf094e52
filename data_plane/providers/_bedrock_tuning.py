"""Fine-tuning at Amazon Bedrock: model customisation jobs, and examples in the form that each family of models takes.

Source: https://docs.aws.amazon.com/bedrock/latest/userguide/model-customization-prepare.html
"""

import re
import time
from collections.abc import Mapping
from secrets import token_hex
from typing import Any, Final

import orjson

from data_plane.core.types import CallFacts, Json, UpstreamRequest
from data_plane.providers._bulk import (
    JSON_TYPE,
    TuningFacts,
    address_of,
    encoded_id,
    folder_of,
    model_named,
    option,
    place_named,
    request_to,
    required_text,
    seconds,
    tuning_object,
    tuning_parameters,
    word,
)
from data_plane.providers._bulk_jobs import AWS, Jobs
from data_plane.providers._converse_request import encode_request
from data_plane.providers._openai_like import mapping
from data_plane.providers._s3 import S3
from shared.errors import BadRequest, Unsupported, UpstreamInvalid

_ID: Final = "bedrock"
_MODEL_SETTINGS: Final = ("provider_model", "aws_bedrock_model")
_ARN: Final = re.compile(
    r"arn:aws[a-z-]*:bedrock:[a-z0-9-]{1,20}:[0-9]{12}:model-customization-job/[a-z0-9.:-]{3,200}/[a-z0-9]{12}"
)
_NAME: Final = re.compile(r"[a-zA-Z0-9](?:-*[a-zA-Z0-9+.-]){0,62}")
_MODEL_NAME: Final = re.compile(r"(?:[0-9a-zA-Z][_-]?){1,63}")
_STATUSES: Final = {
    "InProgress": "running", "Stopping": "running", "Completed": "succeeded", "Failed": "failed",
    "Stopped": "cancelled",
}  # fmt: skip
#: OpenAI's hyperparameters in Bedrock's words.
_PARAMETERS: Final[Mapping[str, str]] = {
    "n_epochs": "epochCount", "batch_size": "batchSize", "learning_rate_multiplier": "learningRateMultiplier",
}  # fmt: skip
_OWN_WORDS: Final = {theirs: ours for ours, theirs in _PARAMETERS.items()}
#: Families whose examples are a prompt and its completion, and the one that takes Anthropic's own messages.
_BY_PROMPT: Final = re.compile(r"(?:^|[./])(?:amazon\.titan|cohere\.)")
_CLAUDE: Final = re.compile(r"(?:^|[./])anthropic\.claude")
SCHEMA: Final = "bedrock-conversation-2024"


def job_name(body: Json) -> str:
    """Return the name of a job, a new one when the body has none; raises BadRequest."""
    name = option(body, "job_name")
    if name is None:
        return f"gatehouse-{token_hex(12)}"
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise BadRequest("job_name must be up to 63 letters, digits, dots and dashes.", path="job_name")
    return name


def _texts(blocks: list[Json]) -> str:
    if not all(isinstance(block.get("text"), str) for block in blocks):
        raise Unsupported(f"{_ID} fine-tunes this model with texts only.", path="messages")
    return "\n".join(block["text"] for block in blocks)


class BedrockTunings(Jobs):
    """Model customisation jobs at `url`, whose files are in `store`."""

    words = AWS
    noun = "fine-tuning job"
    held = "modelCustomizationJobSummaries"

    def __init__(self, url: str, store: S3, facts: CallFacts) -> None:
        super().__init__(f"{url.rstrip('/')}/model-customization-jobs")
        self._store = store
        self._facts = facts

    def step(self, plain: str) -> str | None:
        """Return an id as it stands in a path: whole, an ARN or a name."""
        return plain if _ARN.fullmatch(plain) or _NAME.fullmatch(plain) else None

    def create(self, body: Json) -> UpstreamRequest:
        """Return the request that begins a job."""
        source = place_named(self._store, body.get("training_file"), "training_file")
        name = job_name(body)
        output = option(body, "output_file")
        folder = folder_of(source) if output is None else place_named(self._store, output, "output_file")
        model_name = option(body, "suffix") or re.sub(r"[^0-9a-zA-Z]+", "-", name).strip("-")
        if not isinstance(model_name, str) or not _MODEL_NAME.fullmatch(model_name):
            raise BadRequest("suffix must be up to 63 letters and digits, with single dashes between.", path="suffix")
        job: Json = {
            "jobName": name, "customModelName": model_name, "roleArn": required_text(body, "role_arn"),
            "clientRequestToken": token_hex(16), "customizationType": "FINE_TUNING",
            "baseModelIdentifier": model_named(body, self._facts, _MODEL_SETTINGS),
            "trainingDataConfig": {"s3Uri": address_of("s3", source)},
            "outputDataConfig": {"s3Uri": address_of("s3", folder).rstrip("/") + "/"},
            "hyperParameters": {
                _PARAMETERS.get(key, key): str(value) for key, value in tuning_parameters(body).items()
            },
        }  # fmt: skip
        if body.get("validation_file") is not None:
            place = place_named(self._store, body["validation_file"], "validation_file")
            job["validationDataConfig"] = {"validators": [{"s3Uri": address_of("s3", place)}]}
        return request_to(self.url, "POST", orjson.dumps(job), content_type=JSON_TYPE)

    def created(self, answer: Json, body: Json) -> Json:
        """Return the job that was begun."""
        source = place_named(self._store, body.get("training_file"), "training_file")
        told: Json = {
            **answer, "status": "InProgress", "creationTime": time.time(),
            "baseModelArn": model_named(body, self._facts, _MODEL_SETTINGS),
            "trainingDataConfig": {"s3Uri": address_of("s3", source)},
            "hyperParameters": {_PARAMETERS.get(key, key): value for key, value in tuning_parameters(body).items()},
        }  # fmt: skip
        if body.get("validation_file") is not None:
            place = place_named(self._store, body["validation_file"], "validation_file")
            told["validationDataConfig"] = {"validators": [{"s3Uri": address_of("s3", place)}]}
        return self.shown(told)

    def shown(self, answer: Json) -> Json:
        """Return the fine-tuning job that a job is; raises UpstreamInvalid."""
        arn = word(answer.get("jobArn"))
        if not _ARN.fullmatch(arn):
            raise UpstreamInvalid(f"Invalid response received from {_ID}.")
        validators = mapping(answer.get("validationDataConfig")).get("validators")
        first = mapping(validators[0]) if isinstance(validators, list) and validators else {}
        validation = word(first.get("s3Uri"))
        return tuning_object(
            TuningFacts(
                id=encoded_id(arn),
                status=_STATUSES.get(word(answer.get("status")), "running"),
                model=word(answer.get("baseModelArn")),
                training_file=encoded_id(word(mapping(answer.get("trainingDataConfig")).get("s3Uri"))),
                validation_file=encoded_id(validation) if validation else None,
                tuned_model=word(answer.get("outputModelArn") or answer.get("customModelArn")) or None,
                created=seconds(answer.get("creationTime")),
                finished=seconds(answer.get("endTime")),
                message=word(answer.get("failureMessage")),
                parameters={
                    _OWN_WORDS.get(key, key): value for key, value in mapping(answer.get("hyperParameters")).items()
                },
            ),
            _ID,
        )

    def encode(self, example: Json, facts: CallFacts) -> Json:
        """Return one example as the model's family takes it."""
        if "messages" not in example and isinstance(example.get("prompt"), str):
            return {name: example[name] for name in ("prompt", "completion") if name in example}
        said: dict[str, Any] = {"messages": example.get("messages"), "model": facts.model}
        request = encode_request(said, facts, provider=_ID)
        system, turns = request.get("system"), request["messages"]
        if _BY_PROMPT.search(facts.model):
            if [turn["role"] for turn in turns] != ["user", "assistant"]:
                raise Unsupported(f"{_ID} fine-tunes this model with one question and its answer.", path="messages")
            prompt, completion = (_texts(turn["content"]) for turn in turns)
            return {"prompt": f"{_texts(system)}\n\n{prompt}" if system else prompt, "completion": completion}
        if _CLAUDE.search(facts.model):
            spoken = [{"role": turn["role"], "content": _texts(turn["content"])} for turn in turns]
            return {**({"system": _texts(system)} if system else {}), "messages": spoken}
        return {"schemaVersion": SCHEMA, **({"system": system} if system else {}), "messages": turns}
