"""Who is this gateway at Azure?  The machine's managed identity, the cluster's workload, or one that trusts the former.

Source: https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token,
https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference,
https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow#third-case-access-token-request-with-a-federated-credential
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode

from data_plane.core.identity import AzureIdentity, AzureWay
from data_plane.core.types import UpstreamRequest
from data_plane.providers._azure import LOGIN
from data_plane.upstream.client import UpstreamClient
from data_plane.upstream.identity.machine import Machine, Told, ask, get, post, read_file, refused
from shared.redact import Secret

CLOUD: Final = "Azure"
#: What an application's trust in a managed identity is addressed to.
EXCHANGE: Final = "api://AzureADTokenExchange"
_MACHINE: Final = "http://169.254.169.254"
_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_DEFAULT: Final = "/.default"

#: A token, and for how many seconds it holds.
Lent = tuple[Secret, float]


class Azure:
    """Asks Azure and the machine for tokens."""

    def __init__(self, client: UpstreamClient, machine: Machine, wall_clock: Callable[[], float] = time.time) -> None:
        """`wall_clock` is in seconds since 1970: some services say only at what time a token ends."""
        self._client = client
        self._machine = machine
        self._now_s = wall_clock

    async def token(self, wanted: AzureIdentity) -> Lent:
        """Return a token for an identity; raises IdentityRefused."""
        said = self._machine.variable
        if wanted.way is AzureWay.MANAGED:
            return await self._managed(wanted.scope, wanted.client)
        if wanted.way is AzureWay.FEDERATED:
            proof, _ = await self._managed(EXCHANGE, wanted.client)
            return await self._by_assertion(wanted, proof.reveal(), wanted.tenant, wanted.application)
        step = "workload"
        file, tenant = said("AZURE_FEDERATED_TOKEN_FILE"), said("AZURE_TENANT_ID")
        client = wanted.client or said("AZURE_CLIENT_ID")
        if not file or not tenant or not client:
            raise refused(CLOUD, step, reason="none")
        told = await read_file(Path(file), cloud=CLOUD, step=step)
        return await self._by_assertion(wanted, told.decode(errors="replace").strip(), tenant, client)

    async def _managed(self, scope: str, client: str) -> Lent:
        step, said = "managed", self._machine.variable
        query = {"resource": scope.removesuffix(_DEFAULT), **({"client_id": client} if client else {})}
        place, proof = said("IDENTITY_ENDPOINT"), said("IDENTITY_HEADER")
        if place and proof:
            request = _managed(place, {"api-version": "2019-08-01", **query}, "x-identity-header", proof)
        else:
            base = said("AZURE_POD_IDENTITY_AUTHORITY_HOST") or _MACHINE
            place = base.rstrip("/") + "/metadata/identity/oauth2/token"
            request = _managed(place, {"api-version": "2018-02-01", **query}, "metadata", "true")
        return self._lent(await self._machine.ask(request, cloud=CLOUD, step=step), step)

    async def _by_assertion(self, wanted: AzureIdentity, proof: str, tenant: str, client: str) -> Lent:
        form = {
            "grant_type": "client_credentials", "client_id": client, "scope": wanted.scope,
            "client_assertion_type": _ASSERTION, "client_assertion": proof,
        }  # fmt: skip
        own = self._machine.variable("AZURE_AUTHORITY_HOST").rstrip("/")
        url = f"{own or LOGIN}/{quote(tenant, safe='')}/oauth2/v2.0/token"
        request = post(url, urlencode(form).encode())
        if own:
            return self._lent(await self._machine.ask(request, cloud=CLOUD, step=wanted.way), wanted.way)
        return self._lent(await ask(self._client, request, cloud=CLOUD, step=wanted.way), wanted.way)

    def _lent(self, told: Told, step: str) -> Lent:
        if told.status != 200:
            raise refused(CLOUD, step, status=told.status)
        try:
            said = told.json()
            token, left, end = said.get("access_token"), said.get("expires_in"), said.get("expires_on")
            # Written as numbers or as texts, and App Service has the second only.
            life_s = float(left) if left is not None else float(end or 0) - self._now_s()
            if not isinstance(token, str) or not token or not 0 < life_s < float("inf"):
                raise ValueError("no token")
        except (ValueError, TypeError, OverflowError):
            raise refused(CLOUD, step, reason="unreadable") from None
        return Secret(token), life_s


def _managed(place: str, query: dict[str, str], header: str, value: str) -> UpstreamRequest:
    return get(f"{place}?{urlencode(query)}", {header: value})
