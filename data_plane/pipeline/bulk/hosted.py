"""Do what a call asks of files, batches and fine-tuning jobs that a provider keeps itself.

What is asked of the provider carries its credential, and goes only to where that is bound.  The content of a file is
fetched from where the provider says, without the credential, and never from a private address.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from data_plane.core.exchange import Exchange
from data_plane.core.job import Job
from data_plane.core.parts import unfolded
from data_plane.core.types import CallFacts, Json, UpstreamBody, UpstreamRequest
from data_plane.pipeline.bulk.fetched import FetchedBody
from data_plane.pipeline.bulk.held import HeldFile, take_file
from data_plane.pipeline.bulk.route import BATCHES, FILES, TUNINGS, Route
from data_plane.pipeline.bulk.told import Done, shown_list, told_object
from data_plane.pipeline.bulk.wire import MAX_FAULT_BYTES, MAX_TOLD_BYTES, TIMEOUT_MS, ProviderRefused, read_object
from data_plane.pipeline.deps import Deps
from data_plane.pipeline.forward import RawRelay
from data_plane.pipeline.target import Destination, refuse_unlisted
from data_plane.providers._bulk import Told, Work, model_named, plain_id, request_to
from data_plane.providers._hosted import Files, Hosted, HostedBatches
from data_plane.providers.base import ProviderFault
from shared.errors import BadRequest, Forbidden, GatewayError, NotFound, Unsupported, UpstreamInvalid
from shared.hosts import check_outgoing_url, host_of

#: A file takes longer to arrive than an answer.
UPLOAD_TIMEOUT_MS: Final = 600_000
#: Announced files that are being deleted while nobody waits for it.
_dropping: set[asyncio.Task[None]] = set()


@dataclass(slots=True)
class HostedRun:
    """One call on its way; `facts` are those of the call, `hosted` what its provider has."""

    route: Route
    destination: Destination
    facts: CallFacts
    hosted: Hosted
    job: Job
    exchange: Exchange
    deps: Deps
    timeout_ms: int | None

    # requests

    async def send(self, request: UpstreamRequest) -> UpstreamBody:
        """Return the provider's answer when its head is there; raises ProviderRefused and GatewayError."""
        provider, credential = self.destination.provider, self.destination.credential
        if credential.hosts and host_of(request.url) not in credential.hosts:
            raise Forbidden("The credential of this provider may not be sent to this host.")
        headers = {**provider.default_headers, **request.headers}
        if credential.key is not None:
            provider.authorise(credential.key, headers)
        return await self._sent(replace(request, headers=headers))

    async def _sent(self, request: UpstreamRequest) -> UpstreamBody:
        usual_ms = TIMEOUT_MS if request.upload is None else UPLOAD_TIMEOUT_MS
        response = await self.deps.client.send(replace(request, timeout_ms=self.timeout_ms or usual_ms))
        if 200 <= response.status < 300:
            return response
        try:
            content = await response.read(MAX_FAULT_BYTES)
        finally:
            response.close()
        raise ProviderRefused(response.status, self._fault(response.status, content))

    def _fault(self, status: int, content: bytes) -> ProviderFault:
        try:
            body: Any = msgspec.json.decode(content)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            body = None
        return self.hosted.fault(status, body if isinstance(body, dict) else None)

    async def ask(self, request: UpstreamRequest) -> Json:
        """Return the provider's answer, an empty one for no content; raises ProviderRefused and GatewayError."""
        response = await self.send(request)
        try:
            content = await response.read(MAX_TOLD_BYTES)
        finally:
            response.close()
        return read_object(Told(response.status, {}, content), self.destination.provider.id)

    async def fetch(self, url: str) -> UpstreamBody:
        """Return what is at an address that the provider told; raises ProviderRefused and GatewayError."""
        try:
            if urlsplit(url)[:2] != urlsplit(self.destination.base_url)[:2]:
                check_outgoing_url(url, (), https_only=True)
        except ValueError:
            raise UpstreamInvalid("The provider's file is at an address that is not fetched from.") from None
        return await self._sent(request_to(url))

    # parts

    def files(self) -> Files:
        """Return what the provider's files are."""
        return self.hosted.files(self.destination.base_url, self.facts)

    def batches(self) -> HostedBatches:
        """Return what the provider's batches are; raises Unsupported."""
        if self.hosted.batches is None:
            raise Unsupported(f"{self.destination.provider.id} has no batches here.")
        return self.hosted.batches(self.destination.base_url, self.facts)

    def work(self) -> Work:
        """Return the kind of job that the call is about; raises Unsupported."""
        if self.route.kind == BATCHES:
            return self.batches()
        if self.hosted.tunings is None:
            raise Unsupported(f"{self.destination.provider.id} has no fine-tuning jobs here.")
        return self.hosted.tunings(self.destination.base_url, self.facts)

    # files

    async def create_file(self) -> Done:
        """Take in a file, and send it on when every line of it is good."""
        raw = self.job.raw
        if raw is None or raw.upload is None:
            raise BadRequest("Invalid content type passed")
        files, held = self.files(), HeldFile()
        try:
            await take_file(raw.upload.fields(), files, held)
            announcement = files.begin(held.taken)
            if announcement is not None:
                await self.ask(announcement)
            return self._told(files.stored(await self._upload(files, held), held.taken))
        finally:
            held.close()

    async def _upload(self, files: Files, held: HeldFile) -> Json:
        try:
            return await self.ask(held.form(files.send(held.taken), files.field))
        except BaseException:
            # Also when the caller does not wait any more.
            if (request := files.drop()) is not None:
                task = asyncio.create_task(self._drop(request))
                _dropping.add(task)
                task.add_done_callback(_dropping.discard)
                await asyncio.shield(task)
            raise

    async def _drop(self, request: UpstreamRequest) -> None:
        try:
            await self.ask(request)
        except (GatewayError, ProviderRefused):
            # The caller is told why the upload failed, not that an empty file is left.
            return

    async def read_file(self) -> Done:
        """Tell what the provider knows of a file."""
        files = self.files()
        return self._told(files.shown(await self.ask(files.read(self.route.id))))

    async def delete_file(self) -> Done:
        """Delete a file."""
        await self.ask(self.files().delete(self.route.id))
        return self._told({"id": plain_id(self.route.id), "object": "file", "deleted": True})

    async def list_files(self) -> Done:
        """List the account's files."""
        files = self.files()

        async def fetch(count: int, token: str | None) -> tuple[list[Json], str | None]:
            return files.paged(await self.ask(files.page(count, token)), token)

        return await shown_list(fetch, self.exchange)

    async def read_content(self) -> Done:
        """Relay a file's content as lines of JSON: results in OpenAI's words, all else as it is."""
        return await self._content(self.route.id, self.facts)

    async def _content(self, file_id: str, facts: CallFacts) -> Done:
        files = self.files()
        answer = await self.ask(files.look(file_id))
        parts = files.parts(answer)
        if not parts:
            raise NotFound("The file has no content yet.")
        first = await self.fetch(parts[0])
        decoded = files if files.is_result(answer) else None
        body = FetchedBody(self.fetch, first, parts[1:], files=decoded, facts=facts)
        relay = RawRelay(body, self.exchange, self.deps.clock)
        return Done(relay.answer(), relay)

    # batches and fine-tuning jobs

    async def create_job(self) -> Done:
        """Begin a batch or a fine-tuning job."""
        work, body = self.work(), unfolded(self.destination.body)
        model = model_named(body, self.facts, self.hosted.model_settings)
        principal = self.exchange.principal
        refuse_unlisted(model, self.destination.virtual_key, principal.key.models if principal is not None else None)
        self.exchange.model_served = model
        return self._told(work.created(await self.ask(work.create(body)), body))

    async def read_job(self) -> Done:
        """Tell of one batch or fine-tuning job."""
        work = self.work()
        return self._told(work.shown(await self.ask(work.read(self.route.id))))

    async def cancel_job(self) -> Done:
        """End a job, and tell how it is then."""
        work = self.work()
        await self.ask(work.cancel(self.route.id))
        return self._told(work.shown(await self.ask(work.read(self.route.id))))

    async def list_jobs(self) -> Done:
        """List batches or fine-tuning jobs."""
        work = self.work()

        async def fetch(count: int, token: str | None) -> tuple[list[Json], str | None]:
            return work.paged(await self.ask(work.page(count, token)))

        return await shown_list(fetch, self.exchange)

    async def read_output(self) -> Done:
        """Relay a batch's results in OpenAI's words."""
        batches = self.batches()
        output = batches.output(await self.ask(batches.read(self.route.id)))
        if output is None:
            raise NotFound("The batch has no output yet.")
        file_id, model = output
        self.exchange.model_served = model or None
        return await self._content(file_id, replace(self.facts, model=model))

    def _told(self, body: Json) -> Done:
        return told_object(body, self.exchange)


_DO: Final[Mapping[tuple[str, str], Callable[[HostedRun], Awaitable[Done]]]] = {
    (FILES, "create"): HostedRun.create_file,
    (FILES, "list"): HostedRun.list_files,
    (FILES, "read"): HostedRun.read_file,
    (FILES, "delete"): HostedRun.delete_file,
    (FILES, "content"): HostedRun.read_content,
    **{
        (kind, action): method
        for kind in (BATCHES, TUNINGS)
        for action, method in (
            ("create", HostedRun.create_job),
            ("list", HostedRun.list_jobs),
            ("read", HostedRun.read_job),
            ("cancel", HostedRun.cancel_job),
        )
    },
    (BATCHES, "output"): HostedRun.read_output,
}


async def run_hosted(run: HostedRun) -> Done:
    """Do what the call asks; raises ProviderRefused for a provider's error, and GatewayError."""
    do = _DO.get((run.route.kind, run.route.action))
    if do is None:
        raise Unsupported(f"{run.destination.provider.id} has no {run.route.action} of a {run.route.kind} job.")
    run.exchange.job = replace(run.job, operation=run.route.kind)
    return await do(run)
