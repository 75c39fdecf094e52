"""Amazon S3 as a store of files: requests in path style, uploads in parts.

The bucket stands in the path and never in the host, so no name of a bucket can lead to another host.
Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
"""

import datetime as dt
import re
from email.utils import parsedate_to_datetime
from html import escape, unescape
from typing import Final
from urllib.parse import quote, unquote, urlencode

from data_plane.core.types import CallFacts, UpstreamRequest
from data_plane.providers._bulk import Place, Slice, Stored, Told, check_key, request_to
from data_plane.providers.base import ProviderFault
from shared.errors import BadRequest, UpstreamInvalid

BUCKET: Final = "aws_s3_bucket"
_BUCKET: Final = re.compile(r"(?!xn--|sthree-|.*\.\.|[0-9.]+$)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ENCRYPTIONS: Final = frozenset({"AES256", "aws:kms", "aws:kms:dsse"})
_KMS_KEY: Final = re.compile(r"[A-Za-z0-9:/_-]{1,2048}")
_PURPOSE: Final = "x-amz-meta-purpose"
_MAX_XML: Final = 8 * 1024 * 1024


def _element(text: str, name: str) -> str:
    match = re.search(rf"<{name}>([^<]*)</{name}>", text)
    return unescape(match[1]) if match else ""


def _xml(content: bytes) -> str:
    return content[:_MAX_XML].decode("utf-8", "replace")


def _http_time(text: str) -> int:
    try:
        return int(parsedate_to_datetime(text).timestamp())
    except (ValueError, TypeError, OverflowError):
        return 0


def _iso_time(text: str) -> int:
    try:
        return int(dt.datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError):
        return 0


class S3:
    """The objects that an account reaches at `origin`; how they are encrypted stands in the call's settings."""

    scheme = "s3"
    settings = (BUCKET, "aws_s3_object_key")

    def __init__(self, origin: str, facts: CallFacts) -> None:
        self._origin = origin.rstrip("/")
        self._facts = facts

    def place(self, bucket: str, key: str) -> Place:
        """Return a place with names that S3 and Bedrock take; raises BadRequest."""
        if not _BUCKET.fullmatch(bucket):
            raise BadRequest("aws_s3_bucket is not the name of a bucket.", path=BUCKET)
        return Place(bucket, check_key(key, "aws_s3_object_key") if key else "")

    def _url(self, place: Place, query: str = "") -> str:
        path = f"{self._origin}/{place.bucket}" + (f"/{quote(place.key, safe='/-._~')}" if place.key else "")
        return f"{path}?{query}" if query else path

    def _encryption(self) -> dict[str, str]:
        kind = self._facts.settings.get("amz_server_side_encryption")
        key = self._facts.settings.get("amz_server_side_encryption_aws_kms_key_id")
        headers = {}
        if kind:
            if kind not in _ENCRYPTIONS:
                raise BadRequest(
                    f"amz_server_side_encryption must be one of: {', '.join(sorted(_ENCRYPTIONS))}",
                    path="amz_server_side_encryption",
                )
            headers["x-amz-server-side-encryption"] = str(kind)
        if key:
            if not isinstance(key, str) or not _KMS_KEY.fullmatch(key):
                raise BadRequest("The key id for encryption is none.", path="amz_server_side_encryption_aws_kms_key_id")
            headers["x-amz-server-side-encryption-aws-kms-key-id"] = key
        return headers

    def begin(self, place: Place, purpose: str) -> UpstreamRequest:
        """Return the request that begins an upload in parts; raises BadRequest."""
        request = request_to(self._url(place, "uploads="), "POST", content_type="application/jsonl")
        request.headers.update(self._encryption())
        request.headers[_PURPOSE] = purpose
        return request

    def begun(self, told: Told) -> str:
        """Return the upload's id."""
        upload = _element(_xml(told.body), "UploadId")
        if not upload:
            raise UpstreamInvalid("S3 did not begin the upload.")
        return upload

    def send(self, place: Place, upload: str, part: Slice) -> UpstreamRequest:
        """Return the request that sends a part."""
        query = urlencode({"partNumber": part.number, "uploadId": upload})
        return request_to(self._url(place, query), "PUT", part.content)

    def sent(self, told: Told, part: Slice) -> str:
        """Return the part's tag."""
        tag = told.headers.get("etag", "")
        if not tag:
            raise UpstreamInvalid(f"S3 did not take part {part.number}.")
        return tag

    def finish(self, place: Place, upload: str, receipts: list[str]) -> UpstreamRequest | None:
        """Return the request that makes an object of the parts."""
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(tag)}</ETag></Part>"
            for number, tag in enumerate(receipts, 1)
        )
        body = (
            '<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"{parts}</CompleteMultipartUpload>"
        )
        query = urlencode({"uploadId": upload})
        return request_to(self._url(place, query), "POST", body.encode(), content_type="application/xml")

    def finished(self, told: Told) -> None:
        """Raise UpstreamInvalid for a failure, which may come with the status 200: S3 answers before it is done."""
        text = _xml(told.body)
        if "<CompleteMultipartUploadResult" not in text:
            raise UpstreamInvalid(f"S3 did not put the parts together: {_element(text, 'Message') or 'no answer'}")

    def abort(self, place: Place, upload: str) -> UpstreamRequest:
        """Return the request that drops the parts."""
        return request_to(self._url(place, urlencode({"uploadId": upload})), "DELETE")

    def look(self, place: Place) -> UpstreamRequest:
        """Return the request for an object's headers."""
        return request_to(self._url(place), "HEAD")

    def seen(self, told: Told, place: Place) -> Stored:
        """Return what the headers say."""
        length = told.headers.get("content-length", "")
        size = int(length) if length.isascii() and length.isdigit() else 0
        return Stored(place, size, _http_time(told.headers.get("last-modified", "")), told.headers.get(_PURPOSE, ""))

    def read(self, place: Place) -> UpstreamRequest:
        """Return the request for an object."""
        return request_to(self._url(place))

    def delete(self, place: Place) -> UpstreamRequest:
        """Return the request that deletes an object."""
        return request_to(self._url(place), "DELETE")

    def page(self, folder: Place, count: int, token: str | None) -> UpstreamRequest:
        """Return the request for the next objects below a folder."""
        query = {"encoding-type": "url", "list-type": "2", "max-keys": str(min(count, 1000))}
        if folder.key:
            query["prefix"] = folder.key + "/"
        if token:
            query["continuation-token"] = token
        return request_to(self._url(Place(folder.bucket, ""), urlencode(query, quote_via=quote)))

    def paged(self, told: Told, folder: Place) -> tuple[list[Stored], str | None]:
        """Return (objects, token of what follows)."""
        text = _xml(told.body)
        if "<ListBucketResult" not in text:
            raise UpstreamInvalid("S3 did not list the bucket.")
        found = []
        for entry in re.findall(r"<Contents>(.*?)</Contents>", text, re.DOTALL):
            size = _element(entry, "Size")
            found.append(
                Stored(
                    Place(folder.bucket, unquote(_element(entry, "Key").replace("+", " "))),
                    int(size) if size.isascii() and size.isdigit() else 0,
                    _iso_time(_element(entry, "LastModified")),
                )
            )
        return found, _element(text, "NextContinuationToken") or None

    def fault(self, status: int, content: bytes) -> ProviderFault:
        """Return S3's error; an answer to HEAD has none but its status."""
        text = _xml(content)
        code = _element(text, "Code") or {404: "NoSuchKey", 403: "AccessDenied"}.get(status, "")
        message = _element(text, "Message") or (
            f"S3 answered {code}." if code else f"S3 answered with status {status}."
        )
        return ProviderFault(message, code or None, None, code or None)
