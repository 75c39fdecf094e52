"""What is to be done?  Call + principal → job: body parsed, plan chosen, headers read.

Precedence: a config in the request beats the key's default config; single headers beat the config
(`contract.md` 1.7).  In saved-only mode nothing that defines routing may be sent inline (1.8).
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from data_plane.core.exchange import Call
from data_plane.core.job import Choice, Job, Principal
from data_plane.core.types import Json
from data_plane.sync.snapshot import Snapshot
from shared import wire
from shared.errors import BadRequest, InlineBlocked, InvalidConfig, InvalidJson
from shared.redact import Secret
from shared.routing.compile import compile_plan
from shared.routing.plan import DEFAULT_PLAN, Plan, Target
from shared.schema.config import MAX_CONFIG_CHARS, parse_config

#: What the Portkey SDK sends as `Authorization` when its user gave no provider key.
PLACEHOLDERS: Final = frozenset({"OPENAI_API_KEY", "dummy", ""})
MAX_METADATA_KEYS: Final = 32
MAX_METADATA_CHARS: Final = 128
_TRUE: Final = frozenset({"true", "1"})
_INLINE_PLANS: Final = 256


class UnknownConfig(InvalidConfig):
    """A config slug that this snapshot does not have: perhaps it is newer than the snapshot."""


class PlanMemo:
    """Compiled inline configs by their text, the latest ones: the same header comes with every request."""

    def __init__(self) -> None:
        self._plans: OrderedDict[str, Plan] = OrderedDict()

    def plan(self, text: str) -> Plan:
        """Return the plan of an inline config; raises InvalidConfig."""
        plan = self._plans.get(text)
        if plan is None:
            if len(text) > MAX_CONFIG_CHARS:
                raise InvalidConfig(f"Invalid config passed: longer than {MAX_CONFIG_CHARS} characters")
            plan = compile_plan(parse_config(_decode_config(text)))
            self._plans[text] = plan
            if len(self._plans) > _INLINE_PLANS:
                self._plans.popitem(last=False)
        return plan


def _decode_config(text: str) -> object:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise InvalidConfig("Invalid config passed. You need to pass a valid json") from None


def _flag(text: str | None) -> bool | None:
    return None if text is None else text.strip().lower() in _TRUE


def _choose_plan(headers: Mapping[str, str], principal: Principal, snapshot: Snapshot, memo: PlanMemo) -> Plan:
    text = headers.get(wire.CONFIG, "").strip()
    key = principal.key
    if not text:
        if key.config is None:
            return DEFAULT_PLAN
        return _saved_plan(key.config, principal, snapshot)
    if not key.allow_config_override:
        raise BadRequest("This API key has a fixed config: a config may not be sent with the request.", path="config")
    if text.startswith(("{", "[", '"')):
        if principal.org.block_inline:
            raise InlineBlocked("inline_config_blocked", wire.CONFIG)
        return memo.plan(text)
    return _saved_plan(text, principal, snapshot)


def _saved_plan(slug: str, principal: Principal, snapshot: Snapshot) -> Plan:
    plan = snapshot.plan(principal.ws.id, slug)
    if plan is None:
        raise UnknownConfig("Invalid config id passed", path=wire.CONFIG)
    return plan


def _choice(headers: Mapping[str, str], principal: Principal) -> Choice:
    provider = headers.get(wire.PROVIDER, "").strip() or None
    host = headers.get(wire.CUSTOM_HOST, "").strip() or None
    if principal.org.block_inline:
        if provider and not provider.startswith("@"):
            raise InlineBlocked("inline_provider_blocked", wire.PROVIDER)
        if host:
            raise InlineBlocked("inline_custom_host_blocked", wire.CUSTOM_HOST)
        if headers.get(wire.FORWARD_HEADERS):
            raise InlineBlocked("inline_forward_headers_blocked", wire.FORWARD_HEADERS)
    key = None
    if headers.get(wire.API_KEY):
        bearer = headers.get("authorization", "")
        text = bearer[7:].strip() if bearer[:7].lower() == "bearer " else headers.get("x-api-key", "").strip()
        key = None if text in PLACEHOLDERS else Secret(text)
    return Choice(provider, headers.get(wire.VIRTUAL_KEY, "").strip() or None, key, host)


def decode_body(body: bytes) -> Json:
    """Return the request body as an object; raises InvalidJson with what is wrong."""
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError):
        raise InvalidJson("The request body is not valid JSON.") from None
    except RecursionError:
        raise InvalidJson("The request body is nested too deeply.") from None
    if not isinstance(decoded, dict):
        raise InvalidJson("The request body must be a JSON object.")
    return decoded


def _timeout_ms(headers: Mapping[str, str]) -> int | None:
    text = headers.get(wire.REQUEST_TIMEOUT, "").strip()
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or not 0 < int(text[:12]) <= 86_400_000:
        raise BadRequest("x-portkey-request-timeout must be a number of milliseconds.", path=wire.REQUEST_TIMEOUT)
    return int(text)


def _names(text: str | None, header: str) -> tuple[str, ...] | None:
    """Read a header that holds a comma list or a JSON array of header names."""
    if not text:
        return None
    names: object = text.split(",")
    if text.lstrip().startswith("["):
        try:
            names = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise BadRequest(f"{header} must be a comma-separated list or a JSON array.", path=header)
    lowered = tuple(name.strip().lower() for name in names if name.strip())
    if wire.FORWARD_HEADERS in lowered:
        raise BadRequest(f"forward_headers must not contain the '{wire.FORWARD_HEADERS}' header", path=header)
    return lowered


def _metadata(text: str | None, principal: Principal, body: Json) -> dict[str, str]:
    """Merge metadata: workspace over key over request; values are cut to their bound, unreadable JSON is empty."""
    merged: dict[str, str] = {}
    user = body.get("user")
    if isinstance(user, str) and user:
        merged["_user"] = user[:MAX_METADATA_CHARS]
    if text:
        try:
            sent = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            sent = None
        if isinstance(sent, dict):
            for name, value in list(sent.items())[:MAX_METADATA_KEYS]:
                if value is not None:
                    merged[name[:MAX_METADATA_CHARS]] = _as_text(value)[:MAX_METADATA_CHARS]
    merged.update(principal.key.metadata)
    if principal.key.user:
        merged["_user"] = principal.key.user
    merged.update(principal.ws.metadata)
    return merged


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def resolve(call: Call, principal: Principal, snapshot: Snapshot, memo: PlanMemo) -> Job:
    """Return the job of a chat call; raises BadRequest (400) with the path to the fault."""
    headers = call.headers
    body = decode_body(call.body)
    model, stream = body.get("model", ""), body.get("stream")
    if not isinstance(model, str):
        raise BadRequest("model must be a string.", path="model")
    if stream is not None and not isinstance(stream, bool):
        raise BadRequest("stream must be true or false.", path="stream")
    if not isinstance(body.get("messages"), list):
        raise BadRequest("messages must be an array.", path="messages")
    plan = _choose_plan(headers, principal, snapshot, memo)
    choice = _choice(headers, principal)
    if isinstance(plan.root, Target) and not _names_provider(plan.root, choice, model):
        raise BadRequest(_NO_PROVIDER_IN_CONFIG if headers.get(wire.CONFIG) else _NO_PROVIDER)
    return Job(
        operation=call.endpoint,
        plan=plan,
        body=body,
        model=model,
        stream=bool(stream),
        choice=choice,
        metadata=_metadata(headers.get(wire.METADATA), principal, body),
        timeout_ms=_timeout_ms(headers),
        forward_headers=_names(headers.get(wire.FORWARD_HEADERS), wire.FORWARD_HEADERS),
        strict=_flag(headers.get(wire.STRICT)),
        keep_bodies=_flag(headers.get(wire.DEBUG)) is not False,
    )


def _names_provider(target: Target, choice: Choice, model: str) -> bool:
    override = target.override_params.get("model")
    return bool(
        target.provider
        or target.virtual_key
        or choice.provider
        or choice.virtual_key
        or model.startswith("@")
        or (isinstance(override, str) and override.startswith("@"))
    )


_NO_PROVIDER: Final = "Either x-portkey-config or x-portkey-provider header is required"
_NO_PROVIDER_IN_CONFIG: Final = (
    "Either x-portkey-provider needs to be passed. Or the x-portkey-config header should have a valid config "
    "with provider details in it."
)
