"""Files, batches and fine-tuning jobs of a provider whose own API for them is not OpenAI's: what it must say.

A file is an object in a store of the caller's cloud account; a batch and a fine-tuning job read and write such objects.
Everything here is pure: requests are made and answers are read, `pipeline/bulk` sends them.
Source: https://platform.openai.com/docs/api-reference/batch, …/files, …/fine-tuning
"""

import datetime as dt
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from urllib.parse import quote, unquote

from data_plane.core.types import CallFacts, Json, UpstreamRequest
from data_plane.providers._openai_like import mapping
from data_plane.providers.base import ProviderFault
from shared.errors import BadRequest, NotFound
from shared.redact import Secret

JSON_TYPE: Final = "application/json"
#: Paths that a batch may name, by the operation that they are.
BATCHED: Final[Mapping[str, str]] = {"/v1/chat/completions": "chat", "/v1/embeddings": "embed"}
#: An object's name in segments that no service and no proxy reads as anything else.
_KEY: Final = re.compile(r"(?!.*(?:^|/)\.\.?(?:/|$))[A-Za-z0-9_!*'().:=@,+-]+(?:/[A-Za-z0-9_!*'().:=@,+-]+)*")
MAX_KEY_CHARS: Final = 1000
MAX_ID_CHARS: Final = 4096
#: How often an id may be encoded over itself: once by us, once by a client, once by a proxy.
_MAX_ENCODINGS: Final = 3


@dataclass(frozen=True, slots=True)
class Place:
    """Where an object is; `key` may be a folder where one is meant."""

    bucket: str
    key: str


@dataclass(frozen=True, slots=True)
class Told:
    """A service's answer, read whole; `headers` have lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as its store tells of it; `created` is in Unix seconds, `purpose` "" where nobody said it."""

    place: Place
    size: int
    created: int
    purpose: str = ""


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of an object on its way: `number` counts from 1, `start` in bytes; `total` is known with the last one."""

    number: int
    start: int
    content: bytes = field(repr=False)
    total: int | None = None


class Store(Protocol):
    """The objects of one account.  Requests come unsigned; readers raise UpstreamInvalid for what is no answer."""

    scheme: str
    #: The setting that names the bucket, and the one that names the object.
    settings: tuple[str, str]

    def place(self, bucket: str, key: str) -> Place:
        """Return a place whose names are good for this store; raises BadRequest."""

    def begin(self, place: Place, purpose: str) -> UpstreamRequest:
        """Return the request that begins an upload."""

    def begun(self, told: Told) -> str:
        """Return the name of an upload that has begun."""

    def send(self, place: Place, upload: str, part: Slice) -> UpstreamRequest:
        """Return the request that sends a part."""

    def sent(self, told: Told, part: Slice) -> str:
        """Return the receipt of a part that was taken whole; "" where there is none."""

    def finish(self, place: Place, upload: str, receipts: list[str]) -> UpstreamRequest | None:
        """Return the request that makes an object of the parts; None where the last one does."""

    def finished(self, told: Told) -> None:
        """Raise when the answer to `finish` is a failure."""

    def abort(self, place: Place, upload: str) -> UpstreamRequest:
        """Return the request that drops what was sent."""

    def look(self, place: Place) -> UpstreamRequest:
        """Return the request for what the store knows of an object."""

    def seen(self, told: Told, place: Place) -> Stored:
        """Return the answer to `look`."""

    def read(self, place: Place) -> UpstreamRequest:
        """Return the request for an object's content."""

    def delete(self, place: Place) -> UpstreamRequest:
        """Return the request that deletes an object."""

    def page(self, folder: Place, count: int, token: str | None) -> UpstreamRequest:
        """Return the request for the next objects whose names begin with the folder's."""

    def paged(self, told: Told, folder: Place) -> tuple[list[Stored], str | None]:
        """Return (objects, token of what follows)."""

    def fault(self, status: int, content: bytes) -> ProviderFault:
        """Return the store's error, normalised."""


class Work(Protocol):
    """One kind of job at a provider.  Ids are the caller's, as they came in a path."""

    def create(self, body: Json) -> UpstreamRequest:
        """Return the request that begins a job; raises BadRequest and Unsupported."""

    def created(self, answer: Json, body: Json) -> Json:
        """Return OpenAI's object of a job that `body` began."""

    def read(self, job_id: str) -> UpstreamRequest:
        """Return the request for a job; raises NotFound for what can be no id."""

    def shown(self, answer: Json) -> Json:
        """Return OpenAI's object of a job."""

    def page(self, count: int, token: str | None) -> UpstreamRequest:
        """Return the request for the next jobs, the youngest first."""

    def paged(self, answer: Json) -> tuple[list[Json], str | None]:
        """Return (OpenAI's objects, token of what follows)."""

    def cancel(self, job_id: str) -> UpstreamRequest:
        """Return the request that ends a job."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one line; `body` is OpenAI's answer or error of the `status`, None for a line that got none."""

    custom_id: str
    status: int = 200
    body: Json | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Results:
    """Where a batch's results are: objects below `folder` whose names end like one of `ends`."""

    folder: Place
    ends: tuple[str, ...]
    model: str


