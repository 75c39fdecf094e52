"""Changes of secret references: what gateways need to fetch a secret from where an organisation keeps it.

The secrets of the sign-in there are credentials like a provider's: in the vault, bound to the manager's hosts, and
shown masked from then on.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db import transaction
from django.dispatch import Signal

from control_plane.core import audit
from control_plane.core.errors import Conflict, Invalid
from control_plane.core.fields import slug_of
from control_plane.core.outbox import touch
from control_plane.core.principal import Principal
from control_plane.core.tenancy import by_id_or_slug, resolve_workspace
from control_plane.vault.models import SecretReference
from control_plane.vault.serializers import reference_json
from control_plane.vault.services import NO_KEY, Opened, open_secret, replace_secret, store_secret
from control_plane.vault.sign_in import MASK, checked_config, hosts_of, merged_config, way_of
from shared.ids import make_slug
from shared.redact import Secret

Json = Mapping[str, Any]
SECTIONS: Final = ("secrets",)
#: Asked which objects use a `reference`; receivers return a list of User.
asked_for_users: Final = Signal()
_SHOWN: Final = 10


class User(NamedTuple):
    """What uses a secret reference, as people know it, and its workspace; None: the organisation as a whole."""

    name: str
    workspace_id: UUID | None


def find_reference(organisation_id: UUID, named: str) -> SecretReference | None:
    """Return the secret reference of an organisation that `named` means, by UUID or slug; None for none."""
    return SecretReference.objects.filter(by_id_or_slug(named), organisation_id=organisation_id).first()


def is_allowed_in(reference: SecretReference, workspace_id: UUID | None) -> bool:
    """Return whether a workspace may use a reference; None: whether all of the organisation's may."""
    if reference.allow_all_workspaces:
        return True
    return workspace_id is not None and reference.allowed_workspaces.filter(pk=workspace_id).exists()


def _users(reference: SecretReference) -> list[User]:
    told: list[tuple[Any, Any]] = asked_for_users.send(sender=SecretReference, reference=reference)
    return [user for _, users in told for user in users or ()]


def _listed(users: list[User]) -> str:
    more = [f"and {len(users) - _SHOWN} more"] if len(users) > _SHOWN else []
    return ", ".join([*(user.name for user in users[:_SHOWN]), *more])


def _slug(actor: Principal, wanted: str | None, name: str) -> str:
    rows = SecretReference.objects.filter(organisation_id=actor.organisation_id)
    slug = wanted or slug_of(name, "secret")
    if not rows.filter(slug=slug).exists():
        return slug
    if wanted:
        raise Conflict(f"The slug {wanted!r} is taken.")
    return make_slug(slug, 6)


def _keep(
    reference: SecretReference, config: dict[str, str], hosts: tuple[str, ...], held: Mapping[str, Secret]
) -> None:
    """Put a whole sign-in into a row: what is secret into the vault, the rest beside it.

    What of `config` is masked stays as it is among `held`.
    """
    _, way = way_of(reference.manager_type, config)
    secrets = {name: held[name] if config[name] == MASK else Secret(config[name]) for name in way.secret}
    reference.auth_config = {name: value for name, value in config.items() if name not in way.secret}
    if not secrets:
        return
    if reference.secret is None:
        reference.secret = store_secret(reference.organisation_id, NO_KEY, hosts, secrets)
    else:
        reference.secret = replace_secret(reference.secret, NO_KEY, hosts, secrets)


def _change_sign_in(reference: SecretReference, given: Json) -> None:
    """Merge a change into the sign-in.  Raises Invalid when its secrets would follow it to other hosts."""
    kind = reference.manager_type
    opened = open_secret(reference.secret) if reference.secret else Opened(NO_KEY, ())
    shown = {**reference.auth_config, **dict.fromkeys(opened.settings, MASK)}
    config = checked_config(kind, merged_config(kind, shown, given))
    hosts = hosts_of(kind, config)
    _, way = way_of(kind, config)
    kept = sorted(name for name in way.secret if config[name] == MASK)
    if kept and hosts != opened.hosts:
        raise Invalid(f"auth_config.{kept[0]}: give it again when the address changes: it is bound to the old one")
    before = reference.secret
    if not way.secret:
        reference.secret = None
    _keep(reference, config, hosts, opened.settings)
    if reference.secret is None and before is not None:
        reference.save()
        before.delete()


