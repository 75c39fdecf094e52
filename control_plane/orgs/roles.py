"""Roles that an organisation makes of the permission matrix, beside the ones that every organisation has.

A custom role says all that its people may do: switches do not change it.  One of the organisation reaches every
workspace; one of workspaces holds where somebody was given it.
"""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from control_plane.core import audit
from control_plane.core.errors import Conflict, Denied, Invalid
from control_plane.core.fields import iso, slug_of
from control_plane.core.principal import Principal
from control_plane.core.roles import (
    IN_WORKSPACE,
    MEMBER,
    ORGANISATION_ROLES,
    WORKSPACE_ROLES,
    CustomRole,
    Standing,
    scopes_of,
)
from control_plane.core.scopes import ALL_SCOPES, DATA_PLANE
from control_plane.core.tenancy import by_id_or_slug
from control_plane.orgs.models import Membership, Organisation, Role, WorkspaceMembership
from shared.ids import make_slug

Json = dict[str, Any]

ORGANISATION, WORKSPACE = "organisation", "workspace"
#: What a role of each level may hold.
OF_LEVEL: Final = {ORGANISATION: ALL_SCOPES, WORKSPACE: IN_WORKSPACE | DATA_PLANE}
_BUILT_IN: Final = {ORGANISATION: ORGANISATION_ROLES, WORKSPACE: WORKSPACE_ROLES}
_TAKEN: Final = frozenset(ORGANISATION_ROLES) | frozenset(WORKSPACE_ROLES)


def role_json(row: Role) -> Json:
    """Return a custom role as the API shows it."""
    return {
        "id": str(row.pk),
        "slug": row.slug,
        "name": row.name,
        "description": row.description or None,
        "organisation_id": str(row.organisation_id),
        "level": row.level,
        "scopes": row.scopes,
        "own_data_only": row.own_data_only,
        "created_at": iso(row.created_at),
        "last_updated_at": iso(row.last_updated_at),
        "object": "role",
    }


def custom(row: Role | None) -> CustomRole | None:
    """Return a role as `core/roles.py` judges by it."""
    return None if row is None else CustomRole(row.slug, frozenset(row.scopes), row.own_data_only)


def refuse_beyond(actor: Principal, scopes: frozenset[str], workspace_id: UUID | None) -> None:
    """Raise Denied for scopes that the actor has not to give: no role is a way to more than its giver may do."""
    beyond = sorted(scopes - actor.may_give(workspace_id))
    if beyond:
        more = f" and {len(beyond) - 5} more" if len(beyond) > 5 else ""
        raise Denied(f"You cannot give what you may not do yourself: {', '.join(beyond[:5])}{more}.")


def _checked(actor: Principal, level: str, scopes: list[str]) -> list[str]:
    unfit = sorted(set(scopes) - OF_LEVEL[level])
    if unfit:
        raise Invalid(f"scopes: a role of the level {level} may not hold: {', '.join(unfit[:5])}")
    refuse_beyond(actor, frozenset(scopes), None)
    return sorted(set(scopes))


@transaction.atomic
def create_role(actor: Principal, given: Mapping[str, Any]) -> Role:
    """Make a role of `name`, `level`, `scopes`, and perhaps `slug`, `description`, `own_data_only`.

    Raises Invalid for scopes that the level may not hold, Denied for those that the actor may not give, Conflict for a
    slug that is taken.
    """
    level = given["level"]
    row = Role(organisation_id=actor.organisation_id, level=level, name=given["name"])
    row.slug = given.get("slug") or slug_of(given["name"], "role")
    if row.slug in _TAKEN or Role.objects.filter(organisation_id=actor.organisation_id, slug=row.slug).exists():
        if given.get("slug"):
            raise Conflict(f"There is a role {row.slug!r} already.")
        row.slug = make_slug(row.slug, 6)
    _assign(actor, row, given)
    row.save()
    audit.record(actor, "create", row, after=role_json(row))
    return row


def _assign(actor: Principal, row: Role, given: Mapping[str, Any]) -> None:
    row.name = given.get("name", row.name)
    row.description = (given["description"] or "") if "description" in given else row.description
    row.own_data_only = given.get("own_data_only", row.own_data_only)
    if row.own_data_only and row.level != WORKSPACE:
        raise Invalid("own_data_only: is for roles of workspaces")
    if "scopes" in given:
        row.scopes = _checked(actor, row.level, given["scopes"])


@transaction.atomic
def update_role(actor: Principal, row: Role, given: Mapping[str, Any]) -> Role:
    """Change what `given` names of a role; whoever has it may do what it says from their next call on.

    Raises as `create_role` does, and Invalid for another level or slug.
    """
    before = role_json(row)
    if given.get("level", row.level) != row.level or given.get("slug", row.slug) != row.slug:
        raise Invalid("level and slug of a role stay: make another role")
    _assign(actor, row, given)
    row.save()
    audit.record(actor, "update", row, before=before, after=role_json(row))
    return row


@transaction.atomic
def delete_role(actor: Principal, row: Role) -> None:
    """Delete a role that nobody has.  Raises Conflict while somebody has it."""
    locked = Role.objects.select_for_update().get(pk=row.pk)
    held = Membership.objects.filter(custom_role=locked).count()
    held += WorkspaceMembership.objects.filter(custom_role=locked).count()
    if held:
        raise Conflict(f"{held} people have this role: give them another one first.")
    audit.record(actor, "delete", locked, before=role_json(locked))
    locked.delete()


def named_role(name: str) -> Q:
    """Return the condition for memberships whose role is called so."""
    return Q(role=name, custom_role=None) | Q(custom_role__slug=name)


def find_role(organisation_id: UUID, level: str, named: str) -> tuple[str, Role | None]:
    """Return (a built-in role, None), or ("member", a custom one), that a request names by word, slug or UUID.

    The custom role stays as it is until the transaction ends.  Raises Invalid when there is none of that level.
    """
    if named in _BUILT_IN[level]:
        return named, None
    rows = Role.objects.select_for_update().filter(organisation_id=organisation_id, level=level)
    row = rows.filter(by_id_or_slug(named)).first()
    if row is None:
        raise Invalid(f"role: there is no role {named!r} of the level {level}")
    return "member", row


def matrix(organisation: Organisation) -> Json:
    """Return the scopes of every role in an organisation: of each built-in one as switched, and of each custom one."""
    switches = organisation.access
    built_in = [(ORGANISATION, role, Standing(role, None, switches)) for role in ORGANISATION_ROLES if role != MEMBER]
    built_in += [(WORKSPACE, role, Standing(MEMBER, role, switches)) for role in WORKSPACE_ROLES]
    told = [
        {"slug": role, "level": level, "is_built_in": True, "scopes": sorted(scopes_of(standing))}
        for level, role, standing in built_in
    ]
    made = Role.objects.filter(organisation=organisation)
    told += [{"slug": row.slug, "level": row.level, "is_built_in": False, "scopes": row.scopes} for row in made]
    return {"object": "permission-matrix", "scopes": sorted(ALL_SCOPES), "roles": told}
