import contextlib
from urllib.parse import parse_qs

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_plane.core.identity import GoogleIdentity, IdentityAsk
from data_plane.core.types import CallFacts
from data_plane.providers import _google_auth
from data_plane.providers._google_auth import CredentialMalformed, api_key, google_token
from shared.redact import Secret
from tests.fakes.clouds import external_account

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


# other accounts

USER = {"type": "authorized_user", "client_id": "id", "client_secret": "sentinel", "refresh_token": "sentinel-2"}


def test_a_user_who_agreed_is_refreshed():
    ask = google_token(Secret(orjson.dumps(USER).decode()), facts())
    form = {name: values[0] for name, values in parse_qs(ask.form.decode()).items()}
    assert form == {
        "grant_type": "refresh_token",
        "client_id": "id",
        "client_secret": "sentinel",
        "refresh_token": "sentinel-2",
    }
    assert (ask.url, "sentinel" in repr(ask)) == ("https://oauth2.googleapis.com/token", False)


@pytest.mark.parametrize("missing", ["client_id", "client_secret", "refresh_token"])
@pytest.mark.parametrize("value", [None, "", 7])
def test_a_user_who_is_not_whole_is_refused(missing, value):
    with pytest.raises(CredentialMalformed):
        google_token(None, facts(vertex_service_account_json=Secret(orjson.dumps({**USER, missing: value}).decode())))


def test_an_external_account_is_an_identity_that_its_operator_is_asked_about():
    ask = google_token(None, facts(vertex_service_account_json=Secret(external_account())))
    assert isinstance(ask, IdentityAsk)
    assert (ask.is_own, ask.path, ask.wanted.account.file) == (True, "vertex_service_account_json", "/nowhere")
    other = google_token(Secret(external_account(audience="b")), facts())
    assert ask.key != other.key


def test_an_external_account_that_leads_away_is_refused_with_the_reason():
    with pytest.raises(CredentialMalformed, match="token_url must be an address of Google's token service") as raised:
        google_token(Secret(external_account(token_url="https://evil.example/")), facts())
    assert "evil" not in str(raised.value.body())


@pytest.mark.parametrize("key", [None, Secret("dummy"), Secret(account())])
def test_the_gateways_own_account_is_used_when_the_account_says_so(key):
    ask = google_token(key, facts(vertex_auth_type="workload"))
    assert (ask.wanted, ask.is_own, ask.path) == (GoogleIdentity(), True, "vertex_auth_type")


def test_an_account_of_its_own_wins_over_the_gateways():
    told = facts(vertex_auth_type="workload", vertex_service_account_json=Secret(account()))
    assert google_token(None, told).url == "https://oauth2.googleapis.com/token"


@pytest.mark.parametrize(("host", "is_googles"), [
    ("us-central1-aiplatform.googleapis.com", True), ("aiplatform.googleapis.com", True), ("aiplatform.us.rep.googleapis.com", True),
    ("storage.googleapis.com", False), ("evil.example", False), ("x.aiplatform.googleapis.com", False), ("aiplatform.googleapis.com.evil.example", False),
])  # fmt: skip
def test_the_gateways_own_account_is_shown_to_vertex_only(host, is_googles):
    assert bool(google_token(None, facts(vertex_auth_type="workload")).hosts.fullmatch(host)) is is_googles


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from([*USER, "client_email", "private_key", "credential_source", "audience", "token_url"]),
                       st.none() | st.booleans() | st.text() | st.sampled_from(["authorized_user", "external_account"])))  # fmt: skip
def test_whatever_an_account_holds_is_asked_or_refused(told):
    with contextlib.suppress(CredentialMalformed):
        assert google_token(Secret(orjson.dumps(told).decode()), facts()) is not None
