"""An enemy on the wire, and what is to be found on disk: nothing that helps him."""

import time
from pathlib import Path

import msgspec
import psycopg
import pytest
from cryptography.hazmat.primitives import serialization
from securesystemslib.signer import CryptoSigner

from shared.bundle.model import HEAD_LIFETIME_S, HEAD_TYPE, MANIFEST_TYPE, Head, Manifest, ManifestRef
from shared.bundle.trust import read_envelope, sha256, sign_envelope
from tests.system.system_kit import PROVIDER_KEY, System, fetch, wait_for
from tests.system.wire_tap import WireTap


@pytest.fixture(scope="module")
def tap():
    made = WireTap()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def tapped(tmp_path_factory, tap):
    """A system whose gateway hears from the control plane through the tap only."""
    made = System(tmp_path_factory.mktemp("tapped"), edge_port=tap.port).build()
    tap.start(f"http://127.0.0.1:{made.ports['edge']}")
    try:
        yield made.start_all()
    finally:
        made.stop()


def signer(system, name):
    pem = (system.folder / "signing" / f"{name}.pem").read_bytes()
    return CryptoSigner(serialization.load_pem_private_key(pem, password=None))


class Forge:
    """Signs heads and manifests with the installation's real keys, or with a stranger's."""

    def __init__(self, system, tap):
        self.system = system
        newest = tap.heads[-1]
        self.head = msgspec.json.decode(read_envelope(newest, HEAD_TYPE).payload, type=Head)
        (content,) = system.query("SELECT manifest FROM gateways_bundleversion ORDER BY seq DESC LIMIT 1")[0]
        self.manifest = msgspec.json.decode(read_envelope(bytes(content), MANIFEST_TYPE).payload, type=Manifest)
        self.bundle, self.freshness = signer(system, "bundle"), signer(system, "freshness")
        self.stranger = CryptoSigner.generate_ed25519()

    def make_manifest(self, by=None, **changes):
        seq = int(time.time() * 1000) + 300
        made = msgspec.structs.replace(self.manifest, **{"seq": seq, "sections": {}, **changes})
        return sign_envelope(msgspec.json.encode(made), MANIFEST_TYPE, [by or self.bundle]), made

    def make_head(self, manifest=None, by=None, **changes):
        fields = {
            "head_no": int(time.time() * 1000) + 300,
            "issued_at": time.time(),
            "expires": time.time() + HEAD_LIFETIME_S,
            **changes,
        }
        if manifest is not None:
            content, made = manifest
            fields = {"manifest": ManifestRef(sha256(content), len(content)), "seq": made.seq, **fields}
        return sign_envelope(
            msgspec.json.encode(msgspec.structs.replace(self.head, **fields)), HEAD_TYPE, [by or self.freshness]
        )


