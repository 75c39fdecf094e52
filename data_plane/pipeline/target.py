"""Where does this attempt go?  Target + job → provider, credential, address and body.

A credential of the organisation is only ever sent to the hosts that were sealed with it.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NoReturn

from data_plane.core.endpoint import ENDPOINTS, PROXY
from data_plane.core.job import Job, Principal
from data_plane.core.parts import unfolded
from data_plane.core.types import CallFacts, Credential, Json
from data_plane.providers._by_chat import BY_CHAT
from data_plane.providers._models import models
from data_plane.providers._responses_adapter import asks_beyond_chat
from data_plane.providers.base import Operation, Provider
from data_plane.sync.snapshot import Snapshot
from shared.addresses import AddressIncomplete, fill_address
from shared.errors import BadRequest, Forbidden, SecretUnresolved, Unsupported
from shared.hosts import check_custom_host, host_of
from shared.model_lists import is_listed
from shared.routing.naming import BY_HEADERS, name_provider, split_model
from shared.routing.plan import Target
from shared.schema.params import shape_params
from shared.schema.rows import VirtualKeyRow

NO_CREDENTIAL: Final = Credential(None)
#: How `name_provider` says that the target itself named the provider.
BY_TARGET: Final = "the target"
#: Methods of calls that run no model.
_WITHOUT_MODEL: Final = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})


class UnknownProvider(BadRequest):
    """A saved provider that this snapshot does not have: perhaps it is newer than the snapshot."""

    code = "invalid_provider"


@dataclass(frozen=True, slots=True)
class Destination:
    """One resolved target: all that is needed to encode and send the call.

    `operation` None: the call is forwarded as it came.  `named_by` says who named the provider.
    """

    provider: Provider
    operation: Operation | None
    credential: Credential
    base_url: str
    body: Json
    facts: CallFacts
    virtual_key: VirtualKeyRow | None
    named_by: str = ""


def _find_virtual_key(slug: str, principal: Principal, snapshot: Snapshot, denied: frozenset[str]) -> VirtualKeyRow:
    row = snapshot.virtual_keys.get(f"{principal.ws.id}/{slug}")
    if row is None or (denied and f"vk:{row.uid}" in denied):
        raise UnknownProvider(
            f"Invalid provider passed: there is no provider @{slug} in this workspace", path="provider"
        )
    if row.expires is not None and row.expires <= time.time():
        raise Forbidden(f"The provider @{slug} has expired.")
    return row


def saved_host(row: VirtualKeyRow, model: str) -> str | None:
    """Return the base URL that an account is for when a model is asked for, None when it is its provider's own."""
    own = row.model_settings.get(model)
    return own.custom_host if own is not None and own.custom_host else row.custom_host


def saved_settings(row: VirtualKeyRow, model: str) -> Mapping[str, str]:
    """Return the settings of an account when a model is asked for: with the deployment that the model means."""
    if not row.deployments:
        return row.settings
    named = (each for each in row.deployments if model in each.names)
    chosen = next(named, None) or next((each for each in row.deployments if each.is_default), row.deployments[0])
    version = {"azure_api_version": chosen.api_version} if chosen.api_version else {}
    return {**row.settings, "azure_deployment_id": chosen.deployment, **version}


def referenced_credential(row: VirtualKeyRow) -> NoReturn:
    """Refuse an account whose credential is in a secret manager: whatever resolves references belongs here."""
    raise SecretUnresolved(
        f"The credential is a secret reference, which this gateway cannot resolve yet (provider @{row.slug})."
    )


