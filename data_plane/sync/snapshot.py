"""The configuration in use: immutable, complete, swapped whole.

A request takes `holder.current` once and keeps it to its end, so it never mixes two revisions.  Revocations do not
wait for a revision: they are in `holder.denied`, which is looked at when a request starts and while a stream runs.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from data_plane.providers._custom import build_provider
from data_plane.providers.base import Provider
from data_plane.sync.secrets import SecretOpener
from data_plane.sync.tables import EmptyTable, Table
from shared.bundle.model import Identity, Manifest
from shared.errors import Quarantined
from shared.pricing import PriceBook
from shared.routing.compile import compile_plan
from shared.routing.plan import Plan
from shared.schema.config import parse_config
from shared.schema.rows import (
    ApiKeyRow,
    ConfigRow,
    CustomProviderRow,
    GatewayPolicyRow,
    OrgRow,
    ProviderPricesRow,
    SecretRow,
    VirtualKeyRow,
    WorkspaceRow,
)

KINDS: Final[Mapping[str, type[msgspec.Struct]]] = {
    "orgs": OrgRow,
    "workspaces": WorkspaceRow,
    "api_keys": ApiKeyRow,
    "custom_providers": CustomProviderRow,
    "virtual_keys": VirtualKeyRow,
    "secrets": SecretRow,
    "configs": ConfigRow,
    "prices": ProviderPricesRow,
    "gateway": GatewayPolicyRow,
}

DEFAULT_POLICY: Final = GatewayPolicyRow(id="policy")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that requests need of one revision."""

    identity: Identity
    version: tuple[int, int]
    orgs: Table[OrgRow]
    workspaces: Table[WorkspaceRow]
    api_keys: Table[ApiKeyRow]
    custom_providers: Table[CustomProviderRow]
    virtual_keys: Table[VirtualKeyRow]
    secrets: Table[SecretRow]
    configs: Table[ConfigRow]
    prices: Table[ProviderPricesRow]
    gateway: Table[GatewayPolicyRow]
    opener: SecretOpener
    price_book: PriceBook
    _plans: dict[str, Plan] = field(default_factory=dict)
    _built: dict[str, Provider] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Return the revision as records name it: `epoch.seq`."""
        return f"{self.version[0]}.{self.version[1]}"

    def plan(self, workspace: str, slug: str) -> Plan | None:
        """Return the compiled config `slug` of a workspace, None when there is none; compiled on first use."""
        row_id = f"{workspace}/{slug}"
        plan = self._plans.get(row_id)
        if plan is None:
            row = self.configs.get(row_id)
            if row is None:
                return None
            key = f"{row_id}@{row.version}"
            plan = compile_plan(parse_config(row.body), slug=row.slug, version=row.version, key=key)
            self._plans[row_id] = plan
        return plan

    def custom_provider(self, organisation: str, slug: str) -> Provider | None:
        """Return the provider that an organisation added as `slug`, None when there is none; built on first use.

        Raises Quarantined for a row that cannot be used.
        """
        row_id = f"{organisation}/{slug}"
        provider = self._built.get(row_id)
        if provider is None:
            row = self.custom_providers.get(row_id)
            if row is None:
                return None
            try:
                provider = build_provider(row)
            except ValueError:
                raise Quarantined(f"The custom provider {slug} is not valid.") from None
            self._built[row_id] = provider
        return provider


def build_snapshot(
    manifest: Manifest,
    blobs: Mapping[str, bytes],
    opener: SecretOpener,
    previous: Snapshot | None = None,
) -> Snapshot:
    """Return the snapshot of a verified manifest; a section that did not change keeps its decoded rows.

    `blobs` are packed blobs by digest, already checked.  Raises BundleRejected for an index that cannot be read.
    """
    tables: dict[str, Any] = {}
    for name, kind in KINDS.items():
        section = manifest.sections.get(name)
        old: Table[Any] | None = getattr(previous, name) if previous else None
        if section is None:
            tables[name] = EmptyTable(name, kind)
        elif old is not None and old.section == section:
            tables[name] = old
        else:
            tables[name] = Table(name, kind, section, blobs)
    kept = previous is not None and previous.prices is tables["prices"]
    book = previous.price_book if previous is not None and kept else PriceBook(tables["prices"])
    same = previous is not None and previous.custom_providers is tables["custom_providers"]
    built = previous._built if previous is not None and same else {}  # noqa: SLF001 -- handed on to its own kind
    identity = Identity(manifest.org, manifest.group)
    return Snapshot(identity, manifest.version, **tables, opener=opener, price_book=book, _built=built)


class Holder:
    """Where the current snapshot and the revocations are; changed by the link to the agent, read by requests."""

    def __init__(self) -> None:
        self.current: Snapshot | None = None
        self.denied: frozenset[str] = frozenset()
        self.denied_changes = 0
        self.connected = False
        self._swapped = asyncio.Event()

    def swap(self, snapshot: Snapshot) -> None:
        """Make `snapshot` the current one, for requests that start from now on."""
        self.current = snapshot
        self._swapped.set()
        self._swapped = asyncio.Event()

    def deny(self, denied: frozenset[str]) -> None:
        """Replace the set of revoked ids."""
        if denied != self.denied:
            self.denied = denied
            self.denied_changes += 1

    async def wait_newer(self, than: Snapshot, timeout_s: float) -> Snapshot | None:
        """Return a newer snapshot as soon as one is active; None when none came within `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                while self.current is than:
                    await self._swapped.wait()
        except TimeoutError:
            return None
        return self.current
