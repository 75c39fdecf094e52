import time

import pytest

from data_plane.upstream.control import ControlUnreachable
from shared.bundle.model import BundleRejected
from shared.bundle.trust import sha256
from tests.data_plane import kit
from tests.data_plane.sync.control_kit import ControlPlane, flip, puller
from tests.shared.bundle.signing_kit import NOW, Kit


@pytest.fixture
def control():
    return ControlPlane()


async def refused(run):
    with pytest.raises(BundleRejected) as raised:
        await run
    return raised.value.code


def seq(made):
    return made.live.manifest.seq if made.live else None


async def test_a_head_brings_its_bundle_and_a_restart_needs_no_network(control, tmp_path):
    first = puller(control, tmp_path)
    assert await first.take(control.publish(5))
    control.lost = True
    again = puller(control, tmp_path)
    assert again.load()
    assert (seq(again), again.persisted) == (5, (1, 5))
    assert again.live.verdict.snapshot.api_keys.get(str(kit.KEY_ID)).ws == kit.WS


async def test_a_small_change_fetches_only_what_changed(control, tmp_path):
    made = puller(control, tmp_path)
    await made.take(control.publish(5))
    control.calls.clear()
    await made.take(control.publish(6, configs=[kit.config("pc-1", {"provider": "@main"})]))
    assert len(control.fetched("blobs")) == 2
    assert seq(made) == 6


async def test_a_renewed_head_fetches_nothing_and_renews_freshness(control, tmp_path):
    made = puller(control, tmp_path)
    head = control.publish(5)
    await made.take(head)
    control.calls.clear()
    made.fresh_at = None
    assert not await made.take(control.publish(5, head_no=6))
    assert made.fresh_at is not None
    assert control.calls == []


@pytest.mark.parametrize("part", ["head", "manifest", "index", "blob"])
async def test_a_flipped_byte_anywhere_is_refused_and_the_old_bundle_stays(control, tmp_path, part):
    made = puller(control, tmp_path)
    await made.take(control.publish(5))
    known = set(control.files)
    head = control.publish(6, configs=[kit.config("pc-1", {"provider": "@main"})])
    if part == "head":
        code = await refused(made.take(flip(head, 40)))
    else:
        new = {path: content for path, content in control.files.items() if path not in known}
        kinds = {"manifest": "/manifests/", "index": "/blobs/", "blob": "/blobs/"}
        path = sorted(path for path in new if path.startswith(kinds[part]))[0 if part != "blob" else -1]
        control.bend[path] = flip(new[path])
        code = await refused(made.take(head))
    assert code in {"sig_invalid", "digest_mismatch"}
    assert seq(made) == 5
    assert made.fault.code == code


@pytest.mark.parametrize("change", [{"org": "org-2"}, {"group": "group-2"}])
async def test_another_groups_bundle_is_refused(control, tmp_path, change):
    made = puller(control, tmp_path)
    assert await refused(made.take(control.publish(5, head=change, manifest=change))) == "wrong_audience"
    assert seq(made) is None


async def test_a_replayed_head_is_refused_also_after_a_restart(control, tmp_path):
    made = puller(control, tmp_path)
    old = control.publish(5)
    await made.take(old)
    await made.take(control.publish(6, configs=[kit.config("pc-1", {"provider": "@main"})]))
    assert await refused(made.take(old)) == "rollback"
    again = puller(control, tmp_path)
    again.load()
    assert await refused(again.take(old)) == "rollback"
    assert seq(again) == 6


async def test_a_head_signed_by_the_bundle_key_or_a_stranger_is_refused(control, tmp_path):
    made = puller(control, tmp_path)
    await made.take(control.publish(5))
    for signer in (control.kit.bundle, Kit().freshness):
        assert await refused(made.take(control.publish(6, head={"signer": signer}))) == "sig_invalid"
    assert seq(made) == 5


async def test_a_revocation_is_in_force_although_its_bundle_cannot_be_fetched(control, tmp_path):
    denied = []
    made = puller(control, tmp_path, denied)
    await made.take(control.publish(5))
    head = control.publish(6, head={"revoked": ("k:1",)}, configs=[kit.config("pc-1", {"provider": "@main"})])
    control.files = {path: content for path, content in control.files.items() if not path.startswith("/blobs/")}
    with pytest.raises(ControlUnreachable):
        await made.take(head)
    assert denied[-1] == {"k:1"}
    assert seq(made) == 5
    again_denied = []
    again = puller(control, tmp_path, again_denied)
    again.load()
    assert again_denied[-1] == {"k:1"}


