"""Gateway groups with keys that a test holds, a publisher with a clock it can turn, and a reader as strict as a gateway."""

import base64
from itertools import count

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from control_plane.gateways.models import Blob, BundleVersion, GatewayGroup
from control_plane.gateways.publish import Publisher
from control_plane.gateways.signing import Signers, create_root
from shared.bundle.codec import decode_index, open_blob, split_rows
from shared.bundle.model import Identity
from shared.bundle.verify import Marks, check_head, check_manifest
from shared.crypto.sealing import generate_sealing_key, sealing_kid
from shared.wire import EnrolRequest

_NUMBERS = count(1)


class GroupKeys:
    """The private half of a gateway group."""

    def __init__(self):
        self.identity = Ed25519PrivateKey.generate()
        self.identity_pub = self.identity.public_key().public_bytes_raw()
        self.sealing, self.sealing_pub = generate_sealing_key()

    def ask(self, token, **fields):
        """An enrolment request with these keys."""
        keys = {
            "identity_pub": base64.b64encode(self.identity_pub).decode(),
            "sealing_pub": base64.b64encode(self.sealing_pub).decode(),
        }
        return EnrolRequest(token=token, **{**keys, **fields})


def make_group(tenant, keys=None, **fields):
    """A gateway group of the tenant, as enrolment would make it, without the sealing of what exists already."""
    keys = keys or GroupKeys()
    return GatewayGroup.objects.create(
        organisation=tenant.organisation,
        identity_pub=keys.identity_pub,
        sealing_pub=keys.sealing_pub,
        sealing_kid=sealing_kid(keys.sealing_pub),
        **{"name": f"group {next(_NUMBERS)}", **fields},
    )


def make_publisher(folder, **clock):
    """A publisher that signs with the keys in `folder`; `wall` may be given."""
    create_root(folder)
    return Publisher(Signers.load(folder), **clock)


def read_head(root, group, marks=None):
    """The verified head of a group, as it is stored now."""
    group.refresh_from_db()
    return check_head(root, bytes(group.head), identity_of(group), marks or Marks())


def identity_of(group):
    """Whom the group's bundles are addressed to."""
    return Identity(str(group.organisation_id), str(group.id))


def read_manifest(root, group):
    """The verified manifest that the group's head names."""
    head = read_head(root, group)
    version = BundleVersion.objects.get(group=group, digest=head.manifest.d)
    return check_manifest(root, bytes(version.manifest), head, identity_of(group), Marks())


def raw_buckets(manifest):
    """Every bucket of a bundle, decompressed: (section, blob reference, raw bytes)."""
    for name, section in manifest.sections.items():
        index = open_blob(section.index, content_of(section.index.d))
        for ref in decode_index(index, section.buckets).values():
            yield name, ref, open_blob(ref, content_of(ref.d))


def content_of(digest):
    """The stored bytes of a blob."""
    return bytes(Blob.objects.get(digest=digest).content)


def read_bundle(root, group):
    """Section → id → row of the bundle that the group's head names; everything verified on the way."""
    manifest = read_manifest(root, group)
    sections = {name: {} for name in manifest.sections}
    for name, _, raw in raw_buckets(manifest):
        sections[name] |= {row_id: msgspec.json.decode(line) for row_id, line in split_rows(raw).items()}
    assert {name: len(rows) for name, rows in sections.items()} == {
        name: section.rows for name, section in manifest.sections.items()
    }
    return sections