class Batches(Work, Protocol):
    """Batches, and their lines."""

    def encode(self, custom_id: str, operation: str, body: Json, facts: CallFacts) -> Json:
        """Return the provider's line of one request; raises BadRequest and Unsupported."""

    def decode(self, line: Json, facts: CallFacts) -> Result:
        """Return what a line of the results says; raises UpstreamInvalid for what is none."""

    def results(self, answer: Json) -> Results | None:
        """Return where the results of a job are; None while there are none."""

    def result_of(self, place: Place) -> str | None:
        """Return whose results an object is, as an id for `read` ("" when that is not told); None for any other."""


class Tunings(Work, Protocol):
    """Fine-tuning jobs, and their examples."""

    def encode(self, example: Json, facts: CallFacts) -> Json:
        """Return the provider's line of one example; raises BadRequest and Unsupported."""


@dataclass(frozen=True, slots=True)
class Bulk:
    """What a provider has of all this; each part is made for a base URL and the facts of one call.

    `sign` authorises one request; its last argument is whether it goes to the store.  `model_settings` name the
    settings that may say which model a file is for.
    """

    store: Callable[[str, CallFacts], Store]
    batches: Callable[[str, CallFacts], Batches]
    tunings: Callable[[str, CallFacts], Tunings]
    sign: Callable[[UpstreamRequest, Secret | None, CallFacts, bool], None]
    fault: Callable[[int, Json | None], ProviderFault]
    model_settings: tuple[str, ...] = ("provider_model",)


def request_to(url: str, method: str = "GET", body: bytes = b"", **headers: str) -> UpstreamRequest:
    """Return an unsigned request; `_` in the names of headers is a dash."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return UpstreamRequest(url=url, headers=named, body=body, stream=False, timeout_ms=None, method=method)


def plain_id(text: str) -> str:
    """Return an id without the encodings that it came in; raises NotFound for what can be none."""
    for _ in range(_MAX_ENCODINGS):
        if "%" not in text:
            break
        text = unquote(text)
    if not text or len(text) > MAX_ID_CHARS or not text.isascii() or not text.isprintable():
        raise NotFound("There is no such object.")
    return text


def encoded_id(text: str) -> str:
    """Return an id that can stand in a path as one step."""
    return quote(text, safe="")


def address_of(scheme: str, place: Place) -> str:
    """Return `scheme://bucket/key`."""
    return f"{scheme}://{place.bucket}/{place.key}"


def place_named(store: Store, file_id: object, path: str) -> Place:
    """Return the place that a file's id in a body names; raises BadRequest."""
    scheme = f"{store.scheme}://"
    try:
        text = plain_id(file_id) if isinstance(file_id, str) else ""
    except NotFound:
        text = ""
    if not text.startswith(scheme):
        raise BadRequest(f"{path} must be the id of a file of this provider, or its {scheme}… address.", path=path)
    bucket, _, key = text.removeprefix(scheme).partition("/")
    return store.place(bucket, key)


def check_key(key: str, path: str) -> str:
    """Return an object's name, without a slash at its end; raises BadRequest for one that could be read otherwise."""
    key = key.removesuffix("/")
    if len(key) > MAX_KEY_CHARS or not _KEY.fullmatch(key):
        raise BadRequest(f"{path} is not a plain name of an object.", path=path)
    return key


def folder_of(place: Place) -> Place:
    """Return the folder that an object is in; its key is "" for the bucket itself."""
    return Place(place.bucket, place.key.rpartition("/")[0])


def seconds(value: object) -> int | None:
    """Return a service's time in Unix seconds, None for what is none."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e11:
        return int(value)
    if not isinstance(value, str):
        return None
    try:
        return int(dt.datetime.fromisoformat(value).timestamp())
    except (ValueError, OverflowError):
        return None


def word(value: object) -> str:
    """Return a text, "" for what is none."""
    return value if isinstance(value, str) else ""


def whole_number(value: object) -> int:
    """Return a count, which may be spelt; 0 for what is none."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        return int(value)
    return value if type(value) is int and 0 <= value < 2**53 else 0


