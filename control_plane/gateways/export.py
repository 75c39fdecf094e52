"""What gateways themselves contribute to a bundle: sealed secrets, prices, and their own policy."""

import base64
from collections.abc import Iterable, Iterator

import msgspec

from control_plane.catalog.prices import price_rows
from control_plane.gateways.models import GatewayGroup, SealedSecret
from shared.schema.rows import GatewayPolicyRow, SecretRow


def export_secrets(group: GatewayGroup, organisation_ids: Iterable[object]) -> Iterator[SecretRow]:
    """Yield the sealed secrets of the organisations that `group` serves, in their newest version."""
    sealed = SealedSecret.objects.filter(
        group=group, kid=group.sealing_kid, secret__organisation_id__in=list(organisation_ids)
    ).select_related("secret")
    for row in sealed.iterator():
        if row.version == row.secret.version:
            yield SecretRow(
                str(row.secret_id), str(row.secret.organisation_id), row.version, row.kid,
                base64.b64encode(bytes(row.sealed)).decode(),
            )  # fmt: skip


def export_shared(section: str) -> Iterator[tuple[str, msgspec.Struct]]:
    """Yield (id, row) of a section that is the same for every group."""
    if section == "prices":
        for prices in price_rows():
            yield prices.id, prices
    elif section == "gateway":
        yield "policy", GatewayPolicyRow(id="policy")
