"""Changes of API keys; the text of a key is returned once, when it is made or rotated, and cannot be had again."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from control_plane.configs.models import Config
from control_plane.core import audit
from control_plane.core.errors import Conflict, Denied, Invalid
from control_plane.core.outbox import touch
from control_plane.core.principal import Principal, system_actor
from control_plane.core.scopes import (
    ALL_SCOPES,
    OF_KEY_TYPE,
    ORGANISATION_KEY,
    WORKSPACE_SERVICE_KEY,
    WORKSPACE_USER_KEY,
    refuse_unfit,
)
from control_plane.core.showing import shown_once
from control_plane.core.tenancy import by_id_or_slug
from control_plane.keys.models import ApiKey
from control_plane.keys.serializers import LEAST_TRANSITION_MS, api_key_json
from control_plane.orgs.models import Membership, Organisation, Workspace
from control_plane.orgs.services import create_organisation
from shared.crypto.tokens import mint_key
from shared.redact import Secret

Json = Mapping[str, Any]
SECTIONS: Final = ("api_keys",)
_CLEARABLE: Final = {"description": "", "rate_limits": [], "alert_emails": []}


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made, or rotated: its row, and its text, which exists nowhere else."""

    row: ApiKey
    text: Secret

    def shown_once(self) -> str:
        """Return the plain text, for the one answer that shows it to its owner."""
        return shown_once(self.text)


@dataclass(frozen=True, slots=True)
class NewOrganisation:
    """An organisation that was just made, with its default workspace and its admin key."""

    organisation: Organisation
    workspace: Workspace
    admin_key: NewKey


def grantable(actor: Principal, key_type: str) -> frozenset[str]:
    """Return the scopes that `actor` may give to a key of `key_type`.

    Nobody gives what they could hold and do not: a key with few scopes cannot mint one with more.  What the actor's
    kind can never hold, such as inference for admin keys, is given freely.
    """
    holdable = OF_KEY_TYPE[actor.key_type] if actor.key_type else ALL_SCOPES
    return OF_KEY_TYPE[key_type] - (holdable - actor.scopes)


def _scopes(actor: Principal, key_type: str, wanted: list[str] | None) -> list[str]:
    allowed = grantable(actor, key_type)
    if not wanted:
        return sorted(allowed)
    refuse_unfit(frozenset(wanted), key_type)
    beyond = sorted(set(wanted) - allowed)
    if beyond:
        raise Denied(f"You cannot give scopes that you lack: {', '.join(beyond)}.")
    return sorted(set(wanted))


def _defaults(given: Json | None, workspace: Workspace | None) -> dict[str, Any]:
    """Return a key's defaults with the config named by its slug, as gateways look it up."""
    defaults = dict(given or {})
    named = defaults.pop("config_id", None)
    if not named:
        return defaults
    config = Config.objects.filter(by_id_or_slug(named), workspace=workspace).first() if workspace else None
    if config is None:
        raise Invalid("defaults.config_id: no such config in the key's workspace")
    return {**defaults, "config_id": config.slug}


def _owner(key_type: str, organisation_id: UUID, user_id: UUID | None) -> UUID | None:
    if key_type != WORKSPACE_USER_KEY:
        return None
    if user_id is None:
        raise Invalid("user_id is required for a key of a user")
    if not Membership.objects.filter(organisation_id=organisation_id, user_id=user_id).exists():
        raise Invalid("user_id: no such member of the organisation")
    return user_id


@transaction.atomic
def create_api_key(
    actor: Principal, key_type: str, given: Json, *, workspace: Workspace | None = None, mode: str = "api"
) -> NewKey:
    """Make an API key of `key_type` (`scopes.KEY_TYPES`); workspace keys need `workspace`.

    `given` has `name`, and may have `description`, `scopes` (default: all that the type allows and the actor may
    give), `user_id` (for keys of a user), `defaults`, `usage_limits`, `rate_limits`, `alert_emails`, `expires_at`,
    `rotation_policy`.  Raises BadRequest or Invalid for what does not fit, Denied for scopes beyond the actor's.
    """
    if (workspace is None) != (key_type == ORGANISATION_KEY):
        raise Invalid("a workspace key needs a workspace, and an organisation key has none")
    row = ApiKey(organisation_id=actor.organisation_id, workspace=workspace, type=key_type, creation_mode=mode)
    minted = mint_key(row.pk)
    row.secret_hash, row.masked = minted.secret_hash, minted.masked
    row.user_id = _owner(key_type, actor.organisation_id, given.get("user_id"))
    row.name = given["name"]
    row.scopes = _scopes(actor, key_type, given.get("scopes"))
    row.defaults = _defaults(given.get("defaults"), workspace)
    _assign(row, given)
    row.save()
    audit.record(actor, "create", row, after=api_key_json(row))
    touch(row.organisation_id, SECTIONS)
    return NewKey(row, minted.text)


