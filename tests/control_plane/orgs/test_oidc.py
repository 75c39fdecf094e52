"""No word of a provider counts that is not signed by it, for us, now, and for this errand."""

import base64
import time

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from control_plane.orgs.models import IdentityProvider
from control_plane.orgs.oidc import Errand, NotVouched, authorization_url, discover, new_errand, redeem
from shared.redact import Secret
from tests.control_plane.orgs.provider_kit import lying_provider

ERRAND = Errand("state", "nonce", "verifier")


@pytest.fixture
def lying(settings):
    settings.TRUSTED_CUSTOM_HOSTS = frozenset({"127.0.0.1"})
    with lying_provider() as provider:
        yield provider


def client_of(lying, method="client_secret_basic", secret="s&cret:1"):
    provider = IdentityProvider(issuer=lying.issuer, client_id="client", token_endpoint_auth_method=method)
    provider.seal(Secret(secret))
    return provider


def redeemed(lying, **client):
    return redeem(client_of(lying, **client), discover(lying.issuer), "code", ERRAND)


def test_a_proper_token_is_believed(lying):
    lying.says(given_name="Ada", family_name="L")
    claims = redeemed(lying)
    assert (claims.subject, claims.email, claims.email_verified) == ("ada", "ada@corp.example", True)
    assert (claims.first_name, claims.last_name) == ("Ada", "L")


@pytest.mark.parametrize(
    "changed",
    [{"iss": "https://other.example"}, {"aud": "another"}, {"aud": ["client", "another"]}, {"exp": int(time.time()) - 3600},
     {"iat": int(time.time()) + 3600}, {"nonce": "another"}, {"nonce": None}, {"sub": None}, {"exp": None}, {"azp": "another"}],
)  # fmt: skip
def test_a_token_for_others_of_others_or_of_another_time_is_not(lying, changed):
    lying.says(**changed)
    with pytest.raises(NotVouched):
        redeemed(lying)


def test_a_token_signed_by_another_key_is_not(lying):
    lying.says(key=rsa.generate_private_key(public_exponent=65537, key_size=2048))
    with pytest.raises(NotVouched, match="InvalidSignature"):
        redeemed(lying)


def test_a_key_that_is_not_listed_is_not_used(lying):
    lying.says(headers={"kid": "two"})
    with pytest.raises(NotVouched, match="does not list"):
        redeemed(lying)


def test_a_key_for_encryption_is_not_used(lying):
    lying.documents["/k"] = {"keys": [{**lying.jwk(), "use": "enc"}]}
    lying.says()
    with pytest.raises(NotVouched, match="does not list"):
        redeemed(lying)


def test_a_token_without_signature_or_signed_by_a_shared_secret_is_not(lying):
    claims = {
        "iss": lying.issuer,
        "aud": "client",
        "sub": "ada",
        "nonce": "nonce",
        "exp": time.time() + 60,
        "iat": time.time(),
    }
    for token in (
        jwt.encode(claims, "", algorithm="none"),
        jwt.encode(claims, "s" * 64, algorithm="HS256", headers={"kid": "one"}),
    ):
        lying.documents["/t"] = {"id_token": token}
        with pytest.raises(NotVouched, match="algorithm"):
            redeemed(lying)


@pytest.mark.parametrize("answer", [{}, {"id_token": "x"}, {"id_token": None}, b"[]", b"<html>", b"\xff", None])
def test_an_answer_without_a_token_is_none(lying, answer):
    lying.documents["/t"] = answer
    with pytest.raises(NotVouched):
        redeemed(lying)


def test_a_clock_may_be_a_little_off(lying):
    lying.says(exp=int(time.time()) - 20, iat=int(time.time()) + 20)
    assert redeemed(lying).subject == "ada"


@pytest.mark.parametrize(
    ("said", "meant"), [(True, True), ("true", True), (False, False), ("false", False), (1, False), (None, None)]
)
def test_verified_is_what_the_provider_clearly_says(lying, said, meant):
    lying.says(email_verified=said)
    assert redeemed(lying).email_verified is meant


def test_an_address_that_the_token_lacks_is_asked_for(lying):
    lying.says(email=None, email_verified=None)
    lying.documents["/u"] = {"sub": "ada", "email": "ada@corp.example", "email_verified": True}
    assert (redeemed(lying).email, redeemed(lying).email_verified) == ("ada@corp.example", True)
    lying.documents["/u"] = {"sub": "eve", "email": "ada@corp.example"}
    with pytest.raises(NotVouched, match="another person"):
        redeemed(lying)


def test_the_secret_is_sent_as_the_method_says(lying):
    lying.says()
    redeemed(lying)
    form, headers = lying.forms[-1]
    assert base64.b64decode(headers["authorization"].removeprefix("Basic ")) == b"client:s%26cret%3A1"
    assert (form["code_verifier"], "client_secret" in form) == ("verifier", False)
    redeemed(lying, method="client_secret_post")
    form, headers = lying.forms[-1]
    assert (form["client_id"], form["client_secret"], "authorization" in headers) == ("client", "s&cret:1", False)


def test_an_assertion_is_signed_for_the_token_endpoint(lying):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    lying.says()
    redeemed(lying, method="private_key_jwt", secret=pem)
    form, _ = lying.forms[-1]
    claims = jwt.decode(form["client_assertion"], key.public_key(), algorithms=["RS256"], audience=f"{lying.issuer}/t")
    assert (claims["iss"], claims["sub"], claims["exp"] - claims["iat"]) == ("client", "client", 60)
    assert form["client_assertion_type"].endswith("jwt-bearer")
    with pytest.raises(NotVouched, match="private key"):
        redeemed(lying, method="private_key_jwt", secret="no key")


def test_discovery_is_of_the_issuer_itself(lying):
    document = lying.documents["/.well-known/openid-configuration"]
    for changed in (
        {"issuer": "https://other.example"},
        {"token_endpoint": "http://169.254.169.254/t"},
        {"jwks_uri": ""},
        {"token_endpoint": "http://corp.example/t"},
    ):
        lying.documents["/.well-known/openid-configuration"] = {**document, **changed}
        with pytest.raises(NotVouched, match="discovery"):
            discover(lying.issuer)


def test_every_errand_has_secrets_of_its_own(lying):
    first, second = new_errand(), new_errand()
    parts = {first.state, first.nonce, first.verifier, second.state, second.nonce, second.verifier}
    assert len(parts) == 6
    assert min(map(len, parts)) >= 43
    url = authorization_url(client_of(lying), discover(lying.issuer), first, "")
    assert first.verifier not in url
    assert "login_hint" not in url