def option(body: Json, name: str) -> Any:
    """Return what a body says beside OpenAI's parameters: at its top, or in `provider_options`."""
    value = body.get(name)
    return value if value is not None else mapping(body.get("provider_options")).get(name)


def required_text(body: Json, name: str) -> str:
    """Return a text that a body must say; raises BadRequest."""
    value = option(body, name)
    if not isinstance(value, str) or not value or len(value) > MAX_ID_CHARS or not value.isprintable():
        raise BadRequest(f"{name} is required, as a text.", path=name)
    return value


def model_named(body: Json, facts: CallFacts, names: tuple[str, ...]) -> str:
    """Return the model that a body or a setting names, without a `@slug/` before it; raises BadRequest."""
    said = next((facts.settings[name] for name in names if isinstance(facts.settings.get(name), str)), "")
    model = facts.model or word(option(body, "model")) or said
    if not model or not model.isprintable() or len(model) > MAX_ID_CHARS:
        raise BadRequest("model is required: in the body, in provider_options, or as provider_model.", path="model")
    return model


def file_object(store: Store, stored: Stored) -> Json:
    """Return OpenAI's object of a file."""
    return {
        "id": encoded_id(address_of(store.scheme, stored.place)), "object": "file", "bytes": stored.size,
        "created_at": stored.created, "filename": stored.place.key.rpartition("/")[2],
        "purpose": stored.purpose or "batch", "status": "processed",
    }  # fmt: skip


_STAMPS: Final = ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")
#: Statuses after which nothing happens any more.
ENDED: Final = frozenset({"completed", "failed", "expired", "cancelled"})


@dataclass(frozen=True, slots=True)
class BatchFacts:
    """What OpenAI's object of a batch is made of; `since` is when it came to its status, in Unix seconds."""

    id: str
    status: str
    endpoint: str
    input_file: str
    model: str
    created: int | None = None
    since: int | None = None
    expires: int | None = None
    output_file: str | None = None
    total: int = 0
    completed: int = 0
    failed: int = 0
    message: str = ""


def batch_object(told: BatchFacts, provider: str) -> Json:
    """Return OpenAI's object of a batch."""
    fault = {"code": "provider_error", "message": told.message, "line": None, "param": None}
    return {
        "id": told.id, "object": "batch", "endpoint": told.endpoint, "input_file_id": told.input_file,
        "completion_window": "24h", "status": told.status, "created_at": told.created or 0,
        "expires_at": told.expires, "model": told.model,
        **{f"{name}_at": told.since if name == told.status else None for name in _STAMPS},
        "errors": {"object": "list", "data": [fault]} if told.message and told.status == "failed" else None,
        "output_file_id": told.output_file, "error_file_id": None,
        "request_counts": {"total": told.total, "completed": told.completed, "failed": told.failed},
        "metadata": None, "provider": provider,
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class TuningFacts:
    """What OpenAI's object of a fine-tuning job is made of; times are Unix seconds."""

    id: str
    status: str
    model: str
    training_file: str
    validation_file: str | None = None
    tuned_model: str | None = None
    created: int | None = None
    finished: int | None = None
    message: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)


def tuning_object(told: TuningFacts, provider: str) -> Json:
    """Return OpenAI's object of a fine-tuning job."""
    chosen = {
        name: told.parameters.get(name, "auto") for name in ("n_epochs", "batch_size", "learning_rate_multiplier")
    }
    error = {"code": "provider_error", "message": told.message, "param": None} if told.status == "failed" else None
    return {
        "id": told.id, "object": "fine_tuning.job", "created_at": told.created or 0, "status": told.status,
        "model": told.model, "fine_tuned_model": told.tuned_model, "finished_at": told.finished,
        "training_file": told.training_file, "validation_file": told.validation_file, "result_files": [],
        "hyperparameters": chosen, "method": {"type": "supervised", "supervised": {"hyperparameters": chosen}},
        "organization_id": "", "seed": 0, "trained_tokens": None, "estimated_finish": None, "integrations": [],
        "error": error, "metadata": None, "provider": provider,
    }  # fmt: skip


def tuning_parameters(body: Json) -> dict[str, Any]:
    """Return the hyperparameters of a body, without those that are left to the provider; raises BadRequest."""
    method = mapping(body.get("method"))
    kind = method.get("type") or "supervised"
    if kind != "supervised":
        raise BadRequest("method.type must be supervised.", path="method.type")
    given = mapping(method.get("supervised")).get("hyperparameters") or body.get("hyperparameters") or {}
    if not isinstance(given, dict) or not all(isinstance(value, str | int | float) for value in given.values()):
        raise BadRequest("hyperparameters must be an object of numbers and texts.", path="hyperparameters")
    return {name: value for name, value in given.items() if value != "auto"}
