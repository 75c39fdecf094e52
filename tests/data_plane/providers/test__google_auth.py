from urllib.parse import parse_qs

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from data_plane.core.types import CallFacts
from data_plane.providers import _google_auth
from data_plane.providers._google_auth import CredentialMalformed, api_key, google_token
from shared.redact import Secret

KEY = rsa.generate_private_key(65537, 2048)
NOW = 1_750_000_000


def pem(key):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def account(**changes):
    told = {
        "type": "service_account", "client_email": "gw@p.iam.example", "private_key": pem(KEY), "private_key_id": "k1",
        "token_uri": "https://evil.example/token", **changes,
    }  # fmt: skip
    return orjson.dumps({name: value for name, value in told.items() if value is not None}).decode()


def facts(**settings):
    return CallFacts("m", stream=False, strict=True, headers={}, settings=settings)


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """A clock that tests set; nothing signed by another test is there."""
    _google_auth._ask.cache_clear()
    now = [NOW]
    monkeypatch.setattr("data_plane.providers._google_auth.time.time", lambda: now[0])
    return now


def statement(ask):
    form = {name: values[0] for name, values in parse_qs(ask.form.decode()).items()}
    assert form.pop("grant_type") == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    token = form.pop("assertion")
    assert form == {}
    options = {"verify_exp": False, "verify_iat": False}
    return jwt.get_unverified_header(token), jwt.decode(
        token, KEY.public_key(), ["RS256"], audience="https://oauth2.googleapis.com/token", options=options
    )


def test_an_api_key_is_a_header():
    headers = {}
    api_key(Secret("AIza"), headers)
    assert headers == {"x-goog-api-key": "AIza"}


@pytest.mark.parametrize("where", ["key", "setting", "both"])
def test_a_service_account_signs_who_it_is(where):
    held = Secret(account())
    key = {"key": held, "setting": None, "both": Secret("ya29.ready")}[where]
    settings = {} if where == "key" else {"vertex_service_account_json": held}
    header, claims = statement(google_token(key, facts(**settings)))
    assert (header["alg"], header["kid"]) == ("RS256", "k1")
    assert (claims["iss"], claims["scope"]) == ("gw@p.iam.example", "https://www.googleapis.com/auth/cloud-platform")
    assert claims["exp"] - claims["iat"] == 3600


@pytest.mark.parametrize("ago_s", [0, 1, 1799])
def test_a_statement_holds_for_half_an_hour_at_least_and_is_not_of_the_future(clock, ago_s):
    clock[0] += ago_s
    _, claims = statement(google_token(Secret(account()), facts()))
    assert claims["iat"] <= clock[0] <= claims["exp"] - 1800


def test_the_account_cannot_say_where_it_is_sent():
    assert google_token(Secret(account()), facts()).url == "https://oauth2.googleapis.com/token"


def test_one_statement_serves_many_requests_until_its_time_is_up(clock):
    held = Secret(account())
    first = google_token(held, facts())
    assert google_token(held, facts()) is first
    clock[0] += 1800
    later = google_token(held, facts())
    assert later.form != first.form
    assert later.key == first.key


def test_accounts_have_tokens_of_their_own_under_names_that_tell_no_secret():
    one, other = (google_token(Secret(account(client_email=name)), facts()) for name in ("a@x", "b@x"))
    assert one.key != other.key
    assert "PRIVATE" not in repr(one) + one.key


def test_an_account_without_a_key_id_signs_without_one():
    header, _ = statement(google_token(Secret(account(private_key_id=None)), facts()))
    assert "kid" not in header


@pytest.mark.parametrize("key", [None, Secret(""), Secret("ya29.ready-token")])
def test_a_ready_token_is_not_changed(key):
    assert google_token(key, facts()) is None


@pytest.mark.parametrize(
    "text",
    ["{", "{}", "[]", "7", "ya29.token", account(private_key="no"), account(private_key=7), account(client_email=None),
     account(private_key=pem(ec.generate_private_key(ec.SECP256R1())))],
)  # fmt: skip
def test_what_is_no_service_account_is_refused_without_repeating_it(text):
    with pytest.raises(CredentialMalformed) as raised:
        google_token(None, facts(vertex_service_account_json=Secret(text)))
    assert raised.value.message == "The credential is not the JSON key of a service account."
    assert raised.value.final is False
