"""By what identity does an account call a service of AWS: access keys of its own, a role, or the gateway's identity?

`aws_auth_type` says it: `accessKey` (also when nothing is said), `assumedRole` (the role `aws_role_arn`, taken on with
the account's access keys or, when it has none, with the gateway's own identity), `serviceRole` (the gateway's own),
`apiKey`.
Source: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
"""

import re
import time
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from data_plane.core.identity import AwsIdentity, AwsKey, Granted, IdentityAsk
from data_plane.core.types import CallFacts, UpstreamRequest
from data_plane.providers._aws import sign_request
from data_plane.providers._oauth import token_name
from data_plane.providers.base import CredentialField
from shared.errors import BadRequest, Unsupported
from shared.redact import Secret

AUTH_TYPE: Final = "aws_auth_type"
ASSUMED: Final = "assumedRole"
SERVICE: Final = "serviceRole"
#: Ways of authorising that are changed for an access key before a request is signed.
BY_IDENTITY: Final = frozenset({ASSUMED, SERVICE})
_KEY_FIELDS: Final = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
_ROLE_FIELDS: Final = ("aws_role_arn", "aws_external_id")
#: What a saved account says itself.
BOUND: Final = (AUTH_TYPE, *_ROLE_FIELDS, *_KEY_FIELDS)
AWS_FIELDS: Final = (
    CredentialField(AUTH_TYPE, "Sign-in: accessKey, assumedRole, serviceRole or apiKey", required=False),
    CredentialField("aws_access_key_id", "AWS access key ID", required=False),
    CredentialField("aws_secret_access_key", "AWS secret access key", secret=True, required=False),
    CredentialField("aws_session_token", "AWS session token", secret=True, required=False),
    CredentialField("aws_role_arn", "Role to assume (ARN)", required=False),
    CredentialField("aws_external_id", "External ID of the role", required=False),
    CredentialField("aws_region", "AWS region"),
)
_REGION: Final = re.compile(r"[a-z]{2,}(?:-[a-z0-9]+)+")
_ROLE: Final = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\x21-\x7e]{1,512}")
_EXTERNAL_ID: Final = re.compile(r"[\w+=,.@:/-]{2,1224}", re.ASCII)


@cache
def service_hosts(service: str) -> re.Pattern[str]:
    """Return what the hosts of a service are called, in every partition and behind an account's own endpoints."""
    name = re.escape(service)
    return re.compile(
        rf"(?:[a-z0-9-]+\.)?{name}(?:-fips)?\.[a-z0-9-]+\.(?:amazonaws\.com|vpce\.amazonaws\.com|api\.aws)(?:\.cn)?"
    )


def _text(settings: Mapping[str, Any], name: str) -> str:
    value = settings.get(name)
    return value if isinstance(value, str) else ""


def access_key(settings: Mapping[str, Any]) -> AwsKey | None:
    """Return the access key among the settings of an account, None when there is no whole one."""
    key_id, secret, token = (settings.get(name) for name in _KEY_FIELDS)
    if not isinstance(key_id, str) or not key_id or not isinstance(secret, Secret) or not secret:
        return None
    return AwsKey(key_id, secret, token if isinstance(token, Secret) else None)


def identity_name(wanted: AwsIdentity) -> str:
    """Return a name for what an identity is given, without its secrets; the region makes no difference to that."""
    base = wanted.base
    parts = ("", "", "") if base is None else (base.key_id, base.secret, base.token or "")
    return token_name("aws", wanted.role, wanted.external_id, *parts)


def granted_key(key: AwsKey) -> Granted:
    """Return what an account signs with once it was given an access key for a while."""
    return Granted(
        settings={AUTH_TYPE: "accessKey", **dict(zip(_KEY_FIELDS, (key.key_id, key.secret, key.token), strict=True))}
    )


def _role_of(settings: Mapping[str, Any]) -> tuple[str, str]:
    role, external_id = (_text(settings, name).strip() for name in _ROLE_FIELDS)
    if not _ROLE.fullmatch(role):
        raise BadRequest("aws_role_arn must be the ARN of a role: arn:aws:iam::…:role/….", path="aws_role_arn")
    if external_id and not _EXTERNAL_ID.fullmatch(external_id):
        raise BadRequest("aws_external_id is not an external ID that AWS takes.", path="aws_external_id")
    return role, external_id


def aws_region(settings: Mapping[str, Any], provider: str) -> str:
    """Return the region of an account; raises BadRequest when there is none."""
    region = _text(settings, "aws_region")
    if not region:
        raise BadRequest(f"aws_region is required for the provider {provider}.", path="aws_region")
    return region


def aws_identity(settings: Mapping[str, Any], *, provider: str, service: str) -> IdentityAsk | None:
    """Return what an account asks for before it can sign; None for one that has what it needs.

    Raises BadRequest for a role or region that is none.
    """
    way = _text(settings, AUTH_TYPE)
    if way not in BY_IDENTITY:
        return None
    region = aws_region(settings, provider)
    if not _REGION.fullmatch(region):
        raise BadRequest("aws_region is not the name of a region.", path="aws_region")
    assumed = (access_key(settings), *_role_of(settings)) if way == ASSUMED else ()
    wanted = AwsIdentity(region, *assumed)
    return IdentityAsk(
        identity_name(wanted), wanted, AUTH_TYPE, BOUND, is_own=wanted.base is None, hosts=service_hosts(service)
    )


def sign_as_account(request: UpstreamRequest, facts: CallFacts, *, provider: str, service: str) -> bool:
    """Sign with the account's access key; return False when it has none.  Raises BadRequest and Unsupported.

    An identity must have been changed for an access key before.
    """
    if _text(facts.settings, AUTH_TYPE) in BY_IDENTITY:
        raise Unsupported(f"{provider} does not support this {AUTH_TYPE} here.", path=AUTH_TYPE)
    key = access_key(facts.settings)
    if key is None:
        return False
    region = aws_region(facts.settings, provider)
    if request.upload is not None:
        raise Unsupported(f"{provider} cannot sign a body that is sent on while it arrives.")
    sign_request(request, key, region=region, service=service, now_s=time.time())
    return True
