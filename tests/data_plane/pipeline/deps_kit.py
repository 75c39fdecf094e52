"""What a request needs, around a snapshot of the test's making, without any HTTP in front of it."""

from contextlib import asynccontextmanager

from data_plane.core.identity import OwnIdentity
from data_plane.pipeline.deps import Deps
from data_plane.providers.registry import load_providers
from data_plane.sync.snapshot import Holder
from data_plane.upstream.client import UpstreamClient
from data_plane.upstream.identity.identities import make_identities
from data_plane.upstream.tokens import Tokens
from tests.data_plane.gateway_kit import TRUSTED, Recorded


@asynccontextmanager
async def deps_of(snapshot, **changes):
    """Yield deps on `snapshot`; nothing is waited for and the first target of a balance is drawn, unless changed."""
    holder = Holder()
    if snapshot is not None:
        holder.swap(snapshot)
    client = UpstreamClient(TRUSTED)
    fields = {
        "recorder": Recorded(),
        "propagation_wait_s": 0.0,
        "draw": lambda: 0.0,
        "gateway": "gw-test",
        "trusted_hosts": TRUSTED,
        **changes,
    }
    fields.setdefault("identities", make_identities(client, {}, allowed=OwnIdentity.OFF))
    yield Deps(holder=holder, providers=load_providers(), client=client, tokens=Tokens(client), **fields)
    await fields["identities"].close()
    await client.close()
