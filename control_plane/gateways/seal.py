"""The sealer: every provider credential is sealed to each gateway group that may use it, when it is written.

The publisher never decrypts anything; it publishes what was sealed here.  A group that enrols later gets the secrets
that exist already by `seal_for_group`, which is the only place that opens the vault for gateways.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec
import structlog
from django.db import connection
from django.db.models import Q
from django.dispatch import receiver

from control_plane.core.sealed import SecretUnreadable
from control_plane.gateways.models import GatewayGroup, SealedSecret
from control_plane.vault.models import VaultSecret
from control_plane.vault.services import Opened, open_secret, secret_stored
from shared.crypto.sealing import SealedTo, seal
from shared.schema.rows import SealedPlaintext

#: Any fixed number: it names the lock between those who write secrets and those who add a group.
SEALING_LOCK: Final = 0x67687365

log = structlog.get_logger(module=__name__)


def _lock_sealing(function: str) -> None:
    """Take the sealing lock until the transaction ends: shared by writers of secrets, exclusive for a new group.

    Without it a secret and a group written at the same moment would not see each other, and the secret would never
    be sealed for that group.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}(%s)", [SEALING_LOCK])


def groups_serving(organisation_id: Any) -> "Iterable[GatewayGroup]":
    """Return the active groups whose gateways serve an organisation."""
    return GatewayGroup.objects.filter(Q(serves_all=True) | Q(organisation_id=organisation_id), status="active")


def seal_to_group(group: GatewayGroup, secret: VaultSecret, opened: Opened) -> None:
    """Seal one secret to one group, unless that was done for this version."""
    binding = SealedTo(str(secret.organisation_id), str(group.id), str(secret.id), secret.version)
    further = {name: value.reveal() for name, value in opened.settings.items()}
    plain = msgspec.json.encode(SealedPlaintext(opened.key.reveal(), opened.hosts, further))
    SealedSecret.objects.get_or_create(
        group=group,
        secret=secret,
        version=secret.version,
        kid=group.sealing_kid,
        defaults={"sealed": seal(bytes(group.sealing_pub), plain, binding)},
    )


@receiver(secret_stored, dispatch_uid="gateways.seal")
def seal_on_write(sender: object, *, vault_secret: VaultSecret, opened: Opened, **_rest: object) -> None:
    """Seal a secret that is being written, in the same transaction."""
    _lock_sealing("pg_advisory_xact_lock_shared")
    for group in groups_serving(vault_secret.organisation_id):
        seal_to_group(group, vault_secret, opened)
        SealedSecret.objects.filter(group=group, secret=vault_secret).exclude(version=vault_secret.version).delete()


def seal_for_group(group: GatewayGroup) -> int:
    """Seal everything that `group` may use and does not have yet; return how many were sealed.

    A secret that cannot be decrypted is left out: it is of no use to anyone, and must not keep a group from enrolling.
    """
    _lock_sealing("pg_advisory_xact_lock")
    secrets = (
        VaultSecret.objects.all()
        if group.serves_all
        else VaultSecret.objects.filter(organisation_id=group.organisation_id)
    )
    sealed = 0
    for secret in secrets.iterator():
        has = SealedSecret.objects.filter(
            group=group, secret=secret, version=secret.version, kid=group.sealing_kid
        ).exists()
        if not has:
            try:
                opened = open_secret(secret)
            except SecretUnreadable:
                log.warning("secret_not_sealed", secret=str(secret.pk), group=str(group.pk))
                continue
            seal_to_group(group, secret, opened)
            sealed += 1
    return sealed