def _assign(row: ApiKey, given: Json) -> None:
    for field in ("usage_limits", "expires_at", "rotation_policy", *_CLEARABLE):
        if field in given:
            value = given[field]
            setattr(row, field, _CLEARABLE[field] if value is None and field in _CLEARABLE else value)


@transaction.atomic
def update_api_key(actor: Principal, row: ApiKey, given: Json) -> ApiKey:
    """Change what `given` names; fields as in `create_api_key`, without `user_id`."""
    before = api_key_json(row)
    row.name = given.get("name", row.name)
    if "scopes" in given:
        # What the key has already may stay, whoever edits its name.
        wanted = set(given["scopes"] or ())
        kept = wanted & set(row.scopes)
        added = wanted - kept
        row.scopes = sorted(kept | set(_scopes(actor, row.type, sorted(added)) if added else ()))
    if "defaults" in given:
        row.defaults = _defaults(given["defaults"], row.workspace)
    _assign(row, given)
    row.save()
    audit.record(actor, "update", row, before=before, after=api_key_json(row))
    touch(row.organisation_id, SECTIONS)
    return row


@transaction.atomic
def rotate_api_key(actor: Principal, row: ApiKey, transition_ms: int = LEAST_TRANSITION_MS) -> NewKey:
    """Give a key a new text; the old one stays valid for `transition_ms` milliseconds.

    Raises Conflict while an earlier rotation is still going on, Denied for a key that can do more than the actor:
    the new text would be a way to its scopes.
    """
    row = ApiKey.objects.select_for_update().get(pk=row.pk)
    beyond = sorted(set(row.scopes) - grantable(actor, row.type))
    if beyond and actor.id != str(row.pk):
        raise Denied(f"You cannot rotate a key with scopes that you lack: {', '.join(beyond)}.")
    now = timezone.now()
    if len(row.hashes_at(now)) > 1:
        raise Conflict("The key is being rotated already: its old secret is still valid.")
    before = row.masked
    minted = mint_key(row.pk)
    row.previous_hash, row.previous_expires_at = row.secret_hash, now + timedelta(milliseconds=transition_ms)
    row.secret_hash, row.masked = minted.secret_hash, minted.masked
    row.save()
    facts = {"old_masked": before, "rotation_mode": "manual", "transition_expires_at": str(row.previous_expires_at)}
    audit.record(actor, "rotate", row, after=facts)
    touch(row.organisation_id, SECTIONS)
    return NewKey(row, minted.text)


@transaction.atomic
def delete_api_key(actor: Principal, row: ApiKey) -> None:
    """Delete a key; gateways refuse it from the next head on, before they pull anything else."""
    audit.record(actor, "delete", row, before=api_key_json(row))
    organisation_id, key_id = row.organisation_id, row.pk
    row.delete()
    touch(organisation_id, SECTIONS, revoked=[f"k:{key_id}"])


def end_transitions(now: datetime) -> int:
    """Forget the old secrets whose rotation is over, so that gateways do too; return how many."""
    over = ApiKey.objects.exclude(previous_hash="").filter(previous_expires_at__lte=now)
    ended = 0
    for row in over.order_by("pk")[:1000]:
        with transaction.atomic():
            ended += over.filter(pk=row.pk).update(previous_hash="", previous_expires_at=None)
            touch(row.organisation_id, SECTIONS)
    return ended


@transaction.atomic
def create_organisation_with_key(name: str, *, block_inline: bool) -> NewOrganisation:
    """Make an organisation, its default workspace, and an admin key with every scope that its type may hold."""
    organisation, workspace = create_organisation(name, block_inline=block_inline)
    key = create_api_key(system_actor(organisation), ORGANISATION_KEY, {"name": "Admin key"}, mode="auto")
    return NewOrganisation(organisation, workspace, key)


def create_workspace_key(actor: Principal, workspace: Workspace, name: str, **fields: Any) -> NewKey:
    """Make a service key of a workspace, as pages and commands do; `fields` as in `create_api_key`."""
    return create_api_key(actor, WORKSPACE_SERVICE_KEY, {"name": name, **fields}, workspace=workspace, mode="ui")
