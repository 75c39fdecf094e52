"""Files, batches and fine-tuning jobs that a provider keeps itself, with ids of its own: what it must say.

A file goes up whole, as one form, after its lines were translated; what a file holds is fetched from addresses that the
provider tells.  Jobs are those of `_bulk.py`.  Everything here is pure: `pipeline/bulk/hosted.py` sends it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final, Protocol

from data_plane.core.types import CallFacts, Json, UpstreamRequest
from data_plane.providers._bulk import Result, Work, encoded_id, plain_id
from data_plane.providers.base import ProviderFault
from shared.errors import NotFound

_ID: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,254}[A-Za-z0-9])?")
_UNFIT: Final = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Taken:
    """A file that was taken in: its name at the caller's, its size in bytes after translation, its lines, its model."""

    name: str
    size: int
    lines: int
    model: str = ""


class Files(Protocol):
    """The files of one account.  Ids are the caller's, as they came in a path."""

    #: What files here are for, and the field of the form that holds one.
    purpose: str
    field: str
    most_bytes: int

    def line(self, said: Json) -> tuple[Json, str]:
        """Return (the provider's line, the model it names or ""); raises BadRequest and Unsupported."""

    def begin(self, taken: Taken) -> UpstreamRequest | None:
        """Return the request that announces a file; None where nothing does."""

    def send(self, taken: Taken) -> UpstreamRequest:
        """Return the request that sends a file, without its body."""

    def drop(self) -> UpstreamRequest | None:
        """Return the request that takes the announcement back; None where there is nothing to take back."""

    def stored(self, answer: Json, taken: Taken) -> Json:
        """Return OpenAI's object of a file that was sent."""

    def read(self, file_id: str) -> UpstreamRequest:
        """Return the request for what is known of a file; raises NotFound for what can be no id."""

    def shown(self, answer: Json) -> Json:
        """Return OpenAI's object of a file."""

    def delete(self, file_id: str) -> UpstreamRequest:
        """Return the request that deletes a file."""

    def page(self, count: int, token: str | None) -> UpstreamRequest:
        """Return the request for the next files, the youngest first."""

    def paged(self, answer: Json, token: str | None) -> tuple[list[Json], str | None]:
        """Return (OpenAI's objects, token of what follows the page that `token` asked for)."""

    def look(self, file_id: str) -> UpstreamRequest:
        """Return the request whose answer tells where a file's content is."""

    def parts(self, answer: Json) -> list[str]:
        """Return the addresses that a file's content is at, in their order."""

    def is_result(self, answer: Json) -> bool:
        """Return whether a file holds the results of a batch."""

    def result(self, record: Json, facts: CallFacts) -> Result:
        """Return what a record of the results says; raises UpstreamInvalid."""


class HostedBatches(Work, Protocol):
    """Batches, and where their results are."""

    def output(self, answer: Json) -> tuple[str, str] | None:
        """Return (the id of the file of results, the model) of a job; None while there are none."""


@dataclass(frozen=True, slots=True)
class Hosted:
    """What a provider has of all this; each part is made for a base URL and the facts of one call, None: it has none.

    `model_settings` name the settings that may say which model a job is for.
    """

    files: Callable[[str, CallFacts], Files]
    fault: Callable[[int, Json | None], ProviderFault]
    batches: Callable[[str, CallFacts], HostedBatches] | None = None
    tunings: Callable[[str, CallFacts], Work] | None = None
    model_settings: tuple[str, ...] = ("provider_model",)


def own_id(text: str, what: str) -> str:
    """Return an id as one step of a path; raises NotFound for what can be none."""
    plain = plain_id(text)
    if not _ID.fullmatch(plain):
        raise NotFound(f"There is no such {what}.")
    return encoded_id(plain)


def stem_of(name: str) -> str:
    """Return what a caller calls a file, in lower-case letters, digits and dashes."""
    stem = PurePosixPath(name.replace("\\", "/")).name.lower().removesuffix(".jsonl")
    return _UNFIT.sub("-", stem)[:40].strip("-") or "file"
