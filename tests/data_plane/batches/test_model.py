from data_plane.batches.model import BATCH_PREFIX, FILE_PREFIX, BatchRow, Counts, Fault, FileRow, is_id, is_own, new_id


def row(**changes):
    made = {
        "id": new_id(BATCH_PREFIX),
        "ws": "ws",
        "key": "key",
        "endpoint": "/v1/embeddings",
        "input_file": "f",
        "created": 5,
        "expires": 9,
    }
    return BatchRow(**{**made, **changes})


def test_ids_are_told_from_those_of_providers():
    assert is_own(new_id(FILE_PREFIX))
    assert is_own(new_id(BATCH_PREFIX))
    assert not is_own("file-abc")
    assert new_id(FILE_PREFIX) != new_id(FILE_PREFIX)


def test_an_id_cannot_be_a_path():
    assert is_id(new_id(FILE_PREFIX))
    assert not any(map(is_id, ["pk_file_..", "pk_file_" + "0" * 31, "pk_file_" + "0" * 32 + "/..", "pk_x_" + "0" * 32]))


def test_a_file_is_shown_as_openai_shows_it():
    shown = FileRow("pk_file_1", "a.jsonl", "batch", 7, 3).shown()
    assert shown == {
        "id": "pk_file_1", "object": "file", "bytes": 7, "created_at": 3, "filename": "a.jsonl", "purpose": "batch", "status": "processed",
    }  # fmt: skip


def test_results_are_shown_when_the_batch_has_ended():
    running = row(status="finalizing", output_file="out", ending="completed", counts=Counts(2, 2, 0))
    assert running.shown()["output_file_id"] is None
    ended = running.moved("completed", 8)
    shown = ended.shown()
    assert (shown["output_file_id"], shown["completed_at"], shown["request_counts"]) == (
        "out", 8, {"total": 2, "completed": 2, "failed": 0},
    )  # fmt: skip


def test_a_batch_that_somebody_wants_ended_says_so_until_it_has():
    assert row(status="in_progress").shown(cancelling_since=6)["status"] == "cancelling"
    assert row().moved("cancelled", 7).shown(cancelling_since=6)["status"] == "cancelled"


def test_why_a_batch_failed_is_told():
    failed = row(faults=(Fault("empty_file", "no requests"),)).moved("failed", 7)
    assert failed.shown()["errors"]["data"] == [
        {"code": "empty_file", "message": "no requests", "line": None, "param": None}
    ]
