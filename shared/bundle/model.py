"""The objects of a bundle: head → manifest → section indexes → blobs.

A head is small, short-lived and signed by the freshness key; it names one manifest by digest and lists what was
revoked.  A manifest is signed by the bundle key and names, for each section, an index blob; an index names the
bucket blobs.  Blobs are zstd-compressed JSON lines, named by the SHA-256 of their compressed bytes.
Signed bytes are kept and verified verbatim; nothing here is signed as a re-encoded object.
"""

from typing import Final

import msgspec

FORMAT: Final = 1
HEAD_TYPE: Final = "application/vnd.gatehouse.head+json;v=1"
MANIFEST_TYPE: Final = "application/vnd.gatehouse.manifest+json;v=1"
ROOT_TYPE: Final = "application/vnd.gatehouse.root+json;v=1"

#: Roles of the root: TUF's names for the bundle key and the freshness key.
BUNDLE_ROLE: Final = "targets"
FRESHNESS_ROLE: Final = "timestamp"

MAX_HEAD_BYTES: Final = 16 * 1024
MAX_ROOT_BYTES: Final = 512 * 1024
MAX_MANIFEST_BYTES: Final = 4 * 1024 * 1024
MAX_BLOB_BYTES: Final = 32 * 1024 * 1024
MAX_RAW_BYTES: Final = 1024 * 1024 * 1024
MAX_BLOBS: Final = 20_000
MAX_REVOKED: Final = 64

#: How long a head counts as a proof of freshness, seconds.
HEAD_LIFETIME_S: Final = 900
#: A head from further ahead than this is no proof of freshness: somebody's clock is wrong.
MAX_AHEAD_S: Final = 86_400


class BlobRef(msgspec.Struct, frozen=True):
    """A blob: SHA-256 of its bytes (hex), their number, and the number after decompression."""

    d: str
    n: int
    raw: int


class ManifestRef(msgspec.Struct, frozen=True):
    """A manifest: SHA-256 of the envelope's bytes (hex) and their number."""

    d: str
    n: int


class Poll(msgspec.Struct, frozen=True):
    """How gateways poll: seconds that a long poll is held, and between short polls."""

    wait: int = 50
    short: int = 30


class Head(msgspec.Struct, frozen=True, tag_field="_type", tag="head"):
    """The signed statement "this manifest is current", renewed every few minutes."""

    org: str
    group: str
    epoch: int
    seq: int
    head_no: int
    manifest: ManifestRef
    root_version: int
    issued_at: float
    expires: float
    min_seq: int = 0
    revoked: tuple[str, ...] = ()
    poll: Poll = Poll()
    urgent: bool = False
    cohort: str = "all"

    @property
    def version(self) -> tuple[int, int]:
        """Return what versions are compared by: epoch first, then sequence."""
        return self.epoch, self.seq


class Section(msgspec.Struct, frozen=True):
    """One section: number of rows and buckets, and its index blob."""

    rows: int
    buckets: int
    index: BlobRef
    schema: int = 1


class Manifest(msgspec.Struct, frozen=True, tag_field="_type", tag="manifest"):
    """The signed list of what a configuration consists of."""

    org: str
    group: str
    epoch: int
    seq: int
    sections: dict[str, Section]
    format: int = FORMAT
    min_reader: int = 1
    requires: tuple[str, ...] = ()
    created_by: str = ""
    allow_shrink: bool = False

    @property
    def version(self) -> tuple[int, int]:
        """Return what versions are compared by: epoch first, then sequence."""
        return self.epoch, self.seq


class Identity(msgspec.Struct, frozen=True):
    """Whom a bundle must be addressed to."""

    org: str
    group: str


class BundleRejected(Exception):
    """A bundle, or a part of it, must not be used; `code` is one of the status codes of the protocol."""

    def __init__(self, code: str, detail: str, *, section: str = "", item: str = "") -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.section = section
        self.item = item
