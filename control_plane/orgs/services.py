"""Changes of organisations, workspaces and memberships; each with its audit row and outbox row."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from uuid import UUID

from django.db import models, transaction
from django.dispatch import Signal

from control_plane.accounts.models import User
from control_plane.core import audit
from control_plane.core.errors import Conflict, Invalid
from control_plane.core.fields import slug_of
from control_plane.core.outbox import touch
from control_plane.core.principal import Principal, system_actor
from control_plane.core.roles import MEMBER, Standing, scopes_of, sees_own_data_only
from control_plane.core.scopes import ALL_SCOPES
from control_plane.orgs.defaults import checked_defaults
from control_plane.orgs.limits import keep_budget, load_used, make_budget
from control_plane.orgs.models import Membership, Organisation, Workspace, WorkspaceMembership
from control_plane.orgs.roles import WORKSPACE, custom, find_role, refuse_beyond
from control_plane.orgs.serializers import member_json, workspace_json
from shared.ids import make_slug

DEFAULT_WORKSPACE_NAME: Final = "Shared Team Workspace"
_OF_ORGANISATION: Final = ("name", "block_inline", "usage_limits", "rate_limits", "budget_rules")
#: What is kept where null takes it away.
_EMPTY: Final[Mapping[str, Any]] = {"rate_limits": [], "budget_rules": {}}
_FIELDS: Final = ("name", "payload_policy", "usage_limits")
#: Sent with `actor` and `workspace`, inside the transaction that makes it.
workspace_made: Final = Signal()


@transaction.atomic
def create_organisation(name: str, *, block_inline: bool) -> tuple[Organisation, Workspace]:
    """Make an organisation and its default workspace.  Raises Invalid for a name that is blank or too long."""
    name = name.strip()
    if not name or len(name) > 255 or "\x00" in name:
        raise Invalid("the name of an organisation has 1 to 255 characters")
    organisation = Organisation.objects.create(
        name=name, slug=make_slug(slug_of(name, "organisation"), 6), block_inline=block_inline
    )
    actor = system_actor(organisation)
    audit.record(actor, "create", organisation, after={"name": name, "block_inline": block_inline})
    workspace = create_workspace(actor, DEFAULT_WORKSPACE_NAME, is_default=True)
    touch(organisation, ["orgs"])
    return organisation, workspace


@transaction.atomic
def update_organisation(actor: Principal, given: Mapping[str, Any]) -> Organisation:
    """Change what `given` names of the actor's organisation.

    It may be `name`, `block_inline` (its saved-only mode), `usage_limits`, `rate_limits` and `budget_rules` (see
    `limits.py`).  `reset_usage`: what was used until now does not count any more.
    """
    organisation = load_used(Organisation.objects.select_for_update(no_key=True).get(pk=actor.organisation_id))
    before = {name: getattr(organisation, name) for name in _OF_ORGANISATION}
    for name in _OF_ORGANISATION:
        value = given.get(name, before[name])
        setattr(organisation, name, _EMPTY.get(name) if value is None else value)
    organisation.save()
    keep_budget(actor, organisation, given)
    after = {name: getattr(organisation, name) for name in _OF_ORGANISATION}
    audit.record(actor, "update", organisation, before=before, after=after)
    touch(organisation, ["orgs"])
    return organisation


@transaction.atomic
def create_workspace(
    actor: Principal, name: str, *, is_default: bool = False, users: Iterable[UUID] = (), **fields: Any
) -> Workspace:
    """Make a workspace of the actor's organisation, with `users` as members of it.

    `fields` are `description`, `defaults`, `payload_policy`, `usage_limits`, `rate_limits`.  Raises Invalid when a
    user does not belong to the organisation, or a default is not found.
    """
    workspace = Workspace(organisation_id=actor.organisation_id, is_default=is_default)
    _assign(workspace, {"name": name, **fields})
    workspace.save()
    make_budget(workspace)
    for user_id in users:
        add_workspace_user(actor, workspace, user_id, "member")
    audit.record(actor, "create", workspace, after=workspace_json(workspace))
    workspace_made.send(sender=Workspace, actor=actor, workspace=workspace)
    touch(workspace.organisation_id, ["workspaces"])
    return workspace


def _assign(workspace: Workspace, given: Mapping[str, Any]) -> None:
    """Put the given values into the row; None clears what may be empty."""
    for field in _FIELDS:
        if field in given:
            setattr(workspace, field, given[field])
    if "description" in given:
        workspace.description = given["description"] or ""
    if "rate_limits" in given:
        workspace.rate_limits = given["rate_limits"] or []
    if "defaults" in given:
        workspace.defaults = checked_defaults(workspace, given["defaults"])


@transaction.atomic
def update_workspace(actor: Principal, workspace: Workspace, given: Mapping[str, Any]) -> Workspace:
    """Change what `given` names of a workspace; fields as in `create_workspace`.

    `reset_usage`: what was used until now does not count any more.
    """
    before = workspace_json(workspace)
    _assign(workspace, given)
    workspace.save()
    keep_budget(actor, workspace, given)
    audit.record(actor, "update", workspace, before=before, after=workspace_json(workspace))
    touch(workspace.organisation_id, ["workspaces"])
    return workspace


def _held_by(workspace: Workspace) -> Iterator[tuple[models.QuerySet[Any], models.QuerySet[Any]]]:
    """Yield, for each kind of resource, the rows that keep the workspace, and those that go with it."""
    for relation in Workspace._meta.get_fields(include_hidden=True):  # noqa: SLF001 -- Django's documented API
        if isinstance(relation, models.ManyToOneRel) and relation.on_delete is models.PROTECT:
            model: Any = relation.related_model
            rows = model.objects.filter(**{relation.field.name: workspace})
            going: models.Q | None = getattr(model, "goes_with_workspace", None)
            yield (rows, rows.none()) if going is None else (rows.exclude(going), rows.filter(going))


def resources_of(workspace: Workspace) -> dict[str, int]:
    """Return how many rows of each kind keep the workspace from being deleted; kinds without any are left out."""
    counts = {str(rows.model._meta.verbose_name_plural): rows.count() for rows, _ in _held_by(workspace)}  # noqa: SLF001 -- Django's documented API
    return {kind: count for kind, count in counts.items() if count}


@transaction.atomic
def delete_workspace(actor: Principal, workspace: Workspace) -> None:
    """Delete an empty workspace.  Raises Invalid for the default one, Conflict while it has resources."""
    if workspace.is_default:
        raise Invalid("The default workspace cannot be deleted.")
    left = resources_of(workspace)
    if left:
        listed = ", ".join(f"{count} {kind}" for kind, count in sorted(left.items()))
        raise Conflict(f"The workspace still has resources: {listed}. Delete them first.")
    for _, going in _held_by(workspace):
        for row in going:
            audit.record(actor, "delete", row, before={"name": str(row), "reason": "its workspace was deleted"})
        going.delete()
    audit.record(actor, "delete", workspace, before=workspace_json(workspace))
    organisation_id = workspace.organisation_id
    workspace.delete()
    touch(organisation_id, ["workspaces"])


@transaction.atomic
def add_member(actor: Principal, user: User, role: str) -> Membership:
    """Make `user` a member of the actor's organisation, or give them another role."""
    membership, _ = Membership.objects.update_or_create(
        organisation_id=actor.organisation_id, user=user, defaults={"role": role}
    )
    audit.record(actor, "create", membership, after={"user_id": str(user.pk), "role": role})
    return membership


