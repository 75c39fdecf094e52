"""What is to be done?  Call + principal → job: body parsed, plan chosen, headers read.

Precedence: a config in the request beats the key's default config; single headers beat the config (`contract.md` 1.7).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from data_plane.core.endpoint import ENDPOINTS, NITRO, PROXY, UNIVERSAL, UNIVERSAL_TYPES
from data_plane.core.exchange import Call
from data_plane.core.job import MAX_MODEL_CHARS, Choice, Job, Principal, Raw
from data_plane.core.parts import LARGE_BYTES, is_of, read_members
from data_plane.core.types import Json
from data_plane.pipeline import said
from data_plane.pipeline.forward import json_operation
from data_plane.pipeline.plans import PlanMemo, choose_plan, with_fallbacks
from data_plane.sync.snapshot import Snapshot
from shared import wire
from shared.errors import BadRequest, InvalidJson
from shared.metadata import merge_metadata
from shared.routing.decision import DecisionTrace
from shared.routing.naming import split_model
from shared.routing.plan import Plan, Target


@dataclass(frozen=True, slots=True)
class Rules:
    """How this gateway reads requests: `metadata_headers` (lower case) are copied into the metadata.

    `block_inline` makes saved-only mode hold for every organisation.
    """

    metadata_headers: tuple[str, ...] = ()
    block_inline: bool = False


NO_RULES: Final = Rules()


def decode_body(body: bytes | bytearray) -> Json:
    """Return the request body as an object, the large members of a large one as they came (`msgspec.Raw`).

    Raises InvalidJson with what is wrong.
    """
    decoded = _decode(body)
    if not isinstance(decoded, dict):
        raise InvalidJson("The request body must be a JSON object.")
    return decoded


def _decode(body: bytes | bytearray) -> Any:
    try:
        is_object = len(body) > LARGE_BYTES and body[:64].lstrip()[:1] == b"{"
        return read_members(body) if is_object else msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError):
        raise InvalidJson("The request body is not valid JSON.") from None
    except RecursionError:
        raise InvalidJson("The request body is nested too deeply.") from None


class _Universal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    type: str
    provider: str | None = None
    model: str | None = None
    parameters: dict[str, Any] = {}


_UNIVERSAL: Final = msgspec.json.Decoder(_Universal)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A body that was read: the operation, its parameters, and the provider that the body itself names."""

    operation: str
    body: Json
    provider: str | None = None


def _universal(body: bytes | bytearray) -> _Asked:
    """Read `{"provider", "model", "type", "parameters"}`."""
    decode_body(body)
    try:
        told = _UNIVERSAL.decode(body)
    except msgspec.DecodeError as fault:
        raise BadRequest(f"The request body is not a universal request: {fault}", path="body") from None
    operation = UNIVERSAL_TYPES.get(told.type)
    if operation is None:
        raise BadRequest(f"type must be one of: {', '.join(UNIVERSAL_TYPES)}", path="type")
    named = {} if told.model is None else {"model": told.model}
    return _Asked(operation, {**told.parameters, **named}, told.provider)


def _check_model(body: Json) -> None:
    model = body.get("model", "")
    if not isinstance(model, str):
        raise BadRequest("model must be a string.", path="model")
    if len(model) > MAX_MODEL_CHARS:
        raise BadRequest(f"model must not have more than {MAX_MODEL_CHARS} characters.", path="model")


def _check_body(operation: str, body: Json) -> bool:
    """Return whether an answer in pieces is asked for; raises BadRequest with the field that is wrong."""
    endpoint = ENDPOINTS[operation]
    stream = body.get("stream")
    _check_model(body)
    if stream is not None and not isinstance(stream, bool):
        raise BadRequest("stream must be true or false.", path="stream")
    for name, (kinds, wanted) in endpoint.required.items():
        if not is_of(body.get(name), kinds):
            raise BadRequest(f"{name} must be {wanted}.", path=name)
    return bool(stream) and endpoint.streams


def _proxied(call: Call) -> tuple[Json, Raw]:
    """Return what can be read of a body that is forwarded as it came, and the body."""
    raw = Raw(call.method, call.target, call.body, call.upload)
    if call.upload is not None or not call.body:
        return {}, raw
    decoded = _decode(call.body)
    if not isinstance(decoded, dict):
        if json_operation(call.target) is not None:
            raise InvalidJson("The request body must be a JSON object.")
        return {}, raw
    _check_model(decoded)
    return decoded, replace(raw, is_read=True)


def is_nitro(headers: Mapping[str, str]) -> bool:
    """Return whether the request asks for its body to be passed through unread."""
    return said.flag(headers.get(wire.NITRO_MODE)) is True