def find_provider(
    name: str, organisation: str, snapshot: Snapshot, providers: Mapping[str, Provider]
) -> Provider | None:
    """Return the provider `name`: of this release, else one that the organisation added; None when there is neither.

    Raises Quarantined for one that the organisation added and that cannot be used.
    """
    built_in = providers.get(name)
    return snapshot.custom_provider(organisation, name) if built_in is None else built_in


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
    # A path into a member that was left as it came leads nowhere.
    drops = target.drop_params
    shaped = unfolded(job.body) if drops and any(len(path) > 1 for path in drops) else job.body
    shaped = shape_params(shaped, target.default_params, target.override_params, target.drop_params)
    model = shaped.get("model") or ""
    if not isinstance(model, str):
        raise BadRequest("model must be a string.", path="model")
    choice = job.choice
    named = name_provider(
        target, model=model, asked_model=job.model, provider=choice.provider, virtual_key=choice.virtual_key
    )
    row = _find_virtual_key(named.virtual_key, principal, snapshot, denied) if named.virtual_key else None
    provider = find_provider(row.provider if row else named.provider or "", principal.org.id, snapshot, providers)
    if provider is None:
        # An organisation's own provider may be newer than the snapshot.
        raise (UnknownProvider if named.provider else BadRequest)("Invalid provider passed", path="provider")
    operation = _operation(provider, job, split_model(model)[1])
    # What goes out unread keeps its own model, whatever the target would have put there.
    body, bare_model = (shaped, split_model(model)[1]) if job.raw is None or job.raw.is_read else (job.body, "")
    if not any_model:
        check_model(bare_model, row, job, principal.key.models)
    credential = _credential(target, job, row, snapshot, named_by=named.why)
    said = choice.settings if named.why == BY_HEADERS else {}
    saved = saved_settings(row, bare_model) if row else {}
    settings: Mapping[str, Any] = {**saved, **said, **credential.settings, **target.settings}
    host = job.choice.custom_host or target.custom_host or (saved_host(row, bare_model) if row else None)
    if not host and provider.address_setting:
        host = settings.get(provider.address_setting)
    if not host and provider.is_custom:
        host = provider.base_url
    base_url = _base_url(host, provider, settings, trusted_hosts)
    if job.raw is None and job.operation in provider.only_at_home:
        operation = _away_from_home(operation, provider, job.operation, base_url, body)
    strict = _strict(target, job)
    facts = CallFacts(bare_model, job.stream, strict, headers, settings, _include_usage(body), body)
    place = base_url if operation is None or operation.service is None else operation.service(base_url, facts)
    if credential.hosts and (host_of(place) not in credential.hosts or _is_less_safe(place, row, provider, bare_model)):
        raise Forbidden("The credential of this provider may not be sent to this host.")
    return Destination(provider, operation, credential, base_url, body, facts, row, named.why)


@lru_cache(maxsize=1024)
def _by_chat(chat: Operation, name: str) -> Operation:
    return BY_CHAT[name](chat)


@lru_cache(maxsize=1024)
def _models(provider: str) -> Operation:
    return models(provider)


def operation_of(provider: Provider, name: str, model: str = "") -> Operation | None:
    """Return an operation of a provider, its own (for `model`) or one that its chat can stand for; None for neither."""
    own = _own(provider, name, model)
    if own is None and name == "models":
        return _models(provider.id) if provider.lists_models else None
    return own if own is not None else _stand_in(provider, name, model)


def _own(provider: Provider, name: str, model: str) -> Operation | None:
    choose = provider.chosen.get(name)
    found = choose(model) if choose is not None else None
    return provider.operations.get(name) if found is None else found


def _stand_in(provider: Provider, name: str, model: str) -> Operation | None:
    """Return what the chat that a provider has for `model` makes of an operation, None where it makes nothing."""
    chat = _own(provider, "chat", model) if name in BY_CHAT else None
    return None if chat is None else _by_chat(chat, name)


def _operation(provider: Provider, job: Job, model: str) -> Operation | None:
    """Return what of the provider answers the job, None for what is forwarded as it came."""
    if job.operation == PROXY:
        return None
    operation = operation_of(provider, job.operation, model)
    if operation is None or (job.raw is not None and not operation.passes_through):
        mode = " in nitro mode" if operation is not None else ""
        raise Unsupported(f"{job.operation} is not supported by {provider.id}{mode}")
    return operation


