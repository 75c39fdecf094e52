"""An installation with signing keys, and gateways that sign their requests rightly or, when told to, wrongly."""

import time
from io import BytesIO

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from control_plane.gateways.signing import create_root
from shared.crypto.request_token import AUDIENCE, body_digest, sign_request
from shared.wire import DP_PREFIX
from tests.control_plane.factories import make_tenant
from tests.control_plane.gateways.publisher_kit import GroupKeys, make_group, make_publisher


class Installation:
    """An organisation with a gateway group and a publisher."""

    def __init__(self, folder):
        self.root = create_root(folder)
        self.publisher = make_publisher(folder)
        self.tenant = make_tenant()
        self.gateway = self.make_gateway()

    def make_gateway(self, tenant=None, **fields):
        """A gateway of a new group."""
        keys = GroupKeys()
        return Gateway(make_group(tenant or self.tenant, keys, **fields), keys.identity)

    def publish(self, gateway=None, sections=("orgs",)):
        """Publish for a gateway's group; return the bytes of its head."""
        group = (gateway or self.gateway).group
        group.refresh_from_db()
        if self.publisher.render(group, set(sections)) is None:
            self.publisher.sign_head(group)
        return bytes(group.head)


class Gateway:
    """One gateway instance: its group's row and the key it signs with."""

    def __init__(self, group, key, instance="gw-1"):
        self.group, self.key, self.instance = group, key, instance

    @property
    def id(self):
        return str(self.group.pk)

    def token(self, method, path, body=b"", **changes):
        """A token for one request; `changes` bend its claims, `key` its signature, `offset_s` its clock."""
        key, offset_s = changes.pop("key", self.key), changes.pop("offset_s", 0.0)
        if not changes:
            return sign_request(
                key, group=self.id, instance=self.instance, method=method, path=path, body=body, offset_s=offset_s
            )
        now = int(time.time() + offset_s)
        claims = {
            "iss": self.id, "sub": self.instance, "aud": AUDIENCE, "iat": now, "exp": now + 60,
            "htm": method, "htu": path, "bod": body_digest(body), **changes,
        }  # fmt: skip
        claims = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(claims, key, algorithm="EdDSA" if isinstance(key, Ed25519PrivateKey) else "HS256")

    def head_path(self, known="0.0", head_no=0, wait=0, group=None):
        """The path of a poll."""
        return f"{DP_PREFIX}/groups/{group or self.id}/head?known={known}&head_no={head_no}&wait={wait}"

    async def call(self, edge, method, path, body=b"", headers=None, **changes):
        """Send a signed request; return (status, body, headers)."""
        token = changes.pop("token", None) or self.token(method, path, body, **changes)
        return await send(edge, method, path, body, {"authorization": f"Bearer {token}", **(headers or {})})


async def send(edge, method, path, body=b"", headers=None):
    """Send a request as it is; return (status, body, headers)."""
    async with edge.request(method, path, data=BytesIO(body) if body else None, headers=headers) as answer:
        return answer.status, await answer.read(), answer.headers