def refuse_role_in(actor: Principal, workspace: Workspace, named: str) -> None:
    """Raise Denied for a role that may do more than the actor in a workspace, Invalid when there is no such role."""
    word, custom_role = find_role(workspace.organisation_id, WORKSPACE, named)
    if custom_role is not None or word != MEMBER:
        refuse_beyond(actor, scopes_of(Standing(MEMBER, word, custom=custom(custom_role))), workspace.pk)


@transaction.atomic
def add_workspace_user(actor: Principal, workspace: Workspace, user_id: UUID, role: str) -> WorkspaceMembership:
    """Let a member of the organisation join a workspace, or give them another role in it, built in or custom.

    Raises Invalid when the user does not belong to the organisation, or there is no such role, Denied for a role that
    may do more than the actor.
    """
    refuse_role_in(actor, workspace, role)
    return join_workspace(actor, workspace, user_id, role)


@transaction.atomic
def join_workspace(actor: Principal, workspace: Workspace, user_id: UUID, role: str) -> WorkspaceMembership:
    """Do what `add_workspace_user` does for somebody who was let in before, when that was checked."""
    members = Membership.objects.select_related("custom_role").filter(organisation_id=workspace.organisation_id)
    membership = members.filter(user_id=user_id).first()
    if membership is None:
        raise Invalid(f"users: {user_id} is no member of the organisation")
    word, custom_role = find_role(workspace.organisation_id, WORKSPACE, role)
    member, made = WorkspaceMembership.objects.update_or_create(
        workspace=workspace, user_id=user_id, defaults={"role": word, "custom_role": custom_role}
    )
    audit.record(actor, "create" if made else "update", member, after=member_json(member, membership.role_name))
    return member


