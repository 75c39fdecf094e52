"""Files, batches and fine-tuning jobs of Amazon Bedrock: objects in S3, and jobs that read and write them.

A batch of chats asks for Converse, one of embeddings for each model's own body.  What Bedrock keeps of a batch says
which of the two it is, so nothing has to be remembered here.
Source: https://docs.aws.amazon.com/bedrock/latest/userguide/batch-inference.html
"""

import re
import time
from secrets import token_hex
from typing import Any, Final

import orjson

from data_plane.core.types import CallFacts, Json, UpstreamRequest
from data_plane.providers import _invoke_embed
from data_plane.providers._aws_account import aws_region, sign_as_account
from data_plane.providers._bedrock_tuning import BedrockTunings, job_name
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
    required_text,
    seconds,
    whole_number,
    word,
)
from data_plane.providers._bulk_jobs import AWS, Jobs, failed_line
from data_plane.providers._converse_answer import decode_answer, read_bedrock_fault
from data_plane.providers._converse_request import encode_request
from data_plane.providers._openai_like import bearer, mapping
from data_plane.providers._s3 import S3
from shared.addresses import fill_address, lies_at
from shared.errors import BadRequest, Unsupported, UpstreamInvalid
from shared.redact import Secret

PROVIDER_ID: Final = "bedrock"
RUNTIME: Final = "https://bedrock-runtime.{aws_region}.amazonaws.com"
CONTROL: Final = "https://bedrock.{aws_region}.amazonaws.com"
STORAGE: Final = "https://s3.{aws_region}.amazonaws.com"
#: Settings that say which model a file or a batch is for.
MODEL_SETTINGS: Final = ("provider_model", "aws_bedrock_model")
_REGION: Final = re.compile(r"[a-z]{2,}(?:-[a-z0-9]+)+")
_JOB: Final = re.compile(r"(?:arn:aws[a-z-]*:bedrock:[a-z0-9-]{1,20}:[0-9]{12}:model-invocation-job/)?([a-z0-9]{12})")
_RESULT: Final = re.compile(r"(?:.*/)?([a-z0-9]{12})/[^/]+\.jsonl\.out")
_HOURS: Final = re.compile(r"([0-9]{1,3})h")
_STATUSES: Final = {
    "Submitted": "validating", "Validating": "validating", "Scheduled": "in_progress", "InProgress": "in_progress",
    "Stopping": "cancelling", "Stopped": "cancelled", "Completed": "completed", "PartiallyCompleted": "completed",
    "Failed": "failed", "Expired": "expired",
}  # fmt: skip
#: How a batch is asked, by the operation; Bedrock's word for each.
_KINDS: Final = {"chat": "Converse", "embed": "InvokeModel"}
_ENDPOINTS: Final = {_KINDS[operation]: path for path, operation in BATCHED.items()}


def service_address(base_url: str, template: str, facts: CallFacts) -> str:
    """Return where another service of the account is; an address of the account's own is that of all its services.

    Raises BadRequest for a region that is none.
    """
    if not lies_at(base_url, RUNTIME, facts.settings):
        return base_url
    if not _REGION.fullmatch(aws_region(facts.settings, PROVIDER_ID)):
        raise BadRequest("aws_region is not the name of a region.", path="aws_region")
    return fill_address(template, facts.settings)


def _store(base_url: str, facts: CallFacts) -> S3:
    return S3(service_address(base_url, STORAGE, facts), facts)


def _hours(body: Json) -> int:
    """Return how long a batch may take: Bedrock gives a day at least, a week at most."""
    match = _HOURS.fullmatch(word(body.get("completion_window")) or "24h")
    hours = int(match[1]) if match else 0
    if not 24 <= hours <= 168:
        raise BadRequest("completion_window must be 24h to 168h, or immediate.", path="completion_window")
    return hours


def _output(body: Json, store: S3, source: Place) -> Json:
    """Return where the results go: as the body says, as an address or in AWS's words, else beside the input."""
    said = option(body, "output_data_config")
    config: dict[str, Any] = dict(mapping(mapping(said).get("s3OutputDataConfig") or said))
    address = said if isinstance(said, str) else config.get("s3Uri")
    folder = folder_of(source) if address is None else place_named(store, address, "output_data_config")
    config["s3Uri"] = address_of("s3", folder).rstrip("/") + "/"
    return {"s3OutputDataConfig": config}


