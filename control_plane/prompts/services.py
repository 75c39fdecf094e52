"""Changes of labels and collections.

Label names are compared across an organisation's own and each workspace's, and a collection's place with the whole
tree, so changes of each wait for one another: on the row of the organisation, or of the workspace.
"""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from control_plane.core import audit
from control_plane.core.errors import Conflict, Denied, Invalid
from control_plane.core.fields import slug_of
from control_plane.core.outbox import touch
from control_plane.core.principal import Principal
from control_plane.core.tenancy import by_id_or_slug, visible_to
from control_plane.orgs.models import Organisation, Workspace
from control_plane.prompts.models import Collection, Label
from control_plane.prompts.serializers import collection_json, label_json
from shared.ids import make_slug

Json = Mapping[str, Any]
BUILTIN_LABELS: Final = ("production", "staging", "development")
DEFAULT_COLLECTION_NAME: Final = "Default"
#: How many collections may lie in one another.
MAX_DEPTH: Final = 8


def _refuse_beyond_reach(actor: Principal, label: Label) -> None:
    if not actor.sees_workspace(label.workspace_id):
        raise Denied("A label of the whole organisation is changed with a key of the organisation.")


def _claim_name(label: Label) -> None:
    """Raise Conflict when a version could be asked for by this name under another label."""
    Organisation.objects.select_for_update(no_key=True).get(pk=label.organisation_id)
    others = Label.objects.filter(organisation_id=label.organisation_id, name=label.name).exclude(pk=label.pk)
    if label.workspace_id is not None:
        # A universal one is in every workspace.
        others = others.filter(Q(workspace=None) | Q(workspace_id=label.workspace_id))
    if others.exists():
        raise Conflict(f"There is a label {label.name!r} already.")


def _assign(label: Label, given: Json) -> None:
    label.name = given.get("name", label.name)
    for field in ("description", "color_code"):
        if field in given:
            setattr(label, field, given[field] or "")


@transaction.atomic
def create_label(actor: Principal, workspace: Workspace | None, given: Json) -> Label:
    """Make a label of `name`, `description`, `color_code`; `workspace` None: for every workspace.

    Raises Conflict for a name that is taken there, Denied for a universal one by whoever reaches one workspace.
    """
    label = Label(organisation_id=actor.organisation_id, workspace=workspace)
    _refuse_beyond_reach(actor, label)
    _assign(label, given)
    _claim_name(label)
    label.save()
    audit.record(actor, "create", label, after=label_json(label))
    touch(label.organisation_id, ())
    return label


@transaction.atomic
def update_label(actor: Principal, label: Label, given: Json) -> Label:
    """Change what `given` names.  Raises as `create_label` does, and Invalid for another name of a built-in one."""
    _refuse_beyond_reach(actor, label)
    before = label_json(label)
    if label.is_builtin and given.get("name", label.name) != label.name:
        raise Invalid(f"name: {label.name!r} is built in and keeps its name")
    _assign(label, given)
    _claim_name(label)
    label.save()
    audit.record(actor, "update", label, before=before, after=label_json(label))
    touch(label.organisation_id, ())
    return label


@transaction.atomic
def delete_label(actor: Principal, label: Label) -> None:
    """Delete a label.  Raises Invalid for a built-in one, Denied as `create_label` does."""
    _refuse_beyond_reach(actor, label)
    if label.is_builtin:
        raise Invalid(f"The label {label.name!r} is built in and cannot be deleted.")
    audit.record(actor, "delete", label, before=label_json(label))
    label.delete()
    touch(actor.organisation_id, ())


@transaction.atomic
def make_builtin_labels(actor: Principal) -> list[Label]:
    """Make the labels that every organisation has, and return those that the actor's did not have yet."""
    known = set(
        Label.objects.filter(organisation_id=actor.organisation_id, workspace=None).values_list("name", flat=True)
    )
    made = []
    for name in BUILTIN_LABELS:
        if name not in known:
            label = Label.objects.create(organisation_id=actor.organisation_id, name=name, is_builtin=True)
            audit.record(actor, "create", label, after=label_json(label))
            made.append(label)
    return made


def _free_slug(workspace: Workspace, name: str) -> str:
    slug = slug_of(name, "collection")
    is_taken = Collection.objects.filter(workspace=workspace, slug=slug).exists()
    return make_slug(slug, 6) if is_taken else slug


