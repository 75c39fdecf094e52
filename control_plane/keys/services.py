"""Changes of API keys; the text of a key is returned once, when it is made or rotated, and cannot be had again."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from control_plane.budgets.models import Budget
from control_plane.budgets.services import clear_budgets, reset, set_budget
from control_plane.budgets.usage import set_used
from control_plane.configs.models import Config
from control_plane.core import audit
from control_plane.core.errors import Denied, Invalid
from control_plane.core.outbox import touch
from control_plane.core.principal import Principal, system_actor
from control_plane.core.scopes import (
    OF_KEY_TYPE,
    ORGANISATION_KEY,
    WORKSPACE_SERVICE_KEY,
    WORKSPACE_USER_KEY,
    refuse_unfit,
)
from control_plane.core.showing import shown_once
from control_plane.core.tenancy import by_id_or_slug
from control_plane.keys.models import USED_GRAIN, ApiKey
from control_plane.keys.schedule import next_rotation
from control_plane.keys.serializers import api_key_json
from control_plane.orgs.models import Membership, Organisation, Workspace
from control_plane.orgs.services import create_organisation
from shared.crypto.tokens import mint_key, parse_key, same_hash
from shared.redact import Secret

Json = Mapping[str, Any]
SECTIONS: Final = ("api_keys",)
#: The kind of a key's budget, and what of a request concerns it.
BUDGET: Final = "api_key"
_OF_BUDGET: Final = frozenset({"name", "usage_limits", "reset_usage"})
_CLEARABLE: Final = {"description": "", "rate_limits": [], "alert_emails": []}
_PLAIN: Final = ("usage_limits", "expires_at", "allowed_ips", "allowed_models")


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


def grantable(actor: Principal, key_type: str, workspace_id: UUID | None) -> frozenset[str]:
    """Return the scopes that `actor` may give to a key of `key_type` in a workspace; None: of the organisation."""
    return OF_KEY_TYPE[key_type] & actor.may_give(workspace_id)


def _scopes(actor: Principal, row: ApiKey, wanted: list[str] | None) -> list[str]:
    allowed, key_type = grantable(actor, row.type, row.workspace_id), row.type
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
    `rotation_policy`, `allowed_ips` (networks) and `allowed_models` (`shared/model_lists.py`); None allows all.
    Raises BadRequest or Invalid for what does not fit, Denied for scopes beyond the actor's.
    """
    if (workspace is None) != (key_type == ORGANISATION_KEY):
        raise Invalid("a workspace key needs a workspace, and an organisation key has none")
    row = ApiKey(organisation_id=actor.organisation_id, workspace=workspace, type=key_type, creation_mode=mode)
    minted = mint_key(row.pk)
    row.secret_hash, row.masked = minted.secret_hash, minted.masked
    row.user_id = _owner(key_type, actor.organisation_id, given.get("user_id"))
    row.name = given["name"]
    row.scopes = _scopes(actor, row, given.get("scopes"))
    row.defaults = _defaults(given.get("defaults"), workspace)
    if key_type == WORKSPACE_USER_KEY and workspace is not None and "config_id" not in row.defaults:
        own = workspace.defaults.get("user_api_key_config")
        row.defaults |= {"config_id": own} if own else {}
    _assign(row, given)
    row.save()
    if row.usage_limits is not None:
        _keep_budget(row)
    audit.record(actor, "create", row, after=api_key_json(row))
    touch(row.organisation_id, SECTIONS)
    return NewKey(row, minted.text)


def _assign(row: ApiKey, given: Json) -> None:
    for field in (*_PLAIN, *_CLEARABLE):
        if field in given:
            value = given[field]
            setattr(row, field, _CLEARABLE[field] if value is None and field in _CLEARABLE else value)
    if "rotation_policy" in given:
        policy = dict(given["rotation_policy"] or {})
        begins = policy.pop("next_rotation_at", None)
        row.rotation_policy = policy or None
        row.rotate_at = begins or next_rotation(row.rotation_policy, timezone.now())