class BedrockBatches(Jobs):
    """Model invocation jobs."""

    words = AWS
    noun = "batch"
    held = "invocationJobSummaries"

    def __init__(self, base_url: str, facts: CallFacts) -> None:
        service = service_address(base_url, CONTROL, facts).rstrip("/")
        super().__init__(f"{service}/model-invocation-job", f"{service}/model-invocation-jobs")
        self._facts = facts
        self._store = _store(base_url, facts)

    def step(self, plain: str) -> str | None:
        """Return an id as it stands in a path: whole."""
        return plain if _JOB.fullmatch(plain) else None

    def create(self, body: Json) -> UpstreamRequest:
        """Return the request that begins a job."""
        operation = BATCHED.get(word(body.get("endpoint")))
        if operation is None:
            raise Unsupported(f"{PROVIDER_ID} has batches for: {', '.join(BATCHED)}", path="endpoint")
        source = place_named(self._store, body.get("input_file_id"), "input_file_id")
        job = {
            "jobName": job_name(body), "roleArn": required_text(body, "role_arn"), "clientRequestToken": token_hex(16),
            "modelId": model_named(body, self._facts, MODEL_SETTINGS), "modelInvocationType": _KINDS[operation],
            "inputDataConfig": {"s3InputDataConfig": {"s3Uri": address_of("s3", source), "s3InputFormat": "JSONL"}},
            "outputDataConfig": _output(body, self._store, source), "timeoutDurationInHours": _hours(body),
        }  # fmt: skip
        return request_to(self.url, "POST", orjson.dumps(job), content_type=JSON_TYPE)

    def created(self, answer: Json, body: Json) -> Json:
        """Return the batch that was begun."""
        source = place_named(self._store, body.get("input_file_id"), "input_file_id")
        told = {
            **answer, "status": "Submitted", "submitTime": time.time(),
            "modelId": model_named(body, self._facts, MODEL_SETTINGS),
            "modelInvocationType": _KINDS[BATCHED[body["endpoint"]]],
            "inputDataConfig": {"s3InputDataConfig": {"s3Uri": address_of("s3", source)}},
        }  # fmt: skip
        return self.shown(told)

    def shown(self, answer: Json) -> Json:
        """Return the batch that a job is; raises UpstreamInvalid."""
        arn = word(answer.get("jobArn"))
        if not _JOB.fullmatch(arn):
            raise UpstreamInvalid(f"Invalid response received from {PROVIDER_ID}.")
        status = _STATUSES.get(word(answer.get("status")), "in_progress")
        source = word(mapping(mapping(answer.get("inputDataConfig")).get("s3InputDataConfig")).get("s3Uri"))
        failed = whole_number(answer.get("errorRecordCount"))
        return batch_object(
            BatchFacts(
                id=encoded_id(arn),
                status=status,
                endpoint=_ENDPOINTS.get(word(answer.get("modelInvocationType")), ""),
                input_file=encoded_id(source),
                model=word(answer.get("modelId")),
                created=seconds(answer.get("submitTime")),
                since=seconds(answer.get("endTime" if status in ENDED else "lastModifiedTime")),
                expires=seconds(answer.get("jobExpirationTime")),
                output_file=self._result_file(answer, status),
                total=whole_number(answer.get("totalRecordCount")),
                completed=whole_number(answer.get("successRecordCount")),
                failed=failed,
                message=word(answer.get("message")),
            ),
            PROVIDER_ID,
        )

    def _folder(self, answer: Json) -> Place | None:
        address = word(mapping(mapping(answer.get("outputDataConfig")).get("s3OutputDataConfig")).get("s3Uri"))
        match = _JOB.fullmatch(word(answer.get("jobArn")))
        if match is None:
            return None
        try:
            return place_named(self._store, f"{address.rstrip('/')}/{match[1]}", "output_data_config")
        except BadRequest:
            return None

    def _result_file(self, answer: Json, status: str) -> str | None:
        """Return the id of the results of a job whose input is one file."""
        folder = self._folder(answer)
        source = word(mapping(mapping(answer.get("inputDataConfig")).get("s3InputDataConfig")).get("s3Uri"))
        name = source.rpartition("/")[2]
        if status not in ENDED or status == "failed" or folder is None or not name:
            return None
        return encoded_id(f"{address_of('s3', folder)}/{name}.out")

    def encode(self, custom_id: str, operation: str, body: Json, facts: CallFacts) -> Json:
        """Return the record of one request."""
        encode = encode_request if operation == "chat" else _invoke_embed.encode_request
        return {"recordId": custom_id, "modelInput": encode(body, facts, provider=PROVIDER_ID)}

    def decode(self, line: Json, facts: CallFacts) -> Result:
        """Return what a record says."""
        custom_id, answer = word(line.get("recordId")), line.get("modelOutput")
        if isinstance(answer, dict):
            decode = decode_answer if "output" in answer else _invoke_embed.decode_answer
            return Result(custom_id, 200, decode(answer, facts, provider=PROVIDER_ID))
        fault = mapping(line.get("error"))
        message = word(fault.get("errorMessage")) or "Bedrock did not answer this record."
        return failed_line(custom_id, whole_number(fault.get("errorCode")), message, PROVIDER_ID)

    def results(self, answer: Json) -> Results | None:
        """Return where the results are once the job has ended."""
        folder = self._folder(answer)
        if _STATUSES.get(word(answer.get("status"))) not in ENDED or folder is None:
            return None
        return Results(folder, (".jsonl.out",), word(answer.get("modelId")))

    def result_of(self, place: Place) -> str | None:
        """Return the job in whose folder an object of results is."""
        match = _RESULT.fullmatch(place.key)
        return match[1] if match else None


def _sign(request: UpstreamRequest, key: Secret | None, facts: CallFacts, is_storage: bool) -> None:  # noqa: FBT001 -- as `Bulk.sign` has it
    if sign_as_account(request, facts, provider=PROVIDER_ID, service="s3" if is_storage else "bedrock"):
        return
    if is_storage:
        raise BadRequest(
            f"Files of {PROVIDER_ID} are in S3, which takes no Bedrock API key: it needs aws_access_key_id and "
            "aws_secret_access_key, or a role.",
            path="aws_access_key_id",
        )
    if not key:
        raise BadRequest(f"{PROVIDER_ID} needs an API key, or aws_access_key_id and aws_secret_access_key.", path="key")
    bearer(key, request.headers)


def _tunings(base_url: str, facts: CallFacts) -> BedrockTunings:
    return BedrockTunings(service_address(base_url, CONTROL, facts), _store(base_url, facts), facts)


BULK: Final = Bulk(
    store=_store,
    batches=BedrockBatches,
    tunings=_tunings,
    sign=_sign,
    fault=read_bedrock_fault,
    model_settings=MODEL_SETTINGS,
)
