"""The configuration in use: immutable, complete, swapped whole.

A request takes `holder.current` once and keeps it to its end, so it never mixes two revisions.  Revocations do not
wait for a revision: they are in `holder.denied`, which is looked at when a request starts and while a stream runs.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import msgspec

from data_plane.providers._custom import build_provider
from data_plane.providers.base import Provider
from data_plane.sync.secrets import SecretOpener
from data_plane.sync.tables import EmptyTable, Table
from shared.bundle.model import Identity, Manifest
from shared.errors import Quarantined
from shared.own_prices import OwnPriceBook
from shared.price_book import PriceBook
from shared.routing.compile import compile_plan
from shared.routing.plan import Plan
from shared.schema.config import parse_config
from shared.schema.limits import RatePolicyRow, UsagePolicyRow
from shared.schema.rows import (
    ApiKeyRow,
    ConfigRow,
    CustomProviderRow,
    GatewayPolicyRow,
    IntegrationPricesRow,
    OrgRow,
    ProviderPricesRow,
    SecretRow,
    TokenKeysRow,
    VirtualKeyRow,
    WorkspaceRow,
)
from shared.unpriced import Unpriced

KINDS: Final[Mapping[str, type[msgspec.Struct]]] = {
    "orgs": OrgRow,
    "workspaces": WorkspaceRow,
    "token_keys": TokenKeysRow,
    "api_keys": ApiKeyRow,
    "rate_policies": RatePolicyRow,
    "usage_policies": UsagePolicyRow,
    "custom_providers": CustomProviderRow,
    "virtual_keys": VirtualKeyRow,
    "secrets": SecretRow,
    "configs": ConfigRow,
    "prices": ProviderPricesRow,
    "integration_prices": IntegrationPricesRow,
    "gateway": GatewayPolicyRow,
}

DEFAULT_POLICY: Final = GatewayPolicyRow(id="policy")


PolicyT = TypeVar("PolicyT", RatePolicyRow, UsagePolicyRow)


def _policies_of(
    workspace: WorkspaceRow, table: Table[PolicyT], known: dict[str, tuple[PolicyT, ...]]
) -> tuple[PolicyT, ...]:
    """Return the policies that hold for a workspace, from `known` where they were looked for before."""
    found = known.get(workspace.id)
    if found is None:
        rows = table.below("") if table.section.rows else ()
        found = tuple(row for row in rows if row.org == workspace.org and row.ws in {None, workspace.id})
        known[workspace.id] = found
    return found


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that requests need of one revision."""

    identity: Identity
    version: tuple[int, int]
    orgs: Table[OrgRow]
    workspaces: Table[WorkspaceRow]
    token_keys: Table[TokenKeysRow]
    api_keys: Table[ApiKeyRow]
    rate_policies: Table[RatePolicyRow]
    usage_policies: Table[UsagePolicyRow]
    custom_providers: Table[CustomProviderRow]
    virtual_keys: Table[VirtualKeyRow]
    secrets: Table[SecretRow]
    configs: Table[ConfigRow]
    prices: Table[ProviderPricesRow]
    integration_prices: Table[IntegrationPricesRow]
    gateway: Table[GatewayPolicyRow]
    opener: SecretOpener
    price_book: PriceBook
    own_prices: OwnPriceBook
    unpriced: Unpriced
    _plans: dict[str, Plan] = field(default_factory=dict)
    _built: dict[str, Provider] = field(default_factory=dict)
    _by_slug: dict[tuple[str, str], WorkspaceRow] = field(default_factory=dict)
    _rate_policies: dict[str, tuple[RatePolicyRow, ...]] = field(default_factory=dict)
    _usage_policies: dict[str, tuple[UsagePolicyRow, ...]] = field(default_factory=dict)

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

    def workspace_named(self, organisation: str, name: str) -> WorkspaceRow | None:
        """Return the workspace of an organisation by its id or slug, None when there is none."""
        row = self.workspaces.get(name)
        if row is not None:
            return row if row.org == organisation else None
        if not self._by_slug:
            self._by_slug.update({(each.org, each.slug): each for each in self.workspaces.below("")})
        return self._by_slug.get((organisation, name))

    def rate_policies_of(self, workspace: WorkspaceRow) -> tuple[RatePolicyRow, ...]:
        """Return the policies of rate for calls of a workspace: its own, and those of its organisation."""
        return _policies_of(workspace, self.rate_policies, self._rate_policies)

    def usage_policies_of(self, workspace: WorkspaceRow) -> tuple[UsagePolicyRow, ...]:
        """Return the budgets by policy for calls of a workspace: its own, and those of its organisation."""
        return _policies_of(workspace, self.usage_policies, self._usage_policies)

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
    book, own = _price_books(tables, previous)
    same = previous is not None and previous.prices is tables["prices"]
    unpriced = previous.unpriced if previous is not None and same else Unpriced(tables["prices"])
    same = previous is not None and previous.custom_providers is tables["custom_providers"]
    built = previous._built if previous is not None and same else {}  # noqa: SLF001 -- handed on to its own kind
    identity = Identity(manifest.org, manifest.group)
    return Snapshot(
        identity, manifest.version, **tables, opener=opener, price_book=book, own_prices=own, unpriced=unpriced,
        _built=built,
    )  # fmt: skip


def _price_books(tables: dict[str, Any], previous: Snapshot | None) -> tuple[PriceBook, OwnPriceBook]:
    """Return where prices are found; what was found before stays known as long as the rows are the same."""
    lists, rows = tables["prices"], tables["integration_prices"]
    if previous is None or previous.prices is not lists:
        book = PriceBook(lists)
        return book, OwnPriceBook(rows, book)
    same = previous.integration_prices is rows
    return previous.price_book, previous.own_prices if same else OwnPriceBook(rows, previous.price_book)


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