def _check_nitro(operation: str, plan: Plan, headers: Mapping[str, str]) -> None:
    """Raise BadRequest for what an unread body cannot have."""
    root = plan.root
    refused = None
    if operation not in NITRO:
        refused = f"the endpoint {operation}"
    elif not isinstance(root, Target):
        refused = "a strategy"
    elif root.retry.attempts or (said.retries(headers) or 0) > 0:
        refused = "retry"
    elif root.override_params or root.default_params or root.drop_params:
        refused = "override_params, default_params or drop_params"
    if refused:
        raise BadRequest(
            f"Nitro mode passes the body through unread: {refused} cannot be had with it.", path=wire.NITRO_MODE
        )


def resolve(
    call: Call,
    principal: Principal,
    snapshot: Snapshot,
    memo: PlanMemo,
    *,
    rules: Rules = NO_RULES,
    trace: DecisionTrace,
) -> Job:
    """Return the job of a call; raises BadRequest (400) with the path to the fault."""
    headers = call.headers
    if rules.block_inline and not principal.org.block_inline:
        principal = replace(principal, org=msgspec.structs.replace(principal.org, block_inline=True))
    raw, stream, nitro = None, False, call.upload is not None and is_nitro(headers)
    if call.endpoint == PROXY:
        body, raw = _proxied(call)
        asked = _Asked(PROXY, body)
    elif call.upload is not None:
        raw = Raw(call.method, None, b"", call.upload)
        asked = _Asked(call.endpoint, {})
    elif call.form is not None:
        asked = _Asked(call.endpoint, call.form)
        stream = _check_body(call.endpoint, call.form)
    else:
        asked = _universal(call.body) if call.endpoint == UNIVERSAL else _Asked(call.endpoint, decode_body(call.body))
        stream = _check_body(asked.operation, asked.body)
    plan = choose_plan(headers, principal, snapshot, memo, trace)
    plan = with_fallbacks(plan, headers.get(wire.FALLBACKS), principal)
    choice = _choice(headers, principal, asked)
    if nitro:
        operation = json_operation(call.target) if asked.operation == PROXY else asked.operation
        _check_nitro(operation or PROXY, plan, headers)
    said.check_cache(headers)
    model = asked.body.get("model", "")
    if isinstance(plan.root, Target) and not _names_provider(plan.root, choice, model):
        raise BadRequest(_NO_PROVIDER_IN_CONFIG if headers.get(wire.CONFIG) else _NO_PROVIDER)
    keep_bodies = said.flag(headers.get(wire.DEBUG)) is not False
    if not keep_bodies or principal.ws.payload != "full":
        trace.hide_params()
    return Job(
        operation=asked.operation,
        plan=plan,
        body=asked.body,
        model=model,
        stream=stream,
        choice=choice,
        metadata=_metadata(headers, principal, asked.body, rules),
        timeout_ms=said.timeout_ms(headers),
        forward_headers=said.names(headers.get(wire.FORWARD_HEADERS), wire.FORWARD_HEADERS),
        strict=said.flag(headers.get(wire.STRICT)),
        keep_bodies=keep_bodies,
        retries=said.retries(headers),
        raw=raw,
    )


def _choice(headers: Mapping[str, str], principal: Principal, asked: _Asked) -> Choice:
    """Return the request's own choice; a universal body names its provider where no header does."""
    if asked.provider and not headers.get(wire.PROVIDER):
        headers = {**headers, wire.PROVIDER: asked.provider}
    return said.choice(headers, principal)


def _metadata(headers: Mapping[str, str], principal: Principal, body: Json, rules: Rules) -> dict[str, str]:
    return merge_metadata(
        sent=headers.get(wire.METADATA),
        baggage=headers.get("baggage"),
        headers=headers,
        header_names=rules.metadata_headers,
        user=body.get("user"),
        key=principal.key.metadata,
        workspace=principal.ws.metadata,
        key_user=principal.key.user,
    )


def _names_provider(target: Target, choice: Choice, model: str) -> bool:
    override = target.override_params.get("model")
    return bool(
        target.provider
        or target.virtual_key
        or choice.provider
        or choice.virtual_key
        or split_model(model)[0]
        or (isinstance(override, str) and override.startswith("@"))
    )


_NO_PROVIDER: Final = "Either x-portkey-config or x-portkey-provider header is required"
_NO_PROVIDER_IN_CONFIG: Final = (
    "Either x-portkey-provider needs to be passed. Or the x-portkey-config header should have a valid config "
    "with provider details in it."
)
