"""May this bundle go live?  Every row is decoded once, in the agent, before any worker sees the bundle.

A row that does not hold is quarantined: requests that need it are refused, everything else goes on, and a revocation
in the same bundle takes effect.  Only a bundle that is broken as a whole is rejected.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from data_plane.sync.secrets import SecretOpener
from data_plane.sync.snapshot import KINDS, Snapshot, build_snapshot
from data_plane.sync.tables import Table
from shared.bundle.model import BundleRejected, Manifest
from shared.errors import InvalidConfig, Quarantined
from shared.routing.compile import compile_plan
from shared.schema.config import parse_config

MAX_REPORTED: Final = 100
MAX_FAULTY_SHARE: Final = 0.05
#: Sections whose every row must hold: without them nothing can be decided.
ESSENTIAL: Final = frozenset({"orgs"})
#: A section below this size may shrink as it likes.
SHRINK_FROM_ROWS: Final = 20
SHRINK_GUARDED: Final = ("api_keys", "virtual_keys")


@dataclass(frozen=True, slots=True)
class Verdict:
    """A bundle that may go live: its snapshot, and the rows that may not be used (`section/id`)."""

    snapshot: Snapshot
    quarantined: tuple[str, ...]


def check_shrink(manifest: Manifest, previous: Manifest | None) -> None:
    """Raise BundleRejected when keys or providers vanish by more than half without the publisher's word for it."""
    if previous is None or manifest.allow_shrink:
        return
    for name in SHRINK_GUARDED:
        before, after = previous.sections.get(name), manifest.sections.get(name)
        rows = after.rows if after else 0
        if before is not None and before.rows >= SHRINK_FROM_ROWS and rows * 2 < before.rows:
            raise BundleRejected("schema_invalid", f"shrinks from {before.rows} to {rows} rows", section=name)


def _unusable_configs(snapshot: Snapshot) -> list[str]:
    found = []
    for row_id, _ in snapshot.configs.raw():
        try:
            row = snapshot.configs.get(row_id)
            if row is not None:
                compile_plan(parse_config(row.body))
        except (InvalidConfig, Quarantined):
            found.append(row_id)
    return found


def _unusable_providers(snapshot: Snapshot) -> list[str]:
    found = []
    for row_id, _ in snapshot.custom_providers.raw():
        organisation, _, slug = row_id.partition("/")
        try:
            snapshot.custom_provider(organisation, slug)
        except Quarantined:
            found.append(row_id)
    return found


def _unusable_secrets(snapshot: Snapshot) -> list[str]:
    """Open one secret of each key: a canary for a lost or wrong sealing key."""
    seen: set[str] = set()
    found = []
    for row_id, _ in snapshot.secrets.raw():
        try:
            row = snapshot.secrets.get(row_id)
            if row is None or row.kid in seen:
                continue
            seen.add(row.kid)
            snapshot.opener.open(row)
        except Quarantined:
            found.append(row_id)
    return found


def examine(manifest: Manifest, blobs: Mapping[str, bytes], opener: SecretOpener, previous: Snapshot | None) -> Verdict:
    """Return the verdict on a verified bundle; raises BundleRejected when it must not go live.

    Takes up to a second for a large bundle, so it runs in a thread of the agent, never in a worker.
    """
    snapshot = build_snapshot(manifest, blobs, opener, previous)
    quarantined: list[str] = []
    total = 0
    for name in KINDS:
        table: Table[Any] = getattr(snapshot, name)
        total += table.section.rows
        faulty = table.faulty()
        if faulty and name in ESSENTIAL:
            raise BundleRejected("schema_invalid", "an essential row is not valid", section=name, item=faulty[0])
        quarantined += [f"{name}/{row_id}" for row_id in faulty]
    quarantined += [f"configs/{row_id}" for row_id in _unusable_configs(snapshot)]
    quarantined += [f"custom_providers/{row_id}" for row_id in _unusable_providers(snapshot)]
    quarantined = list(dict.fromkeys(quarantined))
    if len(quarantined) > 1 and len(quarantined) > total * MAX_FAULTY_SHARE:
        raise BundleRejected("schema_invalid", f"{len(quarantined)} of {total} rows are not valid", item=quarantined[0])
    quarantined += [f"secrets/{row_id}" for row_id in _unusable_secrets(snapshot)]
    return Verdict(snapshot, tuple(quarantined[:MAX_REPORTED]))
