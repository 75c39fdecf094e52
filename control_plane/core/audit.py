"""Who changed what?  The append-only trail, written in the transaction of the change itself.

Secrets never reach it: services hand over what the API would show, and `masked` removes what looks like one.
"""

import json
import re
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl
from uuid import UUID

from django.db import models

from control_plane.core import chain
from control_plane.core.models import AuditEvent
from control_plane.core.principal import Principal
from shared.logs import scrub

MASK: Final = "****"
_SECRET_NAMES: Final = re.compile(
    r"(^|[_-])(key|keys|secret|secrets|password|passphrase|token|credential|credentials|authorization|service_account|secret_id)(_json)?$",
    re.IGNORECASE,
)
_PLAIN_NAMES: Final = frozenset({"masked_key", "virtual_key", "reset_usage"})


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What the trail says of the HTTP request behind a change; empty for commands."""

    request_id: str = ""
    client_ip: str | None = None
    method: str = ""
    uri: str = ""
    query: str = ""
    user_agent: str = ""


_COMMAND: Final = CallFacts()
CURRENT_CALL: Final[ContextVar[CallFacts]] = ContextVar("current_call", default=_COMMAND)
#: The JSON body of the call, set by the kit of resources; never that of a page's form.
CURRENT_BODY: Final[ContextVar[Any]] = ContextVar("current_body", default=None)
MAX_BODY_CHARS: Final = 16_384


def names_secret(name: str) -> bool:
    """Return whether a field of this name holds a credential."""
    return name not in _PLAIN_NAMES and bool(_SECRET_NAMES.search(name))


def masked(value: Any) -> Any:
    """Return a JSON value with every credential replaced: by the name of its field, or by its looks."""
    if isinstance(value, Mapping):
        return {
            name: MASK if names_secret(str(name)) and item is not None else masked(item) for name, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [masked(item) for item in value]
    return scrub(value) if isinstance(value, str) else value


def _without_header_values(value: Any) -> Any:
    """Return a JSON value in which objects of headers keep their names alone: any header may be a credential."""
    if isinstance(value, Mapping):
        return {
            name: dict.fromkeys(item, MASK)
            if str(name).endswith("headers") and isinstance(item, Mapping)
            else _without_header_values(item)
            for name, item in value.items()
        }
    return [_without_header_values(item) for item in value] if isinstance(value, list) else value


def _request_facts(call: CallFacts) -> dict[str, Any]:
    """Return what the trail keeps of a call's request; a body that is too large is left out."""
    if not call.request_id:
        return {}
    # PostgreSQL keeps no NUL; a body that has one was refused before.
    query = masked(dict(parse_qsl(call.query[:4096].replace("%00", "\ufffd"))))
    body = masked(_without_header_values(CURRENT_BODY.get()))
    if len(json.dumps(body)) > MAX_BODY_CHARS:
        body = None
    agent = scrub(call.user_agent[:300].replace("\x00", "\ufffd"))
    return {"query": query, "headers": {"user-agent": agent}, "body": body}


def record(
    actor: Principal,
    action: str,
    row: models.Model,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> AuditEvent:
    """Write that `actor` did `action` to `row`; call it inside the change's transaction.

    `before` and `after` are JSON objects, None when the row did not exist then.
    """
    call = CURRENT_CALL.get()
    workspace_id: UUID | None = getattr(row, "workspace_id", None)
    event = AuditEvent(
        organisation_id=actor.organisation_id,
        workspace_id=workspace_id,
        actor_kind=actor.kind,
        actor_id=actor.id,
        actor_name=actor.name,
        action=action,
        resource_type=row._meta.model_name or "",  # noqa: SLF001 -- Django's documented way to a model's name
        resource_id=str(row.pk),
        before=masked(before) if before is not None else None,
        after=masked(after) if after is not None else None,
        request_id=call.request_id,
        client_ip=call.client_ip,
        method=call.method[:10],
        uri=call.uri[:500],
        request=_request_facts(call),
    )
    event.digest = chain.digest_of({name: getattr(event, name) for name in chain.CONTENT})
    event.save()
    return event
