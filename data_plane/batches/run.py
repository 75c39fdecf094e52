"""Runs the gateway's own batches: line by line, as the caller who made them, resumable after a kill.

What is answered is on disk within a moment; after a kill the lines whose answers were not are asked again.  A line that
a provider refuses for now is tried again a few times; then its error is its result, and the others go on.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
import structlog

from data_plane.batches.lines import BATCHED, Line, answer_line, error_line, read_line, read_written
from data_plane.batches.model import FILE_PREFIX, BatchRow, Counts, Ending, Fault, is_own, new_id
from data_plane.batches.store import BatchStore
from data_plane.core.endpoint import PROXY
from data_plane.core.exchange import Call
from data_plane.core.job import Principal
from data_plane.core.types import Answer
from data_plane.pipeline.attempt import retry_after_s
from data_plane.pipeline.authenticate import principal_of
from data_plane.pipeline.deps import Deps
from data_plane.pipeline.inner import answered, inner_call, whole_body
from data_plane.sync.snapshot import Snapshot
from shared.errors import GatewayError, Unauthenticated

SCAN_EVERY_S: Final = 1.0
SAVE_EVERY_S: Final = 0.5
SWEEP_EVERY_S: Final = 3600.0
MAX_LINES: Final = 50_000
TRIES: Final = 4
MAX_WAIT_S: Final = 60.0
READ_LINES: Final = 256
_NO_LINES: Final[list[bytes]] = []
#: Statuses that may be another one a moment later.
_FOR_NOW: Final = frozenset({408, 429, 500, 502, 503, 504, 529})

log = structlog.get_logger(module=__name__)


class _Stopped(Exception):
    """A batch ends before its last line."""

    def __init__(self, status: Ending | None, fault: Fault | None = None) -> None:
        """`status` None: it goes on later, here or elsewhere."""
        super().__init__(status)
        self.status = status
        self.fault = fault


@dataclass(slots=True)
class _Progress:
    """What has become of a batch's lines; `seen` are the custom ids that need no answer any more."""

    row: BatchRow
    answered: set[str]
    output: BinaryIO
    errors: BinaryIO
    waiting: list[tuple[bool, bytes]] = field(default_factory=list)
    completed: int = 0
    failed: int = 0
    tokens_in: int = 0
    tokens_out: int = 0

    def add(self, line: bytes, *, good: bool) -> None:
        self.waiting.append((good, line + b"\n"))
        self.completed += good
        self.failed += not good

    def now(self) -> BatchRow:
        total = max(self.row.counts.total, self.completed + self.failed)
        return msgspec.structs.replace(
            self.row,
            counts=Counts(total, self.completed, self.failed),
            tokens_in=self.tokens_in,
            tokens_out=self.tokens_out,
        )


def _recovered(path: Path) -> tuple[set[str], BinaryIO]:
    """Return the custom ids of the whole lines in a file, and the file, open behind the last of them."""
    found: set[str] = set()
    file = path.open("a+b")
    file.seek(0)
    end = 0
    for text in file:
        custom_id = read_written(text)
        if custom_id is None:
            break
        found.add(custom_id)
        end += len(text)
    file.truncate(end)
    file.seek(end)
    return found, file


def _pieces(path: Path, limit: int) -> Iterator[list[bytes]]:
    """Yield the lines of a file, some at a time; one longer than `limit` comes cut, and so is no JSON."""
    with path.open("rb") as file:
        lines: list[bytes] = []
        while text := file.readline(limit):
            if len(text) == limit and not text.endswith(b"\n"):
                while (rest := file.readline(limit)) and not rest.endswith(b"\n"):
                    pass
            lines.append(text)
            if len(lines) == READ_LINES:
                yield lines
                lines = []
        yield lines