def _lock_tree(workspace_id: UUID) -> dict[UUID, UUID | None]:
    """Return the parent of each collection of a workspace; until the transaction ends nobody else changes one."""
    Workspace.objects.select_for_update(no_key=True).get(pk=workspace_id)
    return dict(Collection.objects.filter(workspace_id=workspace_id).values_list("pk", "parent_id"))


def _path(parents: Mapping[UUID, UUID | None], of: UUID | None) -> list[UUID]:
    """Return a collection and what it lies in, the innermost first."""
    path = []
    while of is not None:
        path.append(of)
        of = parents.get(of)
    return path


def _parent(actor: Principal, workspace_id: UUID, named: str) -> Collection:
    rows = visible_to(Collection.objects.filter(workspace_id=workspace_id), actor)
    found = rows.filter(by_id_or_slug(named)).first()
    if found is None:
        raise Invalid("parent_collection_id: no such collection in the workspace")
    return found


def _refuse_depth(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise Invalid(f"parent_collection_id: at most {MAX_DEPTH} collections lie in one another")


@transaction.atomic
def create_collection(actor: Principal, workspace: Workspace, name: str, parent: str | None = None) -> Collection:
    """Make a collection in `parent` (slug or UUID; None: at the top).

    Raises Invalid for a parent that there is none of in the workspace, or that lies too deep.
    """
    parents = _lock_tree(workspace.pk)
    inside = _parent(actor, workspace.pk, parent) if parent else None
    _refuse_depth(1 + len(_path(parents, inside.pk if inside else None)))
    row = Collection.objects.create(
        organisation_id=workspace.organisation_id,
        workspace=workspace,
        parent=inside,
        slug=_free_slug(workspace, name),
        name=name,
    )
    audit.record(actor, "create", row, after=collection_json(row))
    touch(row.organisation_id, ())
    return row


def _move(actor: Principal, row: Collection, named: str | None) -> None:
    """Put a collection, with all that is in it, into another one.  Raises Invalid when that cannot be."""
    parents = _lock_tree(row.workspace_id)
    inside = _parent(actor, row.workspace_id, named) if named else None
    above = _path(parents, inside.pk if inside else None)
    if row.pk in above:
        raise Invalid("parent_collection_id: a collection cannot lie in itself")
    if row.is_default and inside is not None:
        raise Invalid("parent_collection_id: the default collection stays at the top")
    below = [path.index(row.pk) + 1 for path in (_path(parents, each) for each in parents) if row.pk in path]
    _refuse_depth(len(above) + max(below, default=1))
    row.parent = inside


@transaction.atomic
def update_collection(actor: Principal, row: Collection, given: Json) -> Collection:
    """Change what `given` names: `name`, `parent_collection_id` (None: to the top).  Raises Invalid as making does."""
    before = collection_json(row)
    row.name = given.get("name", row.name)
    if "parent_collection_id" in given:
        _move(actor, row, given["parent_collection_id"])
    row.save()
    audit.record(actor, "update", row, before=before, after=collection_json(row))
    touch(row.organisation_id, ())
    return row


@transaction.atomic
def delete_collection(actor: Principal, row: Collection) -> None:
    """Delete an empty collection.  Raises Invalid for the default one, Conflict while there are others in it."""
    if row.is_default:
        raise Invalid("The default collection cannot be deleted.")
    _lock_tree(row.workspace_id)
    children = row.children.count()
    if children:
        raise Conflict(f"The collection still has others in it: {children}. Delete them first.")
    audit.record(actor, "delete", row, before=collection_json(row))
    row.delete()
    touch(actor.organisation_id, ())


@transaction.atomic
def default_collection(actor: Principal, workspace: Workspace) -> Collection:
    """Return the collection of prompts that name none, made when the workspace has none yet."""
    Workspace.objects.select_for_update(no_key=True).get(pk=workspace.pk)
    row = Collection.objects.filter(workspace=workspace, is_default=True).first()
    if row is None:
        slug = _free_slug(workspace, DEFAULT_COLLECTION_NAME)
        row = Collection.objects.create(
            organisation_id=workspace.organisation_id,
            workspace=workspace,
            slug=slug,
            name=DEFAULT_COLLECTION_NAME,
            is_default=True,
        )
        audit.record(actor, "create", row, after=collection_json(row))
    return row
