"""How does a Google account prove itself by another cloud's token, and what may it name for that?

The JSON of an external account says where its token is found, who changes it and where the result goes.  It comes from
whoever made the account, so it may only lead to Google's own token services; where the token is found is checked when
it is read (`upstream/identity/google.py`).  Programs that it would have run are never run.
Source: https://google.aip.dev/auth/4117
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from data_plane.core.identity import ExternalAccount
from shared.redact import Secret

SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
_TOKEN_URL: Final = re.compile(
    r"https://(?:(?:[a-z0-9-]+\.)?sts|sts\.mtls|sts\.[a-z0-9-]+\.rep)\.googleapis\.com/v1/token"
)
_IMPERSONATE: Final = re.compile(
    r"https://(?:(?:[a-z0-9-]+\.)?iamcredentials|iamcredentials\.mtls|iamcredentials\.[a-z0-9-]+\.rep)\.googleapis\.com"
    r"/v1/projects/-/serviceAccounts/[A-Za-z0-9@._-]+:generateAccessToken"
)
#: As much as Google lets a token of a service account live, and as little.
_LIFETIME_S: Final = range(600, 43_201)
_MAX_HEADERS: Final = 20


class AccountMalformed(ValueError):
    """The JSON is not that of an external account which can be used here; says why, without repeating it."""


def _text(told: Mapping[str, Any], name: str) -> str:
    value = told.get(name, "")
    if not isinstance(value, str):
        raise AccountMalformed(f"{name} must be a text")
    return value


def _object(told: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = told.get(name)
    if value is not None and not isinstance(value, dict):
        raise AccountMalformed(f"{name} must be an object")
    return value or {}


def _address(told: Mapping[str, Any], name: str, allowed: re.Pattern[str]) -> str:
    url = _text(told, name)
    if not allowed.fullmatch(url):
        raise AccountMalformed(f"{name} must be an address of Google's token service")
    return url


def _member(source: Mapping[str, Any]) -> str:
    """Return where the token stands in a JSON answer, "" when the answer is the token."""
    form = _object(source, "format")
    if _text(form, "type") in {"", "text"}:
        return ""
    member = _text(form, "subject_token_field_name")
    if _text(form, "type") != "json" or not member:
        raise AccountMalformed("credential_source.format must be text, or json with subject_token_field_name")
    return member


def _headers(source: Mapping[str, Any]) -> dict[str, str]:
    headers = _object(source, "headers")
    if len(headers) > _MAX_HEADERS or not all(isinstance(value, str) for value in headers.values()):
        raise AccountMalformed("credential_source.headers must be a few texts")
    return dict(headers)


def _lifetime_s(told: Mapping[str, Any]) -> int:
    seconds = _object(told, "service_account_impersonation").get("token_lifetime_seconds", 3600)
    if type(seconds) is not int or seconds not in _LIFETIME_S:
        raise AccountMalformed("service_account_impersonation.token_lifetime_seconds must be from 600 to 43200")
    return seconds


def read_external(told: Mapping[str, Any]) -> ExternalAccount:
    """Return the external account of a decoded JSON; raises AccountMalformed."""
    source = _object(told, "credential_source")
    file, url = _text(source, "file"), _text(source, "url")
    if "environment_id" in source or "executable" in source or bool(file) == bool(url):
        raise AccountMalformed("credential_source must name a file or a url: no other source is supported")
    audience, token_type = _text(told, "audience"), _text(told, "subject_token_type")
    if not audience or not token_type:
        raise AccountMalformed("audience and subject_token_type are required")
    impersonate = told.get("service_account_impersonation_url") is not None
    secret = _text(told, "client_secret")
    return ExternalAccount(
        audience=audience,
        token_type=token_type,
        token_url=_address(told, "token_url", _TOKEN_URL),
        file=file,
        url=url,
        headers=_headers(source),
        member=_member(source),
        impersonate=_address(told, "service_account_impersonation_url", _IMPERSONATE) if impersonate else "",
        lifetime_s=_lifetime_s(told),
        client_id=_text(told, "client_id"),
        client_secret=Secret(secret) if secret else None,
        project=_text(told, "workforce_pool_user_project"),
    )