def _keep_budget(row: ApiKey) -> Budget | None:
    budget = set_budget(
        BUDGET,
        row.pk,
        organisation_id=row.organisation_id,
        workspace_id=row.workspace_id,
        name=row.name,
        limits=row.usage_limits,
    )
    set_used(row, budget)
    return budget


@transaction.atomic
def update_api_key(actor: Principal, row: ApiKey, given: Json) -> ApiKey:
    """Change what `given` names; fields as in `create_api_key`, without `user_id`.

    `reset_usage`: what was used until now does not count any more.
    """
    before = api_key_json(row)
    row.name = given.get("name", row.name)
    if "scopes" in given:
        # What the key has already may stay, whoever edits its name.
        wanted = set(given["scopes"] or ())
        kept = wanted & set(row.scopes)
        added = wanted - kept
        row.scopes = sorted(kept | set(_scopes(actor, row, sorted(added)) if added else ()))
    if "defaults" in given:
        row.defaults = _defaults(given["defaults"], row.workspace)
    _assign(row, given)
    row.save()
    if not given.keys().isdisjoint(_OF_BUDGET):
        budget = _keep_budget(row)
        if budget is not None and given.get("reset_usage"):
            set_used(row, reset(actor, budget))
    audit.record(actor, "update", row, before=before, after=api_key_json(row))
    touch(row.organisation_id, SECTIONS)
    return row


@transaction.atomic
def delete_api_key(actor: Principal, row: ApiKey) -> None:
    """Delete a key; gateways refuse it from the next head on, before they pull anything else."""
    audit.record(actor, "delete", row, before=api_key_json(row))
    organisation_id, key_id = row.organisation_id, row.pk
    clear_budgets(BUDGET, key_id, organisation_id=organisation_id)
    row.delete()
    touch(organisation_id, SECTIONS, revoked=[f"k:{key_id}"])


def find_by_text(text: Secret) -> ApiKey | None:
    """Return the key that a text names, whoever's it is, and whether or not it is valid still; None for none.

    For tracing what was found in a leak: the checksum has been compared, the secret has not.
    """
    parsed = parse_key(text.reveal())
    return ApiKey.objects.filter(pk=parsed.key_id).first() if parsed else None


def is_text_of(row: ApiKey, text: Secret) -> bool:
    """Return whether a text is one of the secrets with which the key can be used now."""
    parsed = parse_key(text.reveal())
    now = timezone.now()
    if parsed is None or row.status == "expired":
        return False
    return bool(sum(same_hash(parsed.secret_hash, known) for known in row.hashes_at(now)))


@transaction.atomic
def mark_used(moments: Mapping[UUID, datetime]) -> None:
    """Note when keys were last used for calls; an earlier moment than the one known changes nothing.

    A key that somebody is changing at the moment is left out: its next use comes soon.
    """
    known = ApiKey.objects.filter(pk__in=moments).order_by("pk")
    rows = known.select_for_update(skip_locked=True).only("pk", "last_used_at")
    newer = [row for row in rows if row.last_used_at is None or row.last_used_at + USED_GRAIN < moments[row.pk]]
    for row in newer:
        row.last_used_at = moments[row.pk]
    ApiKey.objects.bulk_update(newer, ["last_used_at"], batch_size=500)


@transaction.atomic
def create_organisation_with_key(name: str, *, block_inline: bool) -> NewOrganisation:
    """Make an organisation, its default workspace, and an admin key with every scope that its type may hold."""
    organisation, workspace = create_organisation(name, block_inline=block_inline)
    key = create_api_key(system_actor(organisation), ORGANISATION_KEY, {"name": "Admin key"}, mode="auto")
    return NewOrganisation(organisation, workspace, key)


def create_workspace_key(actor: Principal, workspace: Workspace, name: str, **fields: Any) -> NewKey:
    """Make a service key of a workspace, as pages and commands do; `fields` as in `create_api_key`."""
    return create_api_key(actor, WORKSPACE_SERVICE_KEY, {"name": name, **fields}, workspace=workspace, mode="ui")