def _away_from_home(
    operation: Operation | None, provider: Provider, name: str, base_url: str, body: Json
) -> Operation | None:
    """Return what answers at a host that may be another's: the chat, unless it cannot do what is asked for."""
    home, host = host_of(provider.base_url), host_of(base_url)
    if host == home or host.endswith(f".{home}"):
        return operation
    if asks_beyond_chat(unfolded({member: value for member, value in body.items() if member != "input"})):
        return operation
    return _stand_in(provider, name, split_model(str(body.get("model") or ""))[1]) or operation


def check_model(model: str, row: VirtualKeyRow | None, job: Job, of_key: tuple[str, ...] | None) -> None:
    """Raise when the call has no model that it needs, or one that a list of the provider or the key does not allow."""
    if job.raw is None and not model and ENDPOINTS[job.operation].needs_model:
        raise BadRequest("model is required.", path="model")
    if model or job.raw is None or job.raw.method not in _WITHOUT_MODEL:
        refuse_unlisted(model, row, of_key)


def refuse_unlisted(model: str, row: VirtualKeyRow | None, of_key: tuple[str, ...] | None) -> None:
    """Raise Forbidden for a model that is not on the provider's list or the API key's; None is no list.

    What names no model could mean any, and the list would be worth nothing.
    """
    if row is not None and row.limits_models and not _is_allowed(model, row):
        whose, named = f"The provider @{row.slug}", f"for the provider @{row.slug}"
    elif of_key is not None and not (model and is_listed(of_key, model, row.slug if row is not None else None)):
        whose, named = "This API key", "for this API key"
    else:
        return
    if not model:
        raise Forbidden(f"{whose} allows certain models only, and this request names none.")
    raise Forbidden(f"The model {model} is not allowed {named}.")


def _is_allowed(model: str, row: VirtualKeyRow) -> bool:
    return bool(model) and model not in row.denied_models if row.models is None else model in row.models


def _include_usage(body: Json) -> bool:
    options = body.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


def _strict(target: Target, job: Job) -> bool:
    return job.strict is not False and target.strict is not False


def _credential(
    target: Target, job: Job, row: VirtualKeyRow | None, snapshot: Snapshot, *, named_by: str
) -> Credential:
    if row is not None:
        if row.secret_mappings:
            return referenced_credential(row)
        if row.secret is None:
            return NO_CREDENTIAL
        sealed = snapshot.secrets.get(row.secret)
        if sealed is None:
            raise UnknownProvider(f"The credential of the provider @{row.slug} has not reached this gateway yet.")
        return snapshot.opener.open(sealed)
    # The caller's key is for the provider that the caller names, not for one among several that a config names.
    foreign = named_by == BY_TARGET and ".targets[" in target.path
    return Credential(target.api_key or (None if foreign else job.choice.key))


def _is_less_safe(base_url: str, row: VirtualKeyRow | None, provider: Provider, model: str) -> bool:
    """Return whether a saved credential would go unencrypted where its owner does not say so."""
    said = row and (saved_host(row, model) or (provider.base_url if provider.is_custom else None))
    return base_url[:5].lower() == "http:" and (said or "")[:5].lower() != "http:"


def _base_url(host: str | None, provider: Provider, settings: Mapping[str, Any], trusted_hosts: frozenset[str]) -> str:
    if not host:
        return _own_address(provider, settings)
    try:
        return _checked_host(host, trusted_hosts)
    except ValueError:
        raise BadRequest("Invalid custom host", path="custom_host") from None


def _own_address(provider: Provider, settings: Mapping[str, Any]) -> str:
    if not provider.base_url:
        raise BadRequest(f"{provider.id} has no address of its own: custom_host is required.", path="custom_host")
    try:
        return fill_address(provider.base_url, settings)
    except AddressIncomplete as fault:
        raise BadRequest(f"{fault} for the provider {provider.id}.", path=fault.setting) from None


@lru_cache(maxsize=1024)
def _checked_host(url: str, trusted_hosts: frozenset[str]) -> str:
    return check_custom_host(url, trusted_hosts)
