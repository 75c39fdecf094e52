"""Who is this gateway at Google, and what does another cloud's token prove there?

The gateway's own account is in the file that GOOGLE_APPLICATION_CREDENTIALS names, else it is the machine's.  An
external account is proven by a token from a file or an address.  In the operator's own file both may be anything; in an
account's they may not: a file must lie in a folder that the operator opens for this, an address must be one that
accounts may send the gateway to anyway.
Source: https://google.aip.dev/auth/4115, https://google.aip.dev/auth/4117
"""

import asyncio
import base64
import datetime as dt
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import orjson

from data_plane.core.identity import ExternalAccount, GoogleIdentity
from data_plane.core.types import TokenAsk
from data_plane.providers._google_auth import CredentialMalformed, token_of_account
from data_plane.providers._google_identity import SCOPE
from data_plane.upstream.client import UpstreamClient
from data_plane.upstream.identity.machine import (
    FORM,
    Machine,
    Told,
    ask,
    get,
    post,
    read_file,
    read_object,
    refused,
)
from data_plane.upstream.tokens import TokenRefused, fetch_token, read_token
from shared.errors import Forbidden, GatewayError
from shared.hosts import check_outgoing_url
from shared.redact import Secret

CLOUD: Final = "Google"
MACHINE: Final = "metadata.google.internal"
_FLAVOUR: Final = {"metadata-flavor": "Google"}
_TOKEN: Final = "/computeMetadata/v1/instance/service-accounts/default/token"  # noqa: S105 -- a path, no password
_EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
_ACCESS_TOKEN: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 -- a name, no password
PATH: Final = "vertex_service_account_json"

#: A token, and for how many seconds it holds.
Lent = tuple[Secret, float]


class SourceRefused(Forbidden):
    """An external account names a file or an address that accounts may not make the gateway read."""

    code = "identity_source_forbidden"


class Google:
    """Asks Google and the machine for tokens."""

    def __init__(
        self,
        client: UpstreamClient,
        machine: Machine,
        *,
        folders: Sequence[Path] = (),
        trusted_hosts: Collection[str] = frozenset(),
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """`folders` are open to accounts; `wall_clock` is in seconds since 1970."""
        self._client = client
        self._machine = machine
        self._folders = folders
        self._trusted_hosts = trusted_hosts
        self._now_s = wall_clock

    async def token(self, wanted: GoogleIdentity) -> Lent:
        """Return a token for an identity; raises IdentityRefused and SourceRefused."""
        if wanted.account is None:
            return await self._own()
        return await self._external(wanted.account, is_own=False)

    async def _own(self) -> Lent:
        file = self._machine.variable("GOOGLE_APPLICATION_CREDENTIALS")
        if not file:
            return await self._of_machine()
        step = "own"
        content = await read_file(Path(file), cloud=CLOUD, step=step)
        try:
            way = token_of_account(content.decode(errors="replace").strip())
        except CredentialMalformed:
            raise refused(CLOUD, step, reason="unreadable") from None
        if isinstance(way, TokenAsk):
            try:
                return await fetch_token(self._client, way)
            except GatewayError as fault:
                raise refused(CLOUD, step, reason=fault.code) from None
        account = way.wanted.account if isinstance(way.wanted, GoogleIdentity) else None
        if account is None:
            raise refused(CLOUD, step, reason="unreadable")
        return await self._external(account, is_own=True)

    async def _of_machine(self) -> Lent:
        step, host = "machine", self._machine.variable("GCE_METADATA_HOST") or MACHINE
        told = await self._machine.ask(get(f"http://{host}{_TOKEN}", _FLAVOUR), cloud=CLOUD, step=step)
        # Another network's server of that name does not say this.
        if told.headers.get("metadata-flavor") != "Google":
            raise refused(CLOUD, step, status=told.status, reason="flavour")
        return _lent(told, step)

    async def _external(self, account: ExternalAccount, *, is_own: bool) -> Lent:
        proof = await (self._from_file if account.file else self._from_address)(account, is_own=is_own)
        form = {
            "grant_type": _EXCHANGE,
            "audience": account.audience,
            "scope": SCOPE,
            "requested_token_type": _ACCESS_TOKEN,
            "subject_token": proof,
            "subject_token_type": account.token_type,
        }
        headers = dict(FORM)
        if account.client_id and account.client_secret:
            pair = f"{account.client_id}:{account.client_secret.reveal()}".encode()
            headers["authorization"] = "Basic " + base64.b64encode(pair).decode()
        elif account.project:
            form["options"] = orjson.dumps({"userProject": account.project}).decode()
        request = post(account.token_url, urlencode(form).encode(), headers)
        lent = _lent(await ask(self._client, request, cloud=CLOUD, step="exchange"), "exchange")
        return await self._impersonated(account, lent[0]) if account.impersonate else lent

    async def _impersonated(self, account: ExternalAccount, token: Secret) -> Lent:
        step = "impersonate"
        body = orjson.dumps({"scope": [SCOPE], "lifetime": f"{account.lifetime_s}s"})
        headers = {"content-type": "application/json", "authorization": f"Bearer {token.reveal()}"}
        told = await ask(self._client, post(account.impersonate, body, headers), cloud=CLOUD, step=step)
        if told.status != 200:
            raise refused(CLOUD, step, status=told.status)
        try:
            said = told.json()
            made, end = said.get("accessToken"), dt.datetime.fromisoformat(said.get("expireTime", ""))
            if not isinstance(made, str) or not made or end.tzinfo is None:
                raise ValueError("no token")
        except (ValueError, TypeError):
            raise refused(CLOUD, step, reason="unreadable") from None
        return Secret(made), end.timestamp() - self._now_s()

    async def _from_file(self, account: ExternalAccount, *, is_own: bool) -> str:
        path = Path(account.file)
        if not is_own:
            path = await asyncio.to_thread(self._opened, path)
        content = await read_file(path, cloud=CLOUD, step="file")
        return _subject(content, account.member)

    def _opened(self, path: Path) -> Path:
        """Return where a path leads, links followed; raises SourceRefused unless that is in an open folder."""
        try:
            found = path.resolve() if path.is_absolute() else None
            if found is not None and any(found.is_relative_to(folder.resolve()) for folder in self._folders):
                return found
        except (OSError, ValueError, RuntimeError):
            pass
        raise SourceRefused("This gateway's operator has not opened the file of credential_source.", path=PATH)

    async def _from_address(self, account: ExternalAccount, *, is_own: bool) -> str:
        step = "address"
        if is_own:
            told = await self._machine.ask(get(account.url, account.headers), cloud=CLOUD, step=step)
        else:
            try:
                url = check_outgoing_url(account.url, self._trusted_hosts)
            except ValueError:
                raise SourceRefused("The url of credential_source may not be called.", path=PATH) from None
            told = await ask(self._client, get(url, account.headers), cloud=CLOUD, step=step)
        if told.status != 200:
            raise refused(CLOUD, step, status=told.status)
        return _subject(told.content, account.member)


def _subject(content: bytes, member: str) -> str:
    """Return the token that `content` is, or that its `member` is; raises IdentityRefused."""
    try:
        found = read_object(content).get(member) if member else content.decode().strip()
        if not isinstance(found, str) or not found:
            raise ValueError("no token")
    except ValueError:
        raise refused(CLOUD, "subject", reason="unreadable") from None
    return found


def _lent(told: Told, step: str) -> Lent:
    if told.status != 200:
        raise refused(CLOUD, step, status=told.status)
    try:
        return read_token(told.content)
    except TokenRefused:
        raise refused(CLOUD, step, reason="unreadable") from None
