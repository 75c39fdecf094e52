import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.crypto.request_token import AUDIENCE, TokenRefused, claimed_group, sign_request, verify_request

KEY = Ed25519PrivateKey.generate()
PUBLIC = KEY.public_key().public_bytes_raw()
CALL = {"method": "POST", "path": "/dp/v1/status", "body": b"{}"}


def token(**changes):
    return sign_request(KEY, **{"group": "g", "instance": "i", **CALL, **changes})


def test_a_token_speaks_for_its_instance_and_names_its_group():
    assert verify_request(token(), PUBLIC, **CALL) == "i"
    assert claimed_group(token()) == "g"


@pytest.mark.parametrize("change", [{"method": "GET"}, {"path": "/dp/v1/other"}, {"body": b"[]"}])
def test_a_token_holds_for_its_own_request_only(change):
    with pytest.raises(TokenRefused):
        verify_request(token(), PUBLIC, **(CALL | change))


def test_a_token_of_another_key_is_refused():
    other = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    with pytest.raises(TokenRefused):
        verify_request(token(), other, **CALL)


@pytest.mark.parametrize("offset_s", [-3600, 3600])
def test_a_clock_that_is_off_is_told_apart_from_forgery(offset_s):
    with pytest.raises(TokenRefused) as raised:
        verify_request(token(offset_s=offset_s), PUBLIC, **CALL)
    assert raised.value.skewed


def test_a_token_cannot_choose_its_own_algorithm():
    claims = jwt.decode(token(), options={"verify_signature": False})
    unsigned = jwt.encode(claims, "", algorithm="none")
    symmetric = jwt.encode(claims, PUBLIC, algorithm="HS256")
    for forged in (unsigned, symmetric):
        with pytest.raises(TokenRefused):
            verify_request(forged, PUBLIC, **CALL)


def test_a_token_that_lives_for_days_is_refused():
    claims = jwt.decode(token(), options={"verify_signature": False}, audience=AUDIENCE)
    claims["exp"] = claims["iat"] + 86_400
    with pytest.raises(TokenRefused):
        verify_request(jwt.encode(claims, KEY, algorithm="EdDSA"), PUBLIC, **CALL)


@pytest.mark.parametrize("text", ["", "x", "a.b.c"])
def test_what_is_no_token_is_refused(text):
    with pytest.raises(TokenRefused):
        claimed_group(text)
