"""Where does this attempt go?  Target + job → provider, credential, address and body.

A provider is named, in this order, by the model that the target forces (`@slug/model`), by the target itself, by the
request's headers, and by the model in the body.  A credential of the organisation is only ever sent to the hosts that
were sealed with it.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from data_plane.core.job import Job, Principal
from data_plane.core.types import CallFacts, Credential, Json
from data_plane.providers.base import Operation, Provider
from data_plane.sync.snapshot import Snapshot
from shared.errors import BadRequest, Forbidden, Unsupported
from shared.hosts import check_custom_host, host_of
from shared.routing.plan import Target
from shared.schema.rows import VirtualKeyRow

NO_CREDENTIAL: Final = Credential(None)


class UnknownProvider(BadRequest):
    """A saved provider that this snapshot does not have: perhaps it is newer than the snapshot."""

    code = "invalid_provider"


@dataclass(frozen=True, slots=True)
class Destination:
    """One resolved target: all that is needed to encode and send the call."""

    provider: Provider
    operation: Operation
    credential: Credential
    base_url: str
    body: Json
    facts: CallFacts
    virtual_key: VirtualKeyRow | None


def split_model(model: str) -> tuple[str | None, str]:
    """Return the slug and the rest of `@slug/model`; (None, model) when it has no slug."""
    if not model.startswith("@"):
        return None, model
    slug, _, rest = model[1:].partition("/")
    return slug, rest


def _drop(body: Json, paths: tuple[str, ...]) -> Json:
    """Return `body` without the parameters named by simple top-level paths."""
    return {name: value for name, value in body.items() if name not in paths}


def shape_body(target: Target, body: Json) -> Json:
    """Return the body as this target wants it: defaults filled in, overrides forced, parameters dropped."""
    if not (target.default_params or target.override_params or target.drop_params):
        return body
    shaped = {**target.default_params, **body, **target.override_params}
    return _drop(shaped, target.drop_params) if target.drop_params else shaped


def _find_virtual_key(slug: str, principal: Principal, snapshot: Snapshot, denied: frozenset[str]) -> VirtualKeyRow:
    row = snapshot.virtual_keys.get(f"{principal.ws.id}/{slug}")
    if row is None or (denied and f"vk:{row.uid}" in denied):
        raise UnknownProvider(
            f"Invalid provider passed: there is no provider @{slug} in this workspace", path="provider"
        )
    if row.expires is not None and row.expires <= time.time():
        raise Forbidden(f"The provider @{slug} has expired.")
    return row


def _named_by(target: Target, job: Job, model: str, *, forced: bool) -> tuple[str | None, str | None]:
    """Return (virtual key slug, provider id) of an attempt; one of them at most."""
    slug, _ = split_model(model)
    # A root target without a strategy leaves room for the request's own choice; a list of targets does not.
    open_root = target.path == "config"
    if slug is not None and (forced or open_root):
        return slug, None
    names: list[tuple[str | None, str | None]] = [
        (target.virtual_key, target.provider),
        (job.choice.virtual_key, job.choice.provider),
    ]
    if target.passthrough:
        names.reverse()
    for virtual_key, provider in names:
        if virtual_key:
            return virtual_key.removeprefix("@"), None
        if provider:
            return (provider[1:].partition("/")[0], None) if provider.startswith("@") else (None, provider)
    return slug, None


def locate(
    target: Target,
    job: Job,
    principal: Principal,
    snapshot: Snapshot,
    *,
    denied: frozenset[str],
    headers: Mapping[str, str],
    providers: Mapping[str, Provider],
    trusted_hosts: frozenset[str],
    any_model: bool = False,
) -> Destination:
    """Return where the attempt goes; raises GatewayError for what cannot be sent.

    `any_model` skips the check of the model: the call is not about one.
    """
    body = shape_body(target, job.body)
    model = body.get("model") or ""
    if not isinstance(model, str):
        raise BadRequest("model must be a string.", path="model")
    forced = "model" in target.override_params
    slug, provider_id = _named_by(target, job, model, forced=forced)
    row = _find_virtual_key(slug, principal, snapshot, denied) if slug else None
    provider = providers.get(row.provider if row else provider_id or "")
    if provider is None:
        raise BadRequest("Invalid provider passed", path="provider")
    operation = provider.operations.get(job.operation)
    if operation is None:
        raise Unsupported(f"{job.operation} is not supported by {provider.id}")
    bare_model = split_model(model)[1]
    if not bare_model:
        raise BadRequest("model is required.", path="model")
    if row and row.models is not None and not any_model and bare_model not in row.models:
        raise Forbidden(f"The model {bare_model} is not allowed for the provider @{row.slug}.")
    credential = _credential(target, job, row, snapshot)
    base_url = _base_url(target, job, row, provider, trusted_hosts)
    if credential.hosts and host_of(base_url) not in credential.hosts:
        raise Forbidden("The credential of this provider may not be sent to this host.")
    strict = _strict(target, job)
    settings: Mapping[str, Any] = {**(row.settings if row else {}), **target.settings}
    facts = CallFacts(bare_model, job.stream, strict, headers, settings, _include_usage(body))
    return Destination(provider, operation, credential, base_url, body, facts, row)


def _include_usage(body: Json) -> bool:
    options = body.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


def _strict(target: Target, job: Job) -> bool:
    return job.strict is not False and target.strict is not False


def _credential(target: Target, job: Job, row: VirtualKeyRow | None, snapshot: Snapshot) -> Credential:
    if row is not None:
        if row.secret is None:
            return NO_CREDENTIAL
        sealed = snapshot.secrets.get(row.secret)
        if sealed is None:
            raise UnknownProvider(f"The credential of the provider @{row.slug} has not reached this gateway yet.")
        return snapshot.opener.open(sealed)
    return Credential(target.api_key or job.choice.key)


def _base_url(
    target: Target, job: Job, row: VirtualKeyRow | None, provider: Provider, trusted_hosts: frozenset[str]
) -> str:
    host = job.choice.custom_host or target.custom_host or (row.custom_host if row else None)
    if not host:
        return provider.base_url
    try:
        return _checked_host(host, trusted_hosts)
    except ValueError:
        raise BadRequest("Invalid custom host", path="custom_host") from None


@lru_cache(maxsize=1024)
def _checked_host(url: str, trusted_hosts: frozenset[str]) -> str:
    return check_custom_host(url, trusted_hosts)
