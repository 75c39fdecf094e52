"""Which plan does a request run under?  Its own config, else the key's; then what its quick-start headers add.

A config in the request beats the key's default config (`contract.md` 1.7).  In saved-only mode nothing that defines
routing may be sent inline (1.8).
"""

from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Final

import msgspec

from data_plane.core.job import Principal
from data_plane.sync.snapshot import Snapshot
from shared import wire
from shared.errors import BadRequest, InlineBlocked, InvalidConfig
from shared.logs import scrub
from shared.routing.compile import compile_plan
from shared.routing.decision import DecisionTrace
from shared.routing.naming import split_model
from shared.routing.plan import DEFAULT_PLAN, Fallback, Node, Plan, Target
from shared.schema.config import MAX_CONFIG_CHARS, parse_config
from shared.schema.log_record import Rejected

_INLINE_PLANS: Final = 256
MAX_FALLBACKS: Final = 20
#: As much of what is no config's slug as a decision shows.
MAX_SLUG_CHARS: Final = 128


class UnknownConfig(InvalidConfig):
    """A config slug that this snapshot does not have: perhaps it is newer than the snapshot."""


class PlanMemo:
    """Compiled inline configs by their text, the latest ones: the same header comes with every request."""

    def __init__(self, trusted_hosts: Collection[str] | None = None) -> None:
        """`trusted_hosts` are exempt from the rules on custom hosts; None leaves the rules to the moment of use."""
        self._trusted_hosts = trusted_hosts
        self._plans: OrderedDict[tuple[str, str], Plan] = OrderedDict()

    def plan(self, text: str, workspace: str) -> Plan:
        """Return the plan of an inline config; raises InvalidConfig.

        The same text in another workspace means other providers, so breakers and sticky choices are kept apart.
        """
        plan = self._plans.get((workspace, text))
        if plan is None:
            if len(text) > MAX_CONFIG_CHARS:
                raise InvalidConfig(f"Invalid config passed: longer than {MAX_CONFIG_CHARS} characters")
            config = parse_config(_decode_config(text), trusted_hosts=self._trusted_hosts)
            digest = sha256(f"{workspace}\n{text}".encode("utf-8", "replace")).hexdigest()
            plan = compile_plan(config, key=digest[:16])
            self._plans[workspace, text] = plan
            if len(self._plans) > _INLINE_PLANS:
                self._plans.popitem(last=False)
        return plan


def _decode_config(text: str) -> object:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise InvalidConfig("Invalid config passed. You need to pass a valid json") from None


def _saved_plan(slug: str, principal: Principal, snapshot: Snapshot) -> Plan:
    plan = snapshot.plan(principal.ws.id, slug)
    if plan is None:
        raise UnknownConfig("Invalid config id passed", path=wire.CONFIG)
    return plan


def choose_plan(
    headers: Mapping[str, str], principal: Principal, snapshot: Snapshot, memo: PlanMemo, trace: DecisionTrace
) -> Plan:
    """Return the plan of a request and note why it is that one; raises BadRequest."""
    text = headers.get(wire.CONFIG, "").strip()
    key = principal.key
    if not text:
        if key.config is None:
            trace.add("config", "", "no config", "neither the request nor the API key has one")
            return DEFAULT_PLAN
        trace.add("config", "", key.config, "the API key's default")
        return _saved_plan(key.config, principal, snapshot)
    if not key.allow_config_override:
        raise _fixed("config")
    rejected = (Rejected(key.config, "the request's config comes first"),) if key.config else ()
    if text.startswith(("{", "[", '"')):
        if principal.org.block_inline:
            raise InlineBlocked("inline_config_blocked", wire.CONFIG)
        trace.add("config", "", "an inline config", "sent with the request", rejected=rejected)
        return memo.plan(text, principal.ws.id)
    trace.add("config", "", scrub(text[:MAX_SLUG_CHARS]), "sent with the request", rejected=rejected)
    return _saved_plan(text, principal, snapshot)


def _fixed(field: str) -> BadRequest:
    return BadRequest("This API key has a fixed config: a config may not be sent with the request.", path=field)


def _after(origin: Target, model: str, path: str) -> Target:
    """Return the target that tries `model` after `origin`; another saved provider has its own address and keys."""
    override = {**origin.override_params, "model": model}
    target = replace(origin, path=path, override_params=override, breaker=None, breaker_id="")
    if split_model(model)[0] is None:
        return target
    return replace(target, provider=None, virtual_key=None, api_key=None, custom_host=None, settings={})


class _FallbackEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    model: str
    on_status_codes: frozenset[int] | None = None


_ENTRIES: Final = msgspec.json.Decoder(list[_FallbackEntry])


def with_fallbacks(plan: Plan, text: str | None, principal: Principal) -> Plan:
    """Return `plan` followed by the models of an `x-portkey-fallbacks` header; raises BadRequest.

    Each entry is a target after the original one, tried when what came before it was answered with one of its
    statuses, or with any but 2xx.
    """
    if not text:
        return plan
    if not principal.key.allow_config_override:
        raise _fixed(wire.FALLBACKS)
    try:
        entries = _ENTRIES.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as fault:
        raise BadRequest(f"{wire.FALLBACKS} must be a JSON array of models: {fault}", path=wire.FALLBACKS) from None
    if len(entries) > MAX_FALLBACKS:
        raise BadRequest(f"{wire.FALLBACKS} may name {MAX_FALLBACKS} models at most.", path=wire.FALLBACKS)
    root = plan.root
    origin = root if isinstance(root, Target) else Target(path="config")
    node: Node = root
    for index, entry in enumerate(entries):
        target = _after(origin, entry.model, f"fallbacks[{index}]")
        node = Fallback("fallbacks", (node, target), entry.on_status_codes)
    return plan if not entries else replace(plan, root=node, mode="fallback")