class BatchRunner:
    """Runs the batches that nobody else does, `concurrency` calls at a time."""

    def __init__(
        self,
        store: BatchStore,
        deps: Deps,
        *,
        concurrency: int,
        max_line_bytes: int,
        keep_days: int,
        retry_s: float = 1.0,
    ) -> None:
        """`retry_s` is the first wait before a line is tried again; it doubles with every try."""
        self._store = store
        self._deps = deps
        self._slots = asyncio.Semaphore(concurrency)
        self._concurrency = concurrency
        self._max_line_bytes = max_line_bytes
        self._keep_days = keep_days
        self._retry_s = retry_s
        self._running: dict[str, asyncio.Task[None]] = {}
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Look for batches until `stop` is called; each runs in a task of its own."""
        swept = 0.0
        while not self._stopping.is_set():
            for ws, batch_id in await asyncio.to_thread(self._store.unfinished):
                if batch_id not in self._running:
                    task = asyncio.create_task(self._guarded(ws, batch_id))
                    self._running[batch_id] = task
                    task.add_done_callback(partial(self._forget, batch_id))
            if time.monotonic() - swept > SWEEP_EVERY_S:
                swept = time.monotonic()
                await asyncio.to_thread(self._store.sweep, self._keep_days, time.time())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), SCAN_EVERY_S)

    def _forget(self, batch_id: str, _task: asyncio.Task[None]) -> None:
        self._running.pop(batch_id, None)

    async def stop(self, grace_s: float) -> None:
        """Ask no more lines, and wait for the answers to those that are out, up to `grace_s`."""
        self._stopping.set()
        tasks = list(self._running.values())
        if tasks:
            await asyncio.wait(tasks, timeout=grace_s)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _guarded(self, ws: str, batch_id: str) -> None:
        """Run one batch; a defect ends it for now, not the runner."""
        try:
            with self._store.claimed(ws, batch_id) as row:
                if row is not None and self._deps.holder.current is not None:
                    await self._run(row)
        except Exception:  # a batch is an edge: it is tried again at the next look
            log.exception("batch_failed", id=batch_id)
            await asyncio.sleep(SCAN_EVERY_S)

    def _identify(self, row: BatchRow) -> Principal:
        snapshot = self._deps.holder.current
        if snapshot is None:
            raise Unauthenticated("The gateway has no configuration yet.")
        return principal_of(row.key, snapshot, self._deps.holder.denied)

    async def _run(self, row: BatchRow) -> None:
        if row.ending is not None:
            await self._end(row, _Stopped(row.ending))
            return
        output, errors = self._store.results(row)
        try:
            source = await self._source(row)
            if row.status == "validating":
                total = await asyncio.to_thread(self._count, source)
                row = row.moved("in_progress", int(time.time()), counts=Counts(total))
                await asyncio.to_thread(self._store.save, row)
        except _Stopped as stop:
            await self._end(row, stop)
            return
        good, output_file = await asyncio.to_thread(_recovered, output)
        bad, error_file = await asyncio.to_thread(_recovered, errors)
        progress = _Progress(
            row, good | bad, output_file, error_file, completed=len(good), failed=len(bad),
            tokens_in=row.tokens_in, tokens_out=row.tokens_out,
        )  # fmt: skip
        saver = asyncio.create_task(self._save_along(progress))
        ended = _Stopped("completed")
        try:
            await self._ask_all(progress, source)
        except _Stopped as stop:
            ended = stop
        finally:
            saver.cancel()
            await asyncio.gather(saver, return_exceptions=True)
            await asyncio.to_thread(self._flush, progress)
            output_file.close()
            error_file.close()
        if ended.status is not None:
            await self._end(progress.now(), ended)

    async def _source(self, row: BatchRow) -> Path:
        """Return where a batch's lines are, fetched from the provider if they are there; raises _Stopped."""
        if is_own(row.input_file):
            path = self._store.content(row.ws, row.input_file)
            if path is None:
                raise _Stopped("failed", Fault("file_not_found", f"There is no file {row.input_file}."))
            return path
        path = self._store.results(row)[0].with_name("input.jsonl")
        if not path.exists():
            await self._fetch(row, path)
        return path

    async def _fetch(self, row: BatchRow, path: Path) -> None:
        call = inner_call(PROXY, f"/v1/files/{row.input_file}/content", row.headers, self._deps.clock(), method="GET")
        draft = path.with_suffix(".tmp")
        try:
            async with answered(call, self._deps, lambda *_: self._identify(row)) as (answer, _):
                with draft.open("wb") as file:
                    async for piece in _body(answer):
                        file.write(piece)
        except GatewayError as error:
            raise _Stopped("failed", Fault(error.code, error.message)) from None
        if answer.status != 200:
            raise _Stopped(
                "failed", Fault("file_not_read", f"The provider answered for its file with status {answer.status}.")
            )
        draft.rename(path)

    def _count(self, source: Path) -> int:
        """Return how many lines there are; raises _Stopped when there are none, or too many."""
        total = sum(bool(text.strip()) for lines in _pieces(source, self._max_line_bytes) for text in lines)
        if not total:
            raise _Stopped("failed", Fault("empty_file", "The input file has no requests."))
        if total > MAX_LINES:
            raise _Stopped("failed", Fault("too_many_requests", f"A batch has at most {MAX_LINES} requests."))
        return total

    async def _ask_all(self, progress: _Progress, source: Path) -> None:
        """Ask every line that has no answer yet; returns, or raises _Stopped, when nothing is on its way any more."""
        seen: set[str] = set()
        number = 0
        lines = _pieces(source, self._max_line_bytes)
        asking: set[asyncio.Task[None]] = set()
        try:
            while texts := await asyncio.to_thread(next, lines, _NO_LINES):
                for text in texts:
                    number += 1
                    line = read_line(number, text, progress.row.endpoint, seen)
                    if line is None or line.custom_id in progress.answered:
                        continue
                    await self._slots.acquire()
                    try:
                        self._check_goes_on(progress.row)
                    except _Stopped:
                        self._slots.release()
                        raise
                    task = asyncio.create_task(self._ask_one(line, progress))
                    asking.add(task)
                    task.add_done_callback(asking.discard)
        except asyncio.CancelledError:
            for task in asking:
                task.cancel()
            raise
        finally:
            await asyncio.gather(*asking)

    def _check_goes_on(self, row: BatchRow) -> None:
        """Raise _Stopped when no more lines are to be asked."""
        if self._stopping.is_set():
            raise _Stopped(None)
        if self._store.cancelling_since(row) is not None:
            raise _Stopped("cancelled")
        if time.time() >= row.expires:
            raise _Stopped("expired", Fault("batch_expired", "The batch did not end in time."))
        try:
            self._identify(row)
        except GatewayError as error:
            raise _Stopped("failed", Fault("invalid_api_key", error.message)) from None

    async def _ask_one(self, line: Line, progress: _Progress) -> None:
        try:
            if line.fault is not None:
                progress.add(error_line(line.custom_id, "invalid_request", line.fault), good=False)
                return
            for attempt in range(TRIES):
                status, request_id, body, wait_s = await self._ask(line, progress)
                if status not in _FOR_NOW or attempt == TRIES - 1 or self._stopping.is_set():
                    break
                await asyncio.sleep(min(MAX_WAIT_S, max(wait_s, self._retry_s * 2**attempt)))
            if status in _FOR_NOW and self._stopping.is_set():
                return  # asked again when the batch goes on
            progress.add(answer_line(line.custom_id, request_id, status, body), good=200 <= status < 300)
        finally:
            self._slots.release()

    async def _ask(self, line: Line, progress: _Progress) -> tuple[int, str, bytes, float]:
        """Make one call; return (status, id, body, how long the provider asks to wait)."""
        row, deps = progress.row, self._deps
        call = inner_call(BATCHED[row.endpoint], row.endpoint, row.headers, deps.clock(), body=line.body)

        def identify(_call: Call, _snapshot: Snapshot, _denied: frozenset[str]) -> Principal:
            return self._identify(row)

        status, body, wait_s = 502, b"", 0.0
        async with answered(call, deps, identify) as (answer, exchange):
            status, wait_s = answer.status, retry_after_s(answer.headers) or 0.0
            try:
                body = await whole_body(answer)
            except GatewayError as error:
                status, body = error.status, msgspec.json.encode(error.body())
        progress.tokens_in += exchange.usage.input
        progress.tokens_out += exchange.usage.output
        return status, exchange.id, body, wait_s

    async def _save_along(self, progress: _Progress) -> None:
        while True:
            await asyncio.sleep(SAVE_EVERY_S)
            await asyncio.to_thread(self._flush, progress)

    def _flush(self, progress: _Progress) -> None:
        """Write what was answered since, and then how far the batch is."""
        waiting, progress.waiting = progress.waiting, []
        if not waiting:
            return
        for file, wanted in ((progress.output, True), (progress.errors, False)):
            file.write(b"".join(line for good, line in waiting if good is wanted))
            file.flush()
        self._store.save(progress.now())

    async def _end(self, row: BatchRow, stop: _Stopped) -> None:
        """Give the batch its last status, and its results to its workspace as files.

        How it ends is on disk before the results are moved: a kill in between must not have it run again.
        """
        if row.ending is None:
            row = row.moved(
                "finalizing", int(time.time()), ending=stop.status, faults=(stop.fault,) if stop.fault else (),
                output_file=new_id(FILE_PREFIX), error_file=new_id(FILE_PREFIX),
            )  # fmt: skip
            await asyncio.to_thread(self._store.save, row)
        ended = await asyncio.to_thread(self._store.finish, row, int(time.time()))
        log.info("batch_ended", id=row.id, status=ended.status, answered=row.counts.completed, failed=row.counts.failed)


async def _body(answer: Answer) -> AsyncIterator[bytes]:
    if answer.frames is None:
        yield answer.body
        return
    async for piece in answer.frames:
        yield piece
