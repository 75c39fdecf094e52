"""What jobs at clouds have in common: how one is read and ended, how all are listed, how a line of theirs failed."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from data_plane.core.types import Json, UpstreamRequest
from data_plane.providers._bulk import JSON_TYPE, Result, encoded_id, plain_id, request_to, word
from shared.errors import NotFound


@dataclass(frozen=True, slots=True)
class Words:
    """A cloud's words for all kinds of its jobs: `end` stands behind a job's address, the others in a list's query."""

    end: str
    size: str
    most: int
    token: str
    following: str
    order: str = ""


AWS: Final = Words("/stop", "maxResults", 1000, "nextToken", "nextToken", "&sortBy=CreationTime&sortOrder=Descending")
GOOGLE: Final = Words(":cancel", "pageSize", 100, "pageToken", "nextPageToken")


class Jobs(ABC):
    """Jobs of one kind; a kind says what it is called, which ids it has, and how one is shown.

    `noun` is for those who ask for one that is not there, `held` the member of a list that has them.
    """

    words: ClassVar[Words]
    noun: ClassVar[str]
    held: ClassVar[str]

    def __init__(self, url: str, listed_url: str = "") -> None:
        """`url` is what a job's id stands below; `listed_url` is where all are listed, when that is elsewhere."""
        self.url = url
        self._listed_url = listed_url or url

    @abstractmethod
    def step(self, plain: str) -> str | None:
        """Return an id as it stands in a path, before it is encoded; None for what is none."""

    @abstractmethod
    def shown(self, answer: Json) -> Json:
        """Return OpenAI's object of a job; raises UpstreamInvalid."""

    def _job_url(self, job_id: str) -> str:
        step = self.step(plain_id(job_id))
        if step is None:
            raise NotFound(f"There is no such {self.noun}.")
        return f"{self.url}/{encoded_id(step)}"

    def read(self, job_id: str) -> UpstreamRequest:
        """Return the request for a job; raises NotFound for what can be no id."""
        return request_to(self._job_url(job_id))

    def cancel(self, job_id: str) -> UpstreamRequest:
        """Return the request that ends a job."""
        return request_to(self._job_url(job_id) + self.words.end, "POST", b"{}", content_type=JSON_TYPE)

    def page(self, count: int, token: str | None) -> UpstreamRequest:
        """Return the request for the next jobs, the youngest first."""
        words = self.words
        following = f"&{words.token}={encoded_id(token)}" if token else ""
        query = f"{words.size}={min(count, words.most)}{following}{words.order}"
        return request_to(f"{self._listed_url}?{query}")

    def paged(self, answer: Json) -> tuple[list[Json], str | None]:
        """Return (OpenAI's objects, token of what follows)."""
        told: Any = answer.get(self.held)
        jobs = [self.shown(job) for job in told if isinstance(job, dict)] if isinstance(told, list) else []
        return jobs, word(answer.get(self.words.following)) or None


def failed_line(custom_id: str, code: int, message: str, provider: str) -> Result:
    """Return what became of a line that failed; `code` is the status that it failed with, any other number for none."""
    if not 400 <= code <= 599:
        return Result(custom_id, error=message)
    told: Mapping[str, Any] = {"message": f"{provider} error: {message}", "type": None, "param": None, "code": code}
    return Result(custom_id, code, {"error": told, "provider": provider})
