"""What the gateway is given by the clouds, kept until shortly before it ends: once for all requests that need the same.

Who may ask is decided before (`pipeline/identity.py`); here is only the getting.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from data_plane.core.identity import (
    AwsIdentity,
    AwsKey,
    AzureIdentity,
    Granted,
    IdentityAsk,
    OwnIdentity,
)
from data_plane.providers._aws_account import granted_key, identity_name
from data_plane.upstream.client import UpstreamClient
from data_plane.upstream.identity.aws import Aws
from data_plane.upstream.identity.azure import Azure
from data_plane.upstream.identity.google import Google
from data_plane.upstream.identity.machine import Machine
from data_plane.upstream.renewed import Renewed
from shared.redact import Secret

#: Clouds have the next key or token ready five minutes before the last one ends.
EARLY_S: Final = 120.0


class Identities:
    """The identities of one process; `allowed` says who may use the gateway's own."""

    def __init__(
        self,
        machine: Machine,
        aws: Aws,
        azure: Azure,
        google: Google,
        *,
        allowed: OwnIdentity,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.allowed = allowed
        self._machine = machine
        self._aws, self._azure, self._google = aws, azure, google
        self._keys: Renewed[AwsKey] = Renewed(clock, early_s=EARLY_S)
        self._tokens: Renewed[Secret] = Renewed(clock, early_s=EARLY_S)

    async def get(self, ask: IdentityAsk) -> Granted:
        """Return what the asking account is given; raises IdentityRefused, and SourceRefused for what it names."""
        wanted = ask.wanted
        if isinstance(wanted, AwsIdentity):
            return granted_key(await self.aws_key(wanted))
        fetch = (
            partial(self._azure.token, wanted)
            if isinstance(wanted, AzureIdentity)
            else partial(self._google.token, wanted)
        )
        return Granted(await self._tokens.get(ask.key, fetch))

    async def aws_key(self, wanted: AwsIdentity) -> AwsKey:
        """Return an access key of an identity at AWS that holds for two minutes at least; raises IdentityRefused."""
        if wanted.role:
            return await self._keys.get(identity_name(wanted), partial(self._assume, wanted))
        if wanted.base is not None:
            return wanted.base
        return await self._keys.get(identity_name(wanted), partial(self._aws.own, wanted.region))

    async def _assume(self, wanted: AwsIdentity) -> tuple[AwsKey, float]:
        base = wanted.base or await self.aws_key(AwsIdentity(wanted.region))
        return await self._aws.assume(wanted, base)

    async def close(self) -> None:
        """Close every connection to the machine."""
        await self._machine.close()


def make_identities(
    client: UpstreamClient,
    variables: Mapping[str, str],
    *,
    allowed: OwnIdentity,
    folders: Sequence[Path] = (),
    trusted_hosts: Collection[str] = frozenset(),
) -> Identities:
    """Return the identities of a machine with these environment `variables`.

    `client` asks the clouds' token services; accounts may name files in `folders`.
    """
    machine = Machine(variables)
    google = Google(client, machine, folders=folders, trusted_hosts=trusted_hosts)
    return Identities(machine, Aws(client, machine), Azure(client, machine), google, allowed=allowed)
