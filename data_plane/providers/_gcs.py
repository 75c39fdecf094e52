"""Google Cloud Storage as a store of files: its JSON API, uploads that can be resumed.

An upload's own address is not followed where Google says it is: only its id is taken, so that no answer can lead a
token to another host.
Source: https://docs.cloud.google.com/storage/docs/performing-resumable-uploads
"""

import re
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import msgspec
import orjson

from data_plane.core.types import CallFacts, Json, UpstreamRequest
from data_plane.providers._bulk import (
    JSON_TYPE,
    Place,
    Slice,
    Stored,
    Told,
    check_key,
    request_to,
    seconds,
    whole_number,
    word,
)
from data_plane.providers._gemini_answer import read_google_fault
from data_plane.providers._openai_like import mapping
from data_plane.providers.base import ProviderFault
from shared.errors import BadRequest, UpstreamInvalid

BUCKET: Final = "vertex_storage_bucket_name"
_BUCKET: Final = re.compile(r"(?!goog|.*\.\.|[0-9.]+$)[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_RANGE: Final = re.compile(r"bytes=0-([0-9]{1,15})")
#: What Google answers while an upload goes on, and when one was dropped.
GOES_ON: Final = 308
DROPPED: Final = 499


def _object(content: bytes) -> Json | None:
    try:
        told: Any = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return told if isinstance(told, dict) else None


def _answer(told: Told) -> Json:
    answer = _object(told.body)
    if answer is None:
        raise UpstreamInvalid("Invalid response received from Cloud Storage.")
    return answer


class Gcs:
    """The objects that a token reaches at `origin`."""

    scheme = "gs"
    settings = (BUCKET, "provider_file_name")

    def __init__(self, origin: str, _facts: CallFacts) -> None:
        self._origin = origin.rstrip("/")

    def place(self, bucket: str, key: str) -> Place:
        """Return a place with names that Cloud Storage takes; raises BadRequest."""
        if not _BUCKET.fullmatch(bucket):
            raise BadRequest(f"{BUCKET} is not the name of a bucket.", path=BUCKET)
        return Place(bucket, check_key(key, "provider_file_name") if key else "")

    def _url(self, place: Place, query: str = "") -> str:
        return f"{self._origin}/storage/v1/b/{place.bucket}/o/{quote(place.key, safe='')}" + query

    def _upload_url(self, place: Place, upload: str) -> str:
        query = urlencode({"uploadType": "resumable", "upload_id": upload})
        return f"{self._origin}/upload/storage/v1/b/{place.bucket}/o?{query}"

    def begin(self, place: Place, purpose: str) -> UpstreamRequest:
        """Return the request that begins an upload."""
        body = orjson.dumps({"name": place.key, "contentType": "application/jsonl", "metadata": {"purpose": purpose}})
        url = f"{self._origin}/upload/storage/v1/b/{place.bucket}/o?uploadType=resumable"
        return request_to(url, "POST", body, content_type=JSON_TYPE, x_upload_content_type="application/jsonl")

    def begun(self, told: Told) -> str:
        """Return the upload's id."""
        try:
            query = urlsplit(told.headers.get("location", "")).query
        except ValueError:
            query = ""
        upload = parse_qs(query).get("upload_id", [""])[0]
        if not upload:
            raise UpstreamInvalid("Cloud Storage did not begin the upload.")
        return upload

    def send(self, place: Place, upload: str, part: Slice) -> UpstreamRequest:
        """Return the request that sends a part."""
        total = "*" if part.total is None else str(part.total)
        said = (
            f"bytes {part.start}-{part.start + len(part.content) - 1}/{total}" if part.content else f"bytes */{total}"
        )
        return request_to(self._upload_url(place, upload), "PUT", part.content, content_range=said)

    def sent(self, told: Told, part: Slice) -> str:
        """Check that a part was taken whole."""
        if part.total is not None:
            if told.status == GOES_ON:
                raise UpstreamInvalid("Cloud Storage did not take the end of the file.")
            return ""
        match = _RANGE.fullmatch(told.headers.get("range", ""))
        if told.status != GOES_ON or match is None or int(match[1]) + 1 != part.start + len(part.content):
            raise UpstreamInvalid(f"Cloud Storage did not take part {part.number} of the file.")
        return ""

    def finish(self, _place: Place, _upload: str, _receipts: list[str]) -> UpstreamRequest | None:
        """Return None: the last part makes the object."""
        return None

    def finished(self, _told: Told) -> None:
        """Do nothing: `finish` asks nothing."""

    def abort(self, place: Place, upload: str) -> UpstreamRequest:
        """Return the request that drops what was sent."""
        return request_to(self._upload_url(place, upload), "DELETE")

    def look(self, place: Place) -> UpstreamRequest:
        """Return the request for what is known of an object."""
        return request_to(self._url(place))

    def seen(self, told: Told, place: Place) -> Stored:
        """Return what is known of an object."""
        return self._stored(_answer(told), place)

    def _stored(self, said: Json, place: Place) -> Stored:
        purpose = word(mapping(said.get("metadata")).get("purpose"))
        return Stored(place, whole_number(said.get("size")), seconds(said.get("timeCreated")) or 0, purpose)

    def read(self, place: Place) -> UpstreamRequest:
        """Return the request for an object's content."""
        return request_to(self._url(place, "?alt=media"))

    def delete(self, place: Place) -> UpstreamRequest:
        """Return the request that deletes an object."""
        return request_to(self._url(place), "DELETE")

    def page(self, folder: Place, count: int, token: str | None) -> UpstreamRequest:
        """Return the request for the next objects below a folder."""
        query = {"maxResults": str(min(count, 1000))}
        if folder.key:
            query["prefix"] = folder.key + "/"
        if token:
            query["pageToken"] = token
        return request_to(f"{self._origin}/storage/v1/b/{folder.bucket}/o?{urlencode(query)}")

    def paged(self, told: Told, folder: Place) -> tuple[list[Stored], str | None]:
        """Return (objects, token of what follows)."""
        answer = _answer(told)
        items = answer.get("items")
        found = [
            self._stored(item, Place(folder.bucket, item["name"]))
            for item in (items if isinstance(items, list) else [])
            if isinstance(item, dict) and isinstance(item.get("name"), str)
        ]
        return found, word(answer.get("nextPageToken")) or None

    def fault(self, status: int, content: bytes) -> ProviderFault:
        """Return Google's error; what was no JSON is its text."""
        body = _object(content)
        if body is None and content:
            return ProviderFault(content[:500].decode("utf-8", "replace"), None, None, status)
        return read_google_fault(status, body)
