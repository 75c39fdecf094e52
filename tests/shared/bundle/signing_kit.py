"""A control plane's signing side in miniature: roots, heads and manifests that a test may bend."""

import msgspec
from securesystemslib.signer import CryptoSigner

from shared.bundle.model import HEAD_TYPE, MANIFEST_TYPE, ROOT_TYPE, Head, Identity, Manifest, ManifestRef
from shared.bundle.trust import make_root, pin_root, sha256, sign_envelope

IDENTITY = Identity("org-1", "group-1")
NOW = 1_800_000_000.0


class Kit:
    """Holds one set of keys; `rotate` methods change them."""

    def __init__(self):
        self.root_keys = [CryptoSigner.generate_ed25519() for _ in range(3)]
        self.bundle = CryptoSigner.generate_ed25519()
        self.freshness = CryptoSigner.generate_ed25519()

    def root(self, version=1, signers=None, *, epoch=1, compromised=(), bundle=None):
        keys = {
            "root": [key.public_key for key in self.root_keys],
            "targets": [key.public_key for key in (bundle or [self.bundle])],
            "timestamp": [self.freshness.public_key],
        }
        payload = make_root(version=version, keys=keys, threshold=2, epoch=epoch, compromised=compromised)
        return sign_envelope(payload, ROOT_TYPE, signers or self.root_keys)

    def trusted(self, **changes):
        content = self.root(**changes)
        return pin_root(content, sha256(content))

    def manifest(self, seq=1, *, signer=None, payload_type=MANIFEST_TYPE, **changes):
        fields = {"org": "org-1", "group": "group-1", "epoch": 1, "seq": seq, "sections": {}, **changes}
        return sign_envelope(msgspec.json.encode(Manifest(**fields)), payload_type, [signer or self.bundle])

    def head(self, manifest, seq=1, *, signer=None, payload_type=HEAD_TYPE, **changes):
        fields = {
            "org": "org-1", "group": "group-1", "epoch": 1, "seq": seq, "head_no": seq,
            "manifest": ManifestRef(sha256(manifest), len(manifest)), "root_version": 1,
            "issued_at": NOW, "expires": NOW + 900, **changes,
        }  # fmt: skip
        return sign_envelope(msgspec.json.encode(Head(**fields)), payload_type, [signer or self.freshness])
