import os
import time
import uuid

import pytest

from data_plane.batches.model import BATCH_PREFIX, FILE_PREFIX, BatchRow, new_id
from data_plane.batches.store import BatchStore, StoreFull

WS, OTHER = str(uuid.uuid4()), str(uuid.uuid4())


@pytest.fixture
def store(tmp_path):
    return BatchStore(tmp_path / "batches", 10_000)


def kept(store, content=b"abc", ws=WS):
    draft = store.draft(ws)
    draft.write(content)
    return draft.keep("a.jsonl", "batch")


def created(store, **changes):
    row = BatchRow(new_id(BATCH_PREFIX), WS, "key", "/v1/embeddings", "file", 1, 2)
    return store.create(BatchRow(**{name: getattr(row, name) for name in row.__struct_fields__} | changes))


def test_a_file_is_there_when_it_is_whole(store):
    draft = store.draft(WS)
    draft.write(b"abc")
    assert store.files(WS) == []
    assert store.file(WS, draft.id) is None
    row = draft.keep("a.jsonl", "batch")
    assert (store.file(WS, row.id), store.content(WS, row.id).read_bytes(), row.size) == (row, b"abc", 3)


def test_another_workspace_has_no_part_in_it(store):
    row, batch = kept(store), created(store)
    assert store.file(OTHER, row.id) is store.content(OTHER, row.id) is store.batch(OTHER, batch.id) is None
    assert store.files(OTHER) == store.batches(OTHER) == []
    assert not store.delete_file(OTHER, row.id)


@pytest.mark.parametrize("name", ["../x", "pk_file_..", "..", "", "pk_file_" + "0" * 32])
def test_a_name_leads_nowhere_else(store, name):
    kept(store)
    assert store.file(WS, name) is store.batch(WS, name) is None
    assert store.file("..", new_id(FILE_PREFIX)) is None


def test_a_dropped_draft_leaves_nothing(store):
    draft = store.draft(WS)
    draft.write(b"abc")
    draft.drop()
    assert store.used_bytes() <= 3 * 4096 * 4
    assert list(store._folder.rglob("content")) == []


def test_the_youngest_file_comes_first(store):
    first, second = kept(store), kept(store)
    assert [row.id for row in store.files(WS)] == [second.id, first.id]


def test_what_does_not_fit_is_refused(store):
    with pytest.raises(StoreFull):
        store.check_room(10_001)
    kept(store, b"x" * 10_000)
    with pytest.raises(StoreFull):
        store.check_room()


def test_a_batch_waits_until_it_has_ended(store):
    first, second = created(store), created(store)
    assert store.unfinished() == [(WS, first.id), (WS, second.id)]
    store.save(first.moved("completed", 5))
    assert store.unfinished() == [(WS, second.id)]
    assert store.batch(WS, first.id).status == "completed"


def test_one_runs_a_batch_at_a_time(store):
    row = created(store)
    with store.claimed(WS, row.id) as mine:
        assert mine == row
        with store.claimed(WS, row.id) as theirs:
            assert theirs is None
    with store.claimed(WS, row.id) as again:
        assert again == row


def test_a_batch_that_is_gone_is_looked_for_no_more(store):
    row = created(store)
    for path in sorted((store._folder / "batches" / WS / row.id).rglob("*"), reverse=True):
        path.unlink()
    (store._folder / "batches" / WS / row.id).rmdir()
    with store.claimed(WS, row.id) as found:
        assert found is None
    assert store.unfinished() == []


def test_an_end_can_be_asked_for(store):
    row = created(store)
    assert store.cancelling_since(row) is None
    store.cancel(row)
    assert store.cancelling_since(row) >= time.time() - 60


def test_results_become_files_once_however_often_it_is_done(store):
    row = created(
        store, status="finalizing", ending="completed", output_file=new_id(FILE_PREFIX), error_file=new_id(FILE_PREFIX)
    )
    store.results(row)[0].write_bytes(b"{}\n")
    ended = store.finish(row, 5)
    assert (ended.status, ended.error_file, store.content(WS, ended.output_file).read_bytes()) == (
        "completed",
        None,
        b"{}\n",
    )
    assert store.finish(row, 5) == ended


def test_what_is_old_is_swept_and_what_runs_is_not(store):
    old, young, ended, running = kept(store), kept(store), created(store), created(store)
    store.save(ended.moved("completed", 5))
    long_ago = time.time() - 3 * 86_400
    for kind, name in (("files", old.id), ("batches", ended.id), ("batches", running.id)):
        os.utime(store._folder / kind / WS / name, (long_ago, long_ago))
    assert store.sweep(2, time.time()) == 2
    assert [row.id for row in store.files(WS)] == [young.id]
    assert [row.id for row in store.batches(WS)] == [running.id]