def _take_workspaces(actor: Principal, reference: SecretReference, given: Json) -> None:
    """Say where a stored reference may be used.  Raises Invalid for what contradicts itself, Conflict while in use."""
    named, is_for_all = given.get("allowed_workspaces"), given.get("allow_all_workspaces")
    if named and is_for_all:
        raise Invalid("allowed_workspaces: either name workspaces or allow all of them")
    if named:
        workspaces = [resolve_workspace(actor, each) for each in named]
        outside = [user for user in _users(reference) if user.workspace_id not in {row.pk for row in workspaces}]
        if outside:
            raise Conflict(f"allowed_workspaces: it is in use elsewhere: {_listed(outside)}. Change these first.")
        reference.allow_all_workspaces = False
        reference.allowed_workspaces.set(workspaces)
    elif is_for_all:
        reference.allow_all_workspaces = True
        reference.allowed_workspaces.clear()
    elif is_for_all is False and not reference.allowed_workspaces.exists():
        raise Invalid("allowed_workspaces: is required when not all workspaces are allowed")


@transaction.atomic
def create_reference(actor: Principal, given: Json) -> SecretReference:
    """Make a reference of `name`, `manager_type`, `auth_config` (see `sign_in.WAYS`) and `secret_path`.

    It may have `slug`, `description`, `secret_key`, `tags`, and `allow_all_workspaces` or `allowed_workspaces` (UUIDs
    or slugs).  Raises Invalid for what does not fit together, Conflict for a slug that is taken.
    """
    kind = given["manager_type"]
    config = checked_config(kind, given["auth_config"])
    if MASK in config.values():
        raise Invalid("auth_config: a secret of it is masked")
    reference = SecretReference(
        organisation_id=actor.organisation_id,
        name=given["name"],
        slug=_slug(actor, given.get("slug"), given["name"]),
        description=given.get("description") or "",
        manager_type=kind,
        secret_path=given["secret_path"],
        secret_key=given.get("secret_key") or "",
        tags=given.get("tags"),
        created_by=actor.id,
    )
    _keep(reference, config, hosts_of(kind, config), {})
    reference.save()
    _take_workspaces(actor, reference, given)
    reference.save()
    audit.record(actor, "create", reference, after=reference_json(reference))
    touch(actor.organisation_id, SECTIONS)
    return reference


@transaction.atomic
def update_reference(actor: Principal, reference: SecretReference, given: Json) -> SecretReference:
    """Change what `given` names; of `auth_config`, too, what is not named stays.

    Raises Invalid for another `manager_type` or `slug`, for a sign-in that is not whole, and for an address that its
    secrets are not bound to; Conflict when it is taken from a workspace that uses it.
    """
    reference = SecretReference.objects.select_for_update().get(pk=reference.pk)
    before = reference_json(reference)
    for field in ("manager_type", "slug"):
        if given.get(field) not in {None, getattr(reference, field)}:
            raise Invalid(f"{field}: cannot be changed")
    if given.get("auth_config"):
        _change_sign_in(reference, given["auth_config"])
    for field in ("name", "secret_path", "tags"):
        if field in given:
            setattr(reference, field, given[field])
    for field in ("description", "secret_key"):
        if field in given:
            setattr(reference, field, given[field] or "")
    _take_workspaces(actor, reference, given)
    reference.save()
    audit.record(actor, "update", reference, before=before, after=reference_json(reference))
    touch(actor.organisation_id, SECTIONS)
    return reference


@transaction.atomic
def delete_reference(actor: Principal, reference: SecretReference) -> None:
    """Delete a reference with the secrets of its sign-in.  Raises Conflict, naming what still uses it."""
    reference = SecretReference.objects.select_for_update().get(pk=reference.pk)
    users = _users(reference)
    if users:
        raise Conflict(f"The secret reference is in use: {_listed(users)}. Change or delete these first.")
    audit.record(actor, "delete", reference, before=reference_json(reference))
    secret = reference.secret
    reference.delete()
    if secret is not None:
        secret.delete()
    touch(actor.organisation_id, SECTIONS)
