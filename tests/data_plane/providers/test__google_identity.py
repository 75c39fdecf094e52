import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_plane.core.identity import ExternalAccount
from data_plane.providers._google_identity import AccountMalformed, read_external
from tests.fakes.clouds import GOOGLE_AUDIENCE, external_account

IMPERSONATE = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/sa@p.iam.example:generateAccessToken"


def read(**changes):
    return read_external(json.loads(external_account(**changes)))


def test_an_account_says_where_its_proof_is_and_what_becomes_of_it():
    form = {"type": "json", "subject_token_field_name": "id_token"}
    account = read(
        credential_source={"url": "https://h/x", "headers": {"a": "b"}, "format": form}, service_account_impersonation_url=IMPERSONATE,
        service_account_impersonation={"token_lifetime_seconds": 600}, client_id="c", client_secret="sentinel", workforce_pool_user_project="p",
    )  # fmt: skip
    assert (account.audience, account.url, account.file, account.member) == (
        GOOGLE_AUDIENCE,
        "https://h/x",
        "",
        "id_token",
    )
    assert (account.headers, account.impersonate, account.lifetime_s) == ({"a": "b"}, IMPERSONATE, 600)
    assert (account.client_id, account.client_secret.reveal(), account.project) == ("c", "sentinel", "p")
    assert "sentinel" not in repr(account)


def test_a_file_of_plain_text_is_the_usual_proof():
    account = read(credential_source={"file": "/t", "format": {"type": "text"}})
    assert (account.file, account.url, account.member, account.impersonate, account.lifetime_s) == (
        "/t",
        "",
        "",
        "",
        3600,
    )


@pytest.mark.parametrize("url", [
    "https://sts.googleapis.com/v1/token", "https://sts.mtls.googleapis.com/v1/token", "https://europe-west1.sts.googleapis.com/v1/token",
    "https://sts.europe-west1.rep.googleapis.com/v1/token",
])  # fmt: skip
def test_tokens_are_exchanged_at_googles_own_service(url):
    assert read(token_url=url).token_url == url


@pytest.mark.parametrize("url", [
    None, "", 7, "http://sts.googleapis.com/v1/token", "https://evil.example/v1/token", "https://sts.googleapis.com.evil.example/v1/token",
    "https://sts.googleapis.com@evil.example/v1/token", "https://sts.googleapis.com:8443/v1/token", "https://storage.googleapis.com/v1/token",
    "https://sts.googleapis.com/v1/token?x=1", "https://sts.googleapis.com/v1/../token", "https://sts.googleapis.com/v1/token\n", "https://a.b.sts.googleapis.com/v1/token",
    "https://sts.storage.googleapis.com/v1/token", "https://evil.example/?.sts.googleapis.com/v1/token", "https://169.254.169.254/v1/token",
])  # fmt: skip
def test_tokens_are_exchanged_nowhere_else(url):
    with pytest.raises(AccountMalformed, match="token_url"):
        read(token_url=url)


@pytest.mark.parametrize("url", [
    "", 7, "http://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/a@b:generateAccessToken",
    "https://evil.example/v1/projects/-/serviceAccounts/a@b:generateAccessToken", "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/a@b:signBlob",
    "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/../x:generateAccessToken", IMPERSONATE + "?x",
])  # fmt: skip
def test_service_accounts_are_become_nowhere_else(url):
    with pytest.raises(AccountMalformed, match="service_account_impersonation_url"):
        read(service_account_impersonation_url=url)


@pytest.mark.parametrize("source", [
    None, [], {}, {"file": "/t", "url": "https://h"}, {"file": 7}, {"executable": {"command": "/bin/sh"}}, {"executable": {"command": "x"}, "file": "/t"},
    {"environment_id": "aws1", "url": "http://169.254.169.254"}, {"certificate": {}}, {"url": "https://h", "headers": []}, {"url": "https://h", "headers": {"a": 7}},
    {"url": "https://h", "headers": {str(number): "x" for number in range(21)}}, {"file": "/t", "format": {"type": "xml"}}, {"file": "/t", "format": {"type": "json"}},
    {"file": "/t", "format": "json"},
])  # fmt: skip
def test_a_source_that_is_a_program_another_cloud_or_none_is_refused(source):
    with pytest.raises(AccountMalformed, match=r"credential_source|format|subject_token|headers|file"):
        read(credential_source=source)


@pytest.mark.parametrize(("name", "value"), [
    ("audience", None), ("audience", ""), ("audience", 7), ("subject_token_type", None), ("client_secret", 7), ("client_id", []),
    ("service_account_impersonation", {"token_lifetime_seconds": 0}), ("service_account_impersonation", {"token_lifetime_seconds": 43_201}),
    ("service_account_impersonation", {"token_lifetime_seconds": True}), ("service_account_impersonation", {"token_lifetime_seconds": "600"}), ("service_account_impersonation", 7),
])  # fmt: skip
def test_what_is_not_whole_is_named_and_not_repeated(name, value):
    with pytest.raises(AccountMalformed, match=name):
        read(**{name: value})


MEMBERS = st.sampled_from([
    "audience", "subject_token_type", "token_url", "credential_source", "file", "url", "format", "type", "headers", "service_account_impersonation_url",
    "service_account_impersonation", "token_lifetime_seconds", "subject_token_field_name",
])  # fmt: skip
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.just("https://sts.googleapis.com/v1/token"),
    lambda inner: st.dictionaries(MEMBERS, inner) | st.lists(inner, max_size=3),
)


@given(st.dictionaries(MEMBERS, JSON))
def test_whatever_is_told_is_an_account_or_malformed(told):
    with contextlib.suppress(AccountMalformed):
        assert isinstance(read_external(told), ExternalAccount)