def flipped(content):
    bent = bytearray(content)
    bent[len(bent) // 2] ^= 1
    return bytes(bent)


def attacks(forge, tap):
    """Return name → (what the wire answers, the code that the gateway reports, None where it stays silent)."""
    good = forge.make_manifest()
    other_group = forge.make_manifest(group="00000000-0000-7000-8000-000000000000")
    wrong_role = forge.make_manifest(by=forge.freshness)
    by_stranger = forge.make_manifest(by=forge.stranger)
    expired = {"issued_at": time.time() - 9000, "expires": time.time() - 8000}

    def with_manifest(manifest, **changes):
        return {"/head?": forge.make_head(manifest, **changes), "/manifests/": manifest[0]}

    return {
        "tampered head": ({"/head?": flipped(tap.heads[-1])}, "sig_invalid"),
        "head by a stranger": ({"/head?": forge.make_head(by=forge.stranger)}, "sig_invalid"),
        "head by the bundle key": ({"/head?": forge.make_head(by=forge.bundle)}, "sig_invalid"),
        "replayed head": ({"/head?": tap.heads[0]}, "rollback"),
        "head for another group": ({"/head?": forge.make_head(good, group="g-other")}, "wrong_audience"),
        "tampered manifest": ({"/head?": forge.make_head(good), "/manifests/": flipped(good[0])}, "digest_mismatch"),
        "manifest by the freshness key": (with_manifest(wrong_role), "sig_invalid"),
        "manifest by a stranger": (with_manifest(by_stranger), "sig_invalid"),
        "manifest for another group": (with_manifest(other_group, group=forge.head.group), "wrong_audience"),
        "old manifest under a new head": ({"/head?": forge.make_head(seq=int(time.time() * 1000) + 300)}, "rollback"),
        "expired head": ({"/head?": forge.make_head(**expired, seq=forge.head.seq - 1)}, "rollback"),
        "captive portal": ({"/head?": b"<html>Please sign in</html>"}, "sig_invalid"),
    }


def test_forged_replayed_misaddressed_and_expired_bundles_are_refused_and_the_old_one_serves(tapped, tap):
    tapped.new_key("makes a revision")
    tapped.wait_current()
    wait_for(lambda: len(set(tap.heads)) >= 2, "two heads have passed")
    for name in attacks(Forge(tapped, tap), tap):
        bend, code = attacks(Forge(tapped, tap), tap)[name]
        active = tapped.report()["active"]
        tap.set_bend(bend)
        wait_for(
            lambda code=code: (tapped.report().get("last_error") or {}).get("code") == code,
            f"{name}: {code} is reported",
        )
        assert tapped.report()["state"] == "REJECTED", name
        assert tapped.report()["active"] == active, name
        assert tapped.chat()[0] == 200, name
        tap.set_bend({})
        heal(tapped, name)


def heal(system, name):
    """Wait until the gateway has taken a true revision again: one that is newer than what was forged."""

    def healed():
        system.admin("PUT", f"/admin/workspaces/{system.demo['workspace_id']}", {"name": f"{name} {time.time()}"})
        report = system.report()
        return report["state"] == "ACTIVE" and report["active"]["seq"] >= system.newest_seq() - 2000

    wait_for(healed, f"{name}: the true bundle is taken afterwards", every_s=0.3)
    system.wait_current()


def every_row(database_url):
    """Return the text of every row of every table."""
    with psycopg.connect(database_url) as connection:
        tables = [
            row[0]
            for row in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        ]
        return {
            table: "\n".join(row[0] for row in connection.execute(f'SELECT t::text FROM "{table}" t').fetchall())
            for table in tables
        }


def test_no_provider_key_and_no_gateway_key_is_found_in_plain_text_anywhere(tapped, tap):
    made = tapped.admin("POST", "/virtual-keys", {
        "name": "Canary", "provider": "openai", "key": PROVIDER_KEY, "workspace_id": tapped.demo["workspace_id"], "custom_host": tapped.provider,
    })  # fmt: skip
    key = tapped.new_key("canary")["key"]
    tapped.wait_current()
    # The demo provider refuses the canary: its error comes back through the gateway, and must not repeat the key.
    status, error, headers = tapped.chat(
        key=key, model=f"@{made['slug']}/gpt-4o", text=f"my key is {PROVIDER_KEY} and {key}"
    )
    assert status == 401
    odd = [
        fetch(f"{tapped.gateway}/v1/chat/completions", key=key, body={"model": key, "messages": PROVIDER_KEY}),
        fetch(f"{tapped.gateway}/v1/chat/completions", key=key + "x", body={}),
        tapped.chat(
            key=key, **{"x-portkey-config": '{"api_key":"' + PROVIDER_KEY + '","provider":7}', "x-portkey-api-key": key}
        ),
    ]
    assert tapped.chat()[0] == 200
    wait_for(lambda: tapped.stored(headers["x-portkey-request-id"]), "the record arrives")
    canaries = {
        "provider key": PROVIDER_KEY.encode(),
        "gateway key": key.encode(),
        "admin key": tapped.admin_key.encode(),
    }
    places = {f"answer {number}": str(answer).encode() for number, answer in enumerate([error, *odd])}
    places["wire"] = bytes(tap.seen)
    for path in Path(tapped.folder).rglob("*"):
        if path.is_file():
            places[str(path.relative_to(tapped.folder))] = path.read_bytes()
    # The body that the caller itself sent is stored by the workspace's policy; everything else must be clean.
    rows = every_row(tapped.database_url)
    places |= {table: text.encode() for table, text in rows.items() if not table.startswith("logs_body")}
    found = [
        (what, place) for place, content in places.items() for what, canary in canaries.items() if canary in content
    ]
    spooled = [
        (what, place) for what, place in found if not place.startswith("gateway/spool/payload") and place != "wire"
    ]
    assert spooled == []


def test_files_of_the_gateway_are_private(tapped):
    open_to_others = [
        path
        for path in tapped.state.rglob("*")
        if path.is_file() and path.stat().st_mode & 0o077 and "metrics" not in path.parts
    ]
    assert open_to_others == []
