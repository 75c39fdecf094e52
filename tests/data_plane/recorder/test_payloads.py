from datetime import UTC, datetime, timedelta

from data_plane.recorder.payloads import PayloadStore
from shared.ids import uuid7, uuid7_at


def test_a_body_is_found_by_its_records_id(tmp_path):
    store, record_id = PayloadStore(tmp_path), str(uuid7())
    store.put({"id": record_id, "ws": "w", "request": b'{"a": 1}', "response": None})
    assert store.get(record_id)["request"] == {"a": 1}
    assert store.get(str(uuid7())) is None


def test_an_id_cannot_lead_out_of_the_folder(tmp_path):
    store = PayloadStore(tmp_path / "payloads")
    (tmp_path / "secret.zst").write_bytes(b"x")
    assert store.get("../secret") is None
    assert store.get("00000000-0000-4000-8000-000000000000") is None


def test_bodies_are_readable_by_their_owner_only(tmp_path):
    store, record_id = PayloadStore(tmp_path), str(uuid7())
    store.put({"id": record_id})
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.rglob("*.zst"))


def test_old_days_are_swept_and_young_ones_kept(tmp_path):
    store, now = PayloadStore(tmp_path), datetime(2026, 11, 21, 12, tzinfo=UTC)
    ids = [str(uuid7_at(int((now - timedelta(days=days)).timestamp() * 1000), bytes(10))) for days in (1, 40)]
    for record_id in ids:
        store.put({"id": record_id})
    assert store.sweep(30, now) == 1
    assert [store.get(record_id) is not None for record_id in ids] == [True, False]
