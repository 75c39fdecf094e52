"""Who is this gateway at AWS, and what roles may it take on?

Its own access key is looked for where AWS's programs look, in their order: the environment, a token of the cluster, the
container's address, the machine's metadata service.  The last is asked in its second version only.
Source: https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode, urlsplit

from data_plane.core.identity import AwsIdentity, AwsKey
from data_plane.core.types import UpstreamRequest
from data_plane.providers._aws import sign_request
from data_plane.upstream.client import UpstreamClient
from data_plane.upstream.identity.aws_answers import read_code, read_machine, read_sts
from data_plane.upstream.identity.machine import FORM, Machine, Told, ask, get, post, read_file, refused
from shared.hosts import parse_address

CLOUD: Final = "AWS"
SESSION: Final = "gatehouse"
SESSION_S: Final = 3600
#: How long a key of the environment is used before the environment is looked at again.
LASTING_S: Final = 3600.0
_VERSION: Final = "2011-06-15"
_CONTAINER: Final = "http://169.254.170.2"
#: Where a container's address may lead without TLS: itself, and the addresses of ECS and of EKS.
_CONTAINER_HOSTS: Final = frozenset({"localhost", "169.254.170.2", "169.254.170.23", "fd00:ec2::23"})
_METADATA: Final = {"ipv4": "http://169.254.169.254", "ipv6": "http://[fd00:ec2::254]"}
_TOKEN_S: Final = "21600"  # noqa: S105 -- seconds, no password
_ROLES: Final = "/latest/meta-data/iam/security-credentials/"

#: An access key, and for how many seconds it holds.
Lent = tuple[AwsKey, float]


class Aws:
    """Asks AWS and the machine for access keys."""

    def __init__(self, client: UpstreamClient, machine: Machine, wall_clock: Callable[[], float] = time.time) -> None:
        """`wall_clock` is in seconds since 1970: AWS says at what time a key ends."""
        self._client = client
        self._machine = machine
        self._now_s = wall_clock

    async def own(self, region: str) -> Lent:
        """Return the gateway's own access key; raises IdentityRefused.

        `region` is where the token service is asked when the machine does not say.
        """
        said = self._machine.variable
        key_id, secret = said("AWS_ACCESS_KEY_ID"), self._machine.secret("AWS_SECRET_ACCESS_KEY")
        if key_id and secret:
            return AwsKey(key_id, secret, self._machine.secret("AWS_SESSION_TOKEN")), LASTING_S
        if said("AWS_WEB_IDENTITY_TOKEN_FILE") and said("AWS_ROLE_ARN"):
            return await self._of_cluster(said("AWS_REGION") or said("AWS_DEFAULT_REGION") or region)
        if said("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") or said("AWS_CONTAINER_CREDENTIALS_FULL_URI"):
            return await self._of_container()
        if said("AWS_EC2_METADATA_DISABLED").lower() == "true":
            raise refused(CLOUD, "own", reason="none")
        return await self._of_machine()

    async def assume(self, wanted: AwsIdentity, base: AwsKey) -> Lent:
        """Return the access key of a role that `base` takes on for an hour.  Raises IdentityRefused."""
        form = {"RoleArn": wanted.role, "RoleSessionName": SESSION, "DurationSeconds": str(SESSION_S)}
        if wanted.external_id:
            form["ExternalId"] = wanted.external_id
        request = self._sts(wanted.region, "AssumeRole", form)
        sign_request(request, base, region=wanted.region, service="sts", now_s=self._now_s())
        return self._lent_by_sts(await self._ask_sts(request, "assume_role"), "assume_role")

    def _sts(self, region: str, action: str, form: Mapping[str, str]) -> UpstreamRequest:
        place = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        url = self._machine.variable("AWS_ENDPOINT_URL_STS") or f"https://sts.{region}.{place}"
        body = urlencode({"Action": action, "Version": _VERSION, **form}).encode()
        return post(url.rstrip("/") + "/", body, {**FORM, "accept": "text/xml"})

    async def _ask_sts(self, request: UpstreamRequest, step: str) -> Told:
        # An address of the operator's may be a private one; one that is made of a region may not.
        if self._machine.variable("AWS_ENDPOINT_URL_STS"):
            return await self._machine.ask(request, cloud=CLOUD, step=step)
        return await ask(self._client, request, cloud=CLOUD, step=step)

    def _lent_by_sts(self, told: Told, step: str) -> Lent:
        if told.status != 200:
            raise refused(CLOUD, step, status=told.status, reason=read_code(told.content))
        try:
            return read_sts(told.content, self._now_s())
        except ValueError:
            raise refused(CLOUD, step, reason="unreadable") from None

    def _lent_by_machine(self, told: Told, step: str) -> Lent:
        if told.status != 200:
            raise refused(CLOUD, step, status=told.status)
        try:
            return read_machine(told.content, self._now_s())
        except ValueError:
            raise refused(CLOUD, step, reason="unreadable") from None

    async def _of_cluster(self, region: str) -> Lent:
        step, said = "web_identity", self._machine.variable
        proof = await read_file(Path(said("AWS_WEB_IDENTITY_TOKEN_FILE")), cloud=CLOUD, step=step)
        form = {
            "RoleArn": said("AWS_ROLE_ARN"),
            "RoleSessionName": said("AWS_ROLE_SESSION_NAME") or SESSION,
            "WebIdentityToken": proof.decode(errors="replace").strip(),
            "DurationSeconds": str(SESSION_S),
        }
        request = self._sts(region, "AssumeRoleWithWebIdentity", form)
        return self._lent_by_sts(await self._ask_sts(request, step), step)

    async def _of_container(self) -> Lent:
        step, said = "container", self._machine.variable
        relative = said("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
        url = _CONTAINER + relative if relative else said("AWS_CONTAINER_CREDENTIALS_FULL_URI")
        if not _may_be_container(url):
            raise refused(CLOUD, step, reason="address")
        proof = said("AWS_CONTAINER_AUTHORIZATION_TOKEN")
        if file := said("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"):
            proof = (await read_file(Path(file), cloud=CLOUD, step=step)).decode(errors="replace").strip()
        request = get(url, {"authorization": proof} if proof else {})
        return self._lent_by_machine(await self._machine.ask(request, cloud=CLOUD, step=step), step)

    async def _of_machine(self) -> Lent:
        said = self._machine.variable
        mode = said("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE").lower()
        base = said("AWS_EC2_METADATA_SERVICE_ENDPOINT") or _METADATA.get(mode, _METADATA["ipv4"])
        base = base.rstrip("/")
        opening = get(base + "/latest/api/token", {"x-aws-ec2-metadata-token-ttl-seconds": _TOKEN_S}, method="PUT")
        token = await self._metadata(opening, "metadata_token")
        headers = {"x-aws-ec2-metadata-token": token}
        role = await self._metadata(get(base + _ROLES, headers), "metadata_role")
        request = get(base + _ROLES + quote(role, safe=""), headers)
        return self._lent_by_machine(await self._machine.ask(request, cloud=CLOUD, step="metadata"), "metadata")

    async def _metadata(self, request: UpstreamRequest, step: str) -> str:
        """Return the first line of what the metadata service tells."""
        told = await self._machine.ask(request, cloud=CLOUD, step=step)
        lines = told.content.decode(errors="replace").split("\n")
        if told.status != 200 or not lines[0].strip():
            raise refused(CLOUD, step, status=told.status)
        return lines[0].strip()


def _may_be_container(url: str) -> bool:
    """Return whether a container's address is one that AWS's programs would ask."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    address = parse_address(host)
    if parts.scheme == "https":
        return bool(host)
    if parts.scheme != "http":
        return False
    return (str(address) if address else host) in _CONTAINER_HOSTS or bool(address and address.is_loopback)
