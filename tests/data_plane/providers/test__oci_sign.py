"""Is a signature one that Oracle can check with the public key, over what was really sent?"""

import base64
import hashlib
import re

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from data_plane.core.types import CallFacts, UpstreamRequest
from data_plane.providers._google_auth import CredentialMalformed
from data_plane.providers._oci_sign import sign_as_user
from shared.errors import BadRequest, Unsupported
from shared.redact import Secret

KEY = rsa.generate_private_key(65537, 2048)
URL = "https://inference.example/20231130/actions/chat?x=1"
OWNER = {"oracle_tenancy": "ocid1.tenancy.oc1..t", "oracle_user": "ocid1.user.oc1..u", "oracle_fingerprint": "20:3b:97"}


def pem(key=KEY, passphrase=None):
    protection = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection).decode()


ACCOUNT = {**OWNER, "oracle_private_key": Secret(pem())}


def signed(key=None, *, body=b'{"a":1}', method="POST", headers=None, upload=None, **settings):
    request = UpstreamRequest(
        URL, {"content-type": "application/json", **(headers or {})}, body, False, None, method, upload
    )
    sign_as_user(request, key, CallFacts("m", False, True, {}, settings), provider="oracle", now_s=1_700_000_000)
    return request


def checked(request, public=None):
    """Return the names that were signed, after checking the signature as Oracle does."""
    told = dict(re.findall(r'(\w+)="([^"]*)"', request.headers["authorization"]))
    content = b"".join([request.body] if isinstance(request.body, bytes) else request.body)
    seen = {
        **request.headers, "host": "inference.example", "content-length": str(len(content)),
        "(request-target)": f"{request.method.lower()} /20231130/actions/chat?x=1",
        "x-content-sha256": base64.b64encode(hashlib.sha256(content).digest()).decode(),
    }  # fmt: skip
    text = "\n".join(f"{name}: {seen[name]}" for name in told["headers"].split())
    (public or KEY.public_key()).verify(base64.b64decode(told["signature"]), text.encode(), PKCS1v15(), SHA256())
    assert (told["version"], told["algorithm"]) == ("1", "rsa-sha256")
    assert told["keyId"] == "ocid1.tenancy.oc1..t/ocid1.user.oc1..u/20:3b:97"
    return told["headers"]


@pytest.mark.parametrize("body", [b'{"a":1}', (b'{"a":', memoryview(b"1}")), b""])
def test_a_call_with_a_body_is_signed_with_it(body):
    request = signed(body=body, **ACCOUNT)
    assert checked(request) == "date (request-target) host content-length content-type x-content-sha256"
    assert request.headers["date"] == "Tue, 14 Nov 2023 22:13:20 GMT"


@pytest.mark.parametrize("method", ["GET", "DELETE", "HEAD"])
def test_a_call_without_a_body_is_signed_without(method):
    request = signed(method=method, body=b"", **ACCOUNT)
    assert checked(request) == "date (request-target) host"
    assert "x-content-sha256" not in request.headers


def test_another_key_made_no_such_signature():
    with pytest.raises(InvalidSignature):
        checked(signed(**ACCOUNT), rsa.generate_private_key(65537, 2048).public_key())


def test_what_a_caller_signed_is_taken_out():
    headers = {"Authorization": "Signature x", "X-Date": "y", "x-content-sha256": "z"}
    request = signed(headers=headers, **ACCOUNT)
    assert not {"Authorization", "X-Date"} & set(request.headers)
    assert checked(request)


def test_a_key_may_have_a_passphrase():
    account = {**OWNER, "oracle_private_key": Secret(pem(passphrase="open")), "oracle_key_passphrase": Secret("open")}
    assert checked(signed(**account))
    for wrong in (None, Secret("shut")):
        with pytest.raises(CredentialMalformed):
            signed(**{**account, "oracle_key_passphrase": wrong})


def test_a_key_may_have_lost_its_line_ends_or_stand_in_place_of_an_api_key():
    assert checked(signed(**{**ACCOUNT, "oracle_private_key": Secret(pem().replace("\n", "\\n"))}))
    assert checked(signed(Secret(pem()), **OWNER))


def test_any_other_key_is_an_api_key():
    assert signed(Secret("sk-1")).headers["authorization"] == "Bearer sk-1"


@pytest.mark.parametrize("broken", [
    {"oracle_private_key": Secret("-----BEGIN nonsense")}, {"oracle_tenancy": ""}, {"oracle_user": 'a"b'},
    {"oracle_fingerprint": None}, {"oracle_user": "a b"}, {"oracle_user": "é"},
    {"oracle_private_key": Secret(pem(ec.generate_private_key(ec.SECP256R1())))},
])  # fmt: skip
def test_a_credential_that_is_none_is_said_to_be_and_not_shown(broken):
    with pytest.raises(CredentialMalformed) as refusal:
        signed(**{**ACCOUNT, **broken})
    assert refusal.value.path in broken
    assert "BEGIN" not in refusal.value.message


def test_without_any_credential_nothing_is_sent():
    with pytest.raises(BadRequest) as refusal:
        signed(**OWNER)
    assert refusal.value.path == "oracle_private_key"


def test_a_body_that_is_still_arriving_cannot_be_signed():
    with pytest.raises(Unsupported, match="while it arrives"):
        signed(upload=object(), **ACCOUNT)