@transaction.atomic
def remove_workspace_user(actor: Principal, member: WorkspaceMembership) -> None:
    """Take a user out of a workspace."""
    audit.record(actor, "delete", member, before={"user_id": str(member.user_id), "role": member.role})
    member.delete()


def principal_of_user(user: User, organisation_id: UUID | None = None) -> Principal | None:
    """Return what a signed-in person is in one of their organisations, by default the first that they joined.

    None when they belong to none, or not to that one.  Owners and admins reach every workspace, members those that
    they joined.
    """
    memberships = Membership.objects.filter(user=user, organisation__status="active").order_by("created_at", "pk")
    if organisation_id is not None:
        memberships = memberships.filter(organisation_id=organisation_id)
    membership = memberships.select_related("organisation", "custom_role").first()
    if membership is None or not user.is_active:
        return None
    standings = _standings(membership)
    by_workspace = {workspace_id: scopes_of(standing) for workspace_id, standing in standings.items() if workspace_id}
    own = frozenset(each for each, standing in standings.items() if each and sees_own_data_only(standing))
    return Principal(
        kind="user",
        id=str(user.pk),
        name=user.email,
        organisation_id=membership.organisation_id,
        workspace_ids=None if None in standings else frozenset(by_workspace),
        scopes=frozenset[str]().union(
            *by_workspace.values(), *(scopes_of(standings[each]) for each in (None,) if each in standings)
        ),
        user_id=user.pk,
        by_workspace=by_workspace,
        own_data_in=own,
        standings=standings,
    )


def permissions_of(user: User, organisation_id: UUID, workspace_id: UUID | None) -> list[dict[str, Any]]:
    """Return, for every scope, whether a person has it in a workspace (None: anywhere), else by which rule not."""
    principal = principal_of_user(user, organisation_id)
    if principal is None:
        return []
    verdicts = {scope: principal.why_not(scope, workspace_id) for scope in sorted(ALL_SCOPES)}
    return [
        {
            "scope": scope,
            "allowed": verdict.allowed,
            "rule": verdict.rule or None,
            "changed_by": verdict.changed_by or None,
        }
        for scope, verdict in verdicts.items()
    ]


def _standings(membership: Membership) -> dict[UUID | None, Standing]:
    """Return where a person stands, by workspace; None: in the organisation as a whole, for all but plain members."""
    switches = membership.organisation.access
    if membership.role != MEMBER or membership.custom_role is not None:
        return {None: Standing(membership.role, None, switches, custom(membership.custom_role))}
    joined = WorkspaceMembership.objects.select_related("custom_role", "workspace").filter(
        user_id=membership.user_id, workspace__organisation_id=membership.organisation_id
    )
    return {
        each.workspace_id: Standing(MEMBER, each.role, {**switches, **each.workspace.access}, custom(each.custom_role))
        for each in joined
    }
