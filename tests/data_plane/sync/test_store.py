"""Crashes: the process is killed at every point where something is half written, and must start again whole."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from data_plane.sync.store import BundleStore
from tests.data_plane import kit
from tests.data_plane.sync.control_kit import ControlPlane, puller

POINTS = [
    "guard.before_write", "guard.before_sync", "guard.after_sync", "head.mid_write", "head.before_rename", "head.after_rename",
    "blob.mid_write", "blob.before_rename", "blob.after_rename", "manifest.mid_write", "manifest.before_rename",
    "manifest.after_rename", "previous.mid_write", "previous.before_rename", "previous.after_rename", "current.mid_write",
    "current.before_rename", "current.after_rename",
]  # fmt: skip
ROOT = Path(__file__).parents[3]


def frozen(control, folder):
    """Write what the control plane serves to files, for a process that has no part in this one's memory."""
    (folder / "files").write_bytes(
        msgspec.msgpack.encode({"files": control.files, "roots": control.roots, "head": control.newest})
    )


def run_child(folder, fault=""):
    code = """
import asyncio, sys, msgspec
from pathlib import Path
from tests.data_plane import kit
from tests.data_plane.sync.control_kit import ControlPlane, puller
kept = msgspec.msgpack.decode(Path(sys.argv[1], "files").read_bytes())
control = ControlPlane()
control.roots, control.files = kept["roots"], kept["files"]
made = puller(control, Path(sys.argv[1], "state"))
made.load()
asyncio.run(made.take(kept["head"]))
print(made.live.manifest.seq)
"""
    env = {**os.environ, "GATEHOUSE_FAULT": fault, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", code, str(folder)], env=env, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
async def published(tmp_path):
    """A state folder that holds revision 5, and a control plane that serves revision 6, the revocation of k:1 in its head."""
    control = ControlPlane()
    made = puller(control, tmp_path / "state")
    await made.take(control.publish(4))
    await made.take(control.publish(5, configs=[kit.config("pc-0", {"provider": "@main"})]))
    control.newest = control.publish(6, head={"revoked": ("k:1",)}, configs=[kit.config("pc-1", {"provider": "@main"})])
    frozen(control, tmp_path)
    return control


@pytest.mark.parametrize("point", POINTS)
async def test_a_kill_at_any_point_leaves_the_old_or_the_new_bundle(published, tmp_path, point):
    killed = run_child(tmp_path, fault=point)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    again = puller(published, tmp_path / "state")
    published.lost = True
    assert again.load()
    assert again.live.manifest.seq in {5, 6}
    assert max(again.marks.manifest, again.marks.head) >= again.live.manifest.version
    published.lost = False
    await again.take(published.newest)
    assert again.live.manifest.seq == 6
    assert not list((tmp_path / "state" / "bundles" / "tmp").iterdir())


async def test_without_a_kill_the_child_reaches_the_new_bundle(published, tmp_path):
    done = run_child(tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, "6"), done.stderr


async def test_housekeeping_keeps_what_the_kept_bundles_need(tmp_path):
    control = ControlPlane()
    made = puller(control, tmp_path)
    for seq in range(1, 9):
        await made.take(control.publish(seq, configs=[kit.config(f"pc-{seq}", {"provider": "@main"})]))
    store = BundleStore(tmp_path / "bundles")
    kept = sorted(path.stem for path in (tmp_path / "bundles" / "manifests").iterdir())
    assert kept == ["1.6", "1.7", "1.8"]
    for name, accepted in store.candidates():
        assert store.load(name, made.roots, accepted, kit.IDENTITY).manifest.seq in {6, 7, 8}


def test_files_are_readable_by_nobody_else(tmp_path):
    store = BundleStore(tmp_path / "bundles")
    store.put(tmp_path / "bundles" / "heads" / "last.dsse", b"x", "head")
    assert (tmp_path / "bundles" / "heads" / "last.dsse").stat().st_mode & 0o077 == 0
    assert (tmp_path / "bundles" / "blobs").stat().st_mode & 0o077 == 0