async def test_a_bad_row_is_quarantined_and_the_revocation_beside_it_counts(control, tmp_path):
    denied = []
    made = puller(control, tmp_path, denied)
    bad = {"configs": {f"{kit.WS}/pc-bad": b'{"id":"ws-1/pc-bad","body":7}'}}
    assert await made.take(control.publish(5, raw=bad, head={"revoked": ("k:1",)}))
    assert made.live.verdict.quarantined == (f"configs/{kit.WS}/pc-bad",)
    assert denied[-1] == {"k:1"}


async def test_a_config_that_parses_but_cannot_run_is_quarantined(control, tmp_path):
    made = puller(control, tmp_path)
    await made.take(control.publish(5, configs=[kit.config("pc-x", {"retry": {"attempts": 99}})]))
    assert made.live.verdict.quarantined == (f"configs/{kit.WS}/pc-x",)


async def test_a_bundle_of_bad_rows_is_rejected_whole_and_not_fetched_again(control, tmp_path):
    made = puller(control, tmp_path)
    await made.take(control.publish(5))
    bad = {"api_keys": {f"k{number}": b'{"id":"k%d"}' % number for number in range(9)}}
    assert await refused(made.take(control.publish(6, raw=bad))) == "schema_invalid"
    control.calls.clear()
    assert not await made.take(control.publish(6, raw=bad, head_no=7))
    assert control.calls == []
    assert seq(made) == 5


async def test_an_organisation_that_cannot_be_read_rejects_the_bundle(control, tmp_path):
    made = puller(control, tmp_path)
    assert await refused(made.take(control.publish(5, raw={"orgs": {"o2": b'{"id":"o2"}'}}))) == "schema_invalid"


async def test_a_secret_that_does_not_open_is_quarantined(control, tmp_path):
    made = puller(control, tmp_path)
    await made.take(
        control.publish(5, secrets=[kit.sealed_row(bound_to=kit.SealedTo(kit.ORG, "other", "secret-1", 1))])
    )
    assert made.live.verdict.quarantined == ("secrets/secret-1",)


async def test_keys_that_vanish_by_more_than_half_are_refused_without_the_publishers_word(control, tmp_path):
    made = puller(control, tmp_path)
    many = [kit.api_key(), *(kit.api_key(id=f"k{number}") for number in range(30))]
    await made.take(control.publish(5, api_keys=many))
    assert await refused(made.take(control.publish(6, api_keys=many[:5]))) == "schema_invalid"
    assert await made.take(control.publish(7, api_keys=many[:5], manifest={"allow_shrink": True}))


async def test_expired_and_future_heads_prove_no_freshness_and_are_still_taken_when_newer(control, tmp_path):
    made = puller(control, tmp_path)
    await made.take(control.publish(5, head={"issued_at": NOW - 9000, "expires": NOW - 8100}))
    assert (seq(made), made.fresh_at) == (5, None)
    await made.take(control.publish(6, head={"issued_at": NOW + 3e8, "expires": NOW + 3e8}))
    assert (seq(made), made.fresh_at) == (6, None)
    await made.take(control.publish(7))
    assert made.fresh_at is not None


async def test_heads_that_stay_away_make_the_bundle_stale_and_never_stop_it(control, tmp_path, monkeypatch):
    made = puller(control, tmp_path)
    assert not made.is_stale()
    await made.take(control.publish(5))
    now = made.fresh_at
    monkeypatch.setattr("data_plane.sync.pull.time.monotonic", lambda: now + 899)
    assert (made.is_stale(), made.head_age_s()) == (False, pytest.approx(899))
    monkeypatch.setattr("data_plane.sync.pull.time.monotonic", lambda: now + 901)
    assert made.is_stale()
    assert seq(made) == 5
    await made.take(control.publish(5, head_no=6))
    assert not made.is_stale()


async def test_a_start_without_the_control_plane_is_stale_after_a_while(control, tmp_path, monkeypatch):
    await puller(control, tmp_path).take(control.publish(5))
    again = puller(control, tmp_path)
    again.load()
    assert not again.is_stale()
    later = time.monotonic() + 901
    monkeypatch.setattr("data_plane.sync.pull.time.monotonic", lambda: later)
    assert (again.is_stale(), again.head_age_s()) == (True, None)


