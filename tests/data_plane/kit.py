"""A configuration in miniature: rows in, a real snapshot out, as the gateway builds it from a bundle."""

import base64
import time
import uuid

import msgspec

from data_plane.core.exchange import Call, Exchange
from data_plane.sync.secrets import SecretOpener
from data_plane.sync.snapshot import build_snapshot
from shared.bundle.codec import encode_section
from shared.bundle.model import Identity, Manifest
from shared.crypto.sealing import SealedTo, generate_sealing_key, seal, sealing_kid
from shared.crypto.tokens import mint_key
from shared.routing.decision import DecisionTrace
from shared.schema.rows import (
    ApiKeyRow,
    ConfigRow,
    ModelPriceRow,
    OrgRow,
    ProviderPricesRow,
    Rate,
    SealedPlaintext,
    SecretRow,
    VirtualKeyRow,
    WorkspaceRow,
)
from shared.trace import read_trace

ORG, WS, GROUP = "org-1", "ws-1", "group-1"
IDENTITY = Identity(ORG, GROUP)
PRIVATE, PUBLIC = generate_sealing_key()
KID = sealing_kid(PUBLIC)
KEY_ID = uuid.uuid4()
KEY = mint_key(KEY_ID)
KEY_TEXT = KEY.text.reveal()
PROVIDER_KEY = "sk-sentinel-provider-0001"
PRICES = ProviderPricesRow(
    "openai",
    "list-1",
    (ModelPriceRow("gpt", ["starts_with", "gpt"], input=(Rate(0, 2_000_000_000),), output=(Rate(0, 8_000_000_000),)),),
)


def sealed_row(row_id="secret-1", *, org=ORG, version=1, key=PROVIDER_KEY, hosts=("api.openai.com",), bound_to=None):
    plain = msgspec.json.encode(SealedPlaintext(key, tuple(hosts)))
    binding = bound_to or SealedTo(org, GROUP, row_id, version)
    return SecretRow(row_id, org, version, KID, base64.b64encode(seal(PUBLIC, plain, binding)).decode())


#: Sealing draws a fresh key each time, so the usual row is sealed once.
SEALED = sealed_row()


def api_key(**changes):
    fields = {
        "id": str(KEY_ID), "org": ORG, "ws": WS, "hashes": (KEY.secret_hash,), "scopes": frozenset({"completions.write"}),
    }  # fmt: skip
    return ApiKeyRow(**{**fields, **changes})


def virtual_key(slug="main", **changes):
    fields = {
        "id": f"{WS}/{slug}",
        "org": ORG,
        "ws": WS,
        "slug": slug,
        "provider": "openai",
        "integration": "int-1",
        "secret": "secret-1",
    }
    return VirtualKeyRow(**{**fields, "uid": f"uid-{slug}", **changes})


def config(slug, body, **changes):
    return ConfigRow(
        **{"id": f"{WS}/{slug}", "org": ORG, "ws": WS, "slug": slug, "version": f"v-{slug}", "body": body, **changes}
    )


def rows(**sections):
    """Return the usual rows of each section, replaced by what is given."""
    usual = {
        "orgs": [OrgRow(ORG, "Demo", block_inline=False)],
        "workspaces": [WorkspaceRow(WS, ORG, "ws-main", "Main")],
        "api_keys": [api_key()],
        "virtual_keys": [virtual_key()],
        "secrets": [SEALED],
        "configs": [],
        "prices": [PRICES],
        "gateway": [],
    }
    return {**usual, **sections}


def bundle(seq=1, raw=None, **sections):
    """Return (manifest, blobs) of a revision; `raw` adds lines to sections: {section: {id: bytes}}."""
    made, blobs = {}, {}
    for name, items in rows(**sections).items():
        lines = {row.id: msgspec.json.encode(row) for row in items} | (raw or {}).get(name, {})
        encoded = encode_section(lines)
        made[name] = encoded.section
        blobs.update(encoded.blobs)
    return Manifest(ORG, GROUP, 1, seq, made), blobs


def opener():
    return SecretOpener(IDENTITY, {KID: PRIVATE})


def snapshot(seq=1, previous=None, **sections):
    manifest, blobs = bundle(seq, **sections)
    return build_snapshot(manifest, blobs, opener(), previous)


def call(headers=None, body=None, *, key=KEY_TEXT, raw=None):
    """Return a chat call; `key` None sends none."""
    sent = {"content-type": "application/json", **(headers or {})}
    if key is not None:
        sent.setdefault("x-portkey-api-key", key)
    if raw is None:
        raw = msgspec.json.encode(
            body if body is not None else {"model": "@main/gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
        )
    path = "/v1/chat/completions"
    return Call("chat", "POST", path, sent, raw, 1_800_000_000_000_000, 0.0, path)


def exchange(a_call=None):
    made = a_call or call()
    return Exchange(str(uuid.uuid4()), made, read_trace(made.headers), DecisionTrace(time.perf_counter))
