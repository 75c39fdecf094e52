"""S3's requests, each against botocore's own serialisation and signature, and its answers."""

import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_plane.core.identity import AwsKey
from data_plane.core.types import CallFacts
from data_plane.providers._aws import sign_request
from data_plane.providers._bulk import Place, Slice, Told
from data_plane.providers._s3 import S3
from shared.errors import BadRequest, GatewayError
from shared.redact import Secret
from tests.fakes.aws_bulk import s3_fault
from tests.fakes.provider import Seen

ORIGIN = "https://s3.eu-west-1.amazonaws.com"
KEYS = {"AKIA": ("AKIA", "secret", "token")}
PLACE = Place("in-bucket", "a b/c+d=e:f(1)'!*@,.jsonl".replace(" ", "_"))


def store(**settings):
    return S3(ORIGIN, CallFacts("", False, True, {}, settings))


def of_botocore(operation, **parameters):
    """The method and address that AWS's SDK calls for an operation, by path."""
    config = botocore.config.Config(s3={"addressing_style": "path"}, region_name="eu-west-1")
    session = botocore.session.Session()
    client = session.create_client("s3", config=config, aws_access_key_id="AKIA", aws_secret_access_key="secret")
    called = []

    def stop(request, **_):
        called.append((request.method, request.url))
        raise InterruptedError

    client.meta.events.register("before-send.s3", stop)
    with pytest.raises(InterruptedError):
        getattr(client, operation)(**parameters)
    client.close()
    return called[0]


def requests():
    sending = store()
    return {
        "create_multipart_upload": (sending.begin(PLACE, "batch"), {}),
        "upload_part": (sending.send(PLACE, "u/+=", Slice(2, 5, b"abc")), {"UploadId": "u/+=", "PartNumber": 2, "Body": b"abc"}),
        "complete_multipart_upload": (sending.finish(PLACE, "u", ['"t"']), {"UploadId": "u", "MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": '"t"'}]}}),
        "abort_multipart_upload": (sending.abort(PLACE, "u"), {"UploadId": "u"}),
        "head_object": (sending.look(PLACE), {}),
        "get_object": (sending.read(PLACE), {}),
        "delete_object": (sending.delete(PLACE), {}),
    }  # fmt: skip


@pytest.mark.parametrize("operation", list(requests()))
def test_a_request_is_the_one_that_awss_own_sdk_makes(operation):
    request, parameters = requests()[operation]
    method, url = of_botocore(operation, Bucket=PLACE.bucket, Key=PLACE.key, **parameters)
    plain = {part.removesuffix("=") for part in url.partition("?")[2].split("&") if not part.startswith("x-id=")} - {""}
    assert (request.method, request.url.partition("?")[0]) == (method, url.partition("?")[0])
    assert {part.removesuffix("=") for part in request.url.partition("?")[2].split("&")} - {""} == plain


@pytest.mark.parametrize("operation", list(requests()))
def test_a_signature_is_the_one_that_aws_computes(operation):
    request, _ = requests()[operation]
    sign_request(
        request,
        AwsKey("AKIA", Secret("secret"), Secret("token")),
        region="eu-west-1",
        service="s3",
        now_s=1_800_000_000.0,
    )
    host, target = request.url.removeprefix("https://").split("/", 1)
    seen = Seen(request.method, "", {**request.headers, "host": host}, request.body, "/" + target)
    assert s3_fault(seen, KEYS) is None


def test_an_object_is_listed_with_whatever_name_it_has():
    text = (
        "<?xml version='1.0'?><ListBucketResult><Contents><Key>a%20b/%26amp%3B%3Cx%3E.jsonl</Key>"
        "<LastModified>2026-01-02T03:04:05.000Z</LastModified><Size>7</Size></Contents>"
        "<Contents><Key>y</Key><Size>x</Size></Contents><NextContinuationToken>a&amp;b</NextContinuationToken></ListBucketResult>"
    )
    found, token = store().paged(Told(200, {}, text.encode()), Place("in-bucket", ""))
    assert [(stored.place.key, stored.size, stored.created) for stored in found] == [
        ("a b/&amp;<x>.jsonl", 7, 1767323045),
        ("y", 0, 0),
    ]
    assert token == "a&b"
    assert "continuation-token=a%26b" in store().page(Place("in-bucket", "x/y"), 5, token).url
    assert "prefix=x%2Fy%2F" in store().page(Place("in-bucket", "x/y"), 5, token).url


@given(
    st.binary(max_size=200),
    st.dictionaries(st.sampled_from(["etag", "content-length", "last-modified"]), st.text(max_size=20)),
)
def test_whatever_s3_answers_is_read_or_refused(content, headers):
    told, place = Told(200, headers, content), Place("in-bucket", "x")
    for read in (
        lambda: store().begun(told), lambda: store().sent(told, Slice(1, 0, b"")), lambda: store().finished(told),
        lambda: store().seen(told, place), lambda: store().paged(told, place), lambda: store().fault(500, content),
    ):  # fmt: skip
        try:
            read()
        except GatewayError:
            continue


@pytest.mark.parametrize(("status", "content", "message", "code"), [
    (404, b"", "S3 answered NoSuchKey.", "NoSuchKey"), (500, b"", "S3 answered with status 500.", None),
    (403, b"<Error><Code>AccessDenied</Code><Message>a &lt; b</Message></Error>", "a < b", "AccessDenied"),
])  # fmt: skip
def test_an_error_is_told_in_s3s_words(status, content, message, code):
    fault = store().fault(status, content)
    assert (fault.message, fault.code) == (message, code)


@pytest.mark.parametrize(
    "bucket", ["", "a", "A-b", "a_b", "-ab", "ab-", "a..b", "10.0.0.1", "xn--abc", "a/b", "a" * 64, "a:b", "a@b"]
)
def test_a_bucket_with_a_name_that_s3_does_not_have_is_refused(bucket):
    with pytest.raises(BadRequest):
        store().place(bucket, "x")


@pytest.mark.parametrize(
    "settings", [{"amz_server_side_encryption": "x"}, {"amz_server_side_encryption_aws_kms_key_id": "a\nb"}]
)
def test_an_encryption_that_is_none_is_refused(settings):
    with pytest.raises(BadRequest):
        store(**settings).begin(PLACE, "batch")