async def test_roots_are_followed_and_a_bundle_key_is_rotated_with_overlap(control, tmp_path):
    made = puller(control, tmp_path)
    await made.take(control.publish(5))
    old, new = control.kit.bundle, Kit().bundle
    control.add_root(bundle=[old, new])
    control.kit.bundle = new
    await made.take(control.publish(6))
    control.add_root(bundle=[new])
    await made.take(control.publish(7))
    assert (seq(made), made.roots[-1].version) == (7, 3)
    again = puller(control, tmp_path)
    assert again.load()


async def test_a_key_dropped_without_overlap_does_not_stop_an_offline_restart(control, tmp_path):
    made = puller(control, tmp_path)
    await made.take(control.publish(5))
    control.kit.bundle = Kit().bundle
    control.add_root()
    await made.root_for(2)
    control.lost = True
    again = puller(control, tmp_path)
    assert again.load()
    assert (seq(again), again.roots[-1].version) == (5, 2)


async def test_a_key_that_is_listed_as_compromised_stops_it(control, tmp_path):
    made = puller(control, tmp_path)
    await made.take(control.publish(5))
    compromised = control.kit.bundle.public_key.keyid
    control.kit.bundle = Kit().bundle
    control.add_root(compromised=(compromised,))
    await made.root_for(2)
    assert not puller(control, tmp_path).load()


async def test_a_forged_root_is_refused(control, tmp_path):
    made = puller(control, tmp_path)
    await made.take(control.publish(5))
    control.roots.append(Kit().root(version=2))
    assert await refused(made.take(control.publish(6))) == "root_chain"
    assert seq(made) == 5


async def test_the_first_root_must_be_the_pinned_one(control, tmp_path):
    head = control.publish(5)
    control.bend["/root/1"] = Kit().root()
    assert await refused(puller(control, tmp_path).take(head)) == "root_chain"


async def test_a_damaged_blob_on_disk_falls_back_to_the_bundle_before_and_is_fetched_again(control, tmp_path):
    made = puller(control, tmp_path)
    await made.take(control.publish(5))
    head = control.publish(6, configs=[kit.config("pc-1", {"provider": "@main"})])
    await made.take(head)
    index = made.live.manifest.sections["configs"].index.d
    path = tmp_path / "bundles" / "blobs" / index[:2] / index
    path.write_bytes(flip(path.read_bytes()))
    again = puller(control, tmp_path)
    assert again.load()
    assert seq(again) == 5
    assert await again.take(head)
    assert sha256(path.read_bytes()) == index


async def test_a_lost_guard_takes_its_mark_from_the_stored_bundle(control, tmp_path):
    made = puller(control, tmp_path)
    old = control.publish(4)
    await made.take(control.publish(5))
    (tmp_path / "guard.bin").write_bytes(b"\xff" * 65536)
    again = puller(control, tmp_path)
    again.load()
    assert await refused(again.take(old)) == "rollback"


async def test_a_disk_that_refuses_does_not_hold_up_a_new_bundle(control, tmp_path, monkeypatch):
    made = puller(control, tmp_path)
    await made.take(control.publish(5))

    def refuse(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(made._store, "put", refuse)
    assert await made.take(control.publish(6, configs=[kit.config("pc-1", {"provider": "@main"})]))
    assert (seq(made), made.persisted, made.fault.code) == (6, (1, 5), "persist_failed")


async def test_revocations_are_in_force_before_the_disk_is_asked_and_a_bundle_is_live_before_it_is_stored(
    control, tmp_path, monkeypatch
):
    order = []
    made = puller(control, tmp_path)
    monkeypatch.setattr(made, "_on_deny", lambda ids: order.append(("deny", sorted(ids))))
    monkeypatch.setattr(made, "_on_live", lambda: order.append(("live", made.live.manifest.seq)))
    for owner, name in ((made._guard, "put"), (made._store, "persist")):
        real = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *given, real=real, name=name: (order.append(name), real(*given)))
    await made.take(control.publish(5, head={"revoked": ("k:1",)}))
    seen = [each for each in order if each not in (("deny", []), "put")]
    assert seen[:3] == [("deny", ["k:1"]), ("live", 5), "persist"]
    assert order.index("put", order.index(("deny", ["k:1"]))) < order.index(("live", 5))


async def test_revocations_are_forgotten_once_a_stored_bundle_knows_of_them(control, tmp_path):
    denied = []
    made = puller(control, tmp_path, denied)
    await made.take(control.publish(5, head={"revoked": ("k:1",)}))
    await made.take(control.publish(6, configs=[kit.config("pc-1", {"provider": "@main"})]))
    assert denied[-1] == frozenset()


async def test_without_anything_stored_there_is_nothing_to_start_from(control, tmp_path):
    assert not puller(control, tmp_path).load()
