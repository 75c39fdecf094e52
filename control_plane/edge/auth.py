"""Which gateway is calling: a token for this one request, checked against its group's identity key."""

import time
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from aiohttp import web

from control_plane.edge.database import in_database
from control_plane.gateways.models import GatewayGroup
from control_plane.gateways.publish import organisations_of
from shared.crypto.request_token import TokenRefused, claimed_group, verify_request
from shared.errors import Unauthenticated
from shared.ids import parse_uuid

CACHED_S: Final = 5.0


class ClockSkewed(Unauthenticated):
    """The caller's clock is off; the answer's Date header tells the time."""

    code = "clock_skew"


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated gateway: its group, its instance, and the organisations that it serves."""

    group: UUID
    instance: str
    organisations: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Known:
    identity_pub: bytes
    organisations: frozenset[str]
    until: float


class Callers:
    """Authenticates gateways; remembers a group's key for a few seconds."""

    def __init__(self) -> None:
        self._known: dict[UUID, _Known] = {}

    @staticmethod
    def _read(group: UUID) -> _Known | None:
        row = GatewayGroup.objects.filter(pk=group, status="active").first()
        if row is None:
            return None
        served = frozenset(str(organisation.pk) for organisation in organisations_of(row))
        return _Known(bytes(row.identity_pub), served, time.monotonic() + CACHED_S)

    async def identify(self, request: web.Request, body: bytes) -> Caller:
        """Return the caller; raises Unauthenticated."""
        header = request.headers.get("authorization", "")
        if not header.startswith("Bearer "):
            raise Unauthenticated("No request token was sent.")
        token = header[7:]
        if not token.isascii():
            raise Unauthenticated("The request token cannot be read.")
        try:
            group = parse_uuid(claimed_group(token))
            known = self._known.get(group) if group else None
            if group is not None and (known is None or known.until < time.monotonic()):
                known = await in_database(self._read, group)
                if known is not None:
                    self._known[group] = known
            if group is None or known is None:
                raise Unauthenticated("The gateway group is not known here.")
            instance = verify_request(
                token, known.identity_pub, method=request.method, path=request.raw_path, body=body
            )
        except TokenRefused as fault:
            raise ClockSkewed(str(fault)) if fault.skewed else Unauthenticated(str(fault)) from None
        except TypeError:
            # A group may sign claims of any type, such as an `exp` that is a text.
            raise Unauthenticated("The request token is not valid.") from None
        return Caller(group, instance, known.organisations)
