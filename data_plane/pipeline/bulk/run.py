"""Do what a call asks of a provider's files, batches and fine-tuning jobs.

One account does it: a file that one has is no use to another, so nothing is tried elsewhere.  An account that says its
bucket is good for that one only; the gateway's own identity, which may reach more than its accounts should, needs one
that does.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from data_plane.core.exchange import Exchange
from data_plane.core.identity import IdentityAsk
from data_plane.core.job import Job
from data_plane.core.parts import unfolded
from data_plane.core.types import CallFacts, Json
from data_plane.pipeline.bulk.intake import ASKED, Intake
from data_plane.pipeline.bulk.relay import ResultBody
from data_plane.pipeline.bulk.route import BATCHES, FILES, TUNINGS, Route
from data_plane.pipeline.bulk.told import MAX_LISTED, MAX_PAGES, Done, Fetch, shown_list, told_object
from data_plane.pipeline.bulk.wire import Wire, read_object
from data_plane.pipeline.deps import Deps
from data_plane.pipeline.forward import RawRelay
from data_plane.pipeline.target import Destination, refuse_unlisted
from data_plane.providers._bulk import (
    BATCHED,
    Bulk,
    Place,
    Store,
    Stored,
    Work,
    encoded_id,
    file_object,
    model_named,
    plain_id,
)
from shared.errors import BadRequest, Forbidden, NotFound, Unsupported
from shared.routing.plan import Target


def call_facts(destination: Destination, target: Target, job: Job) -> CallFacts:
    """Return the facts of the call with what its headers say of this one file or batch."""
    said = {
        name: job.choice.settings[name]
        for name in ASKED
        if job.choice.settings.get(name) and not target.settings.get(name)
    }
    return replace(destination.facts, settings={**destination.facts.settings, **said})


@dataclass(slots=True)
class Run:
    """One call on its way; `facts` are those of the call, `bulk` what its provider has."""

    route: Route
    destination: Destination
    facts: CallFacts
    bulk: Bulk
    job: Job
    exchange: Exchange
    deps: Deps
    timeout_ms: int | None

    def wire_for(self, facts: CallFacts) -> Wire:
        """Return the way to the account's services, as the facts have it."""
        destination = replace(self.destination, facts=facts)
        store = self.bulk.store(destination.base_url, facts)
        return Wire(self.bulk, store, destination, self.deps, self.timeout_ms)

    def wire(self) -> Wire:
        """Return the way to the account's services."""
        return self.wire_for(self.facts)

    # what may be done

    def bound_bucket(self, wire: Wire) -> str | None:
        """Return the only bucket that the account is good for, None where it does not say."""
        return _bound(self.destination, wire.store)

    def check_bucket(self, place: Place, wire: Wire) -> Place:
        """Return the place; raises Forbidden for one outside of the account's bucket."""
        bound = self.bound_bucket(wire)
        if bound is not None and place.bucket != bound:
            raise Forbidden("This provider's files are in another bucket.", path=wire.store.settings[0])
        return place

    def check_model(self, model: str) -> None:
        """Raise Forbidden for a model that the list of the account or the API key does not have."""
        principal = self.exchange.principal
        refuse_unlisted(model, self.destination.virtual_key, principal.key.models if principal is not None else None)

    def check_addresses(self, body: object, wire: Wire, depth: int = 0) -> None:
        """Raise Forbidden for any address in a body that is outside of the account's bucket."""
        if isinstance(body, dict) and depth < 5:
            for value in body.values():
                self.check_addresses(value, wire, depth + 1)
        elif isinstance(body, str) and ":" in (text := _address(body)) and text.startswith(f"{wire.store.scheme}://"):
            bucket = text.removeprefix(f"{wire.store.scheme}://").partition("/")[0]
            self.check_bucket(Place(bucket, ""), wire)

    def place(self, wire: Wire) -> Place:
        """Return the object that the path names; raises NotFound and Forbidden."""
        text, scheme = plain_id(self.route.id), f"{wire.store.scheme}://"
        bucket, _, key = text.removeprefix(scheme).partition("/")
        try:
            place = wire.store.place(bucket, key)
        except BadRequest:
            place = None
        if not text.startswith(scheme) or place is None or not place.key:
            raise NotFound("There is no such file.")
        return self.check_bucket(place, wire)

    # answers

    def told(self, body: Json) -> Done:
        """Return an answer in JSON, and note it."""
        return told_object(body, self.exchange)

    async def shown_list(self, fetch: Fetch) -> Done:
        """Return OpenAI's list of what `fetch` gives."""
        return await shown_list(fetch, self.exchange)

    # files

    async def create_file(self) -> Done:
        """Store a file whose lines are translated while they arrive."""
        raw = self.job.raw
        if raw is None or raw.upload is None:
            raise BadRequest("Invalid content type passed")
        intake = Intake(self.destination, self.facts, self.bulk, self.wire_for, self.check_model, self.check_bucket)
        sending, encoder, size = await intake.take(raw.upload.fields())
        self.exchange.model_served = encoder.model or None
        now = self.exchange.call.received_us // 1_000_000
        return self.told(file_object(sending.wire.store, Stored(sending.place, size, now, encoder.purpose)))

    async def read_file(self) -> Done:
        """Tell what the store knows of a file."""
        wire = self.wire()
        place = self.place(wire)
        told = await wire.ask(wire.store.look(place), is_storage=True)
        return self.told(file_object(wire.store, wire.store.seen(told, place)))

    async def delete_file(self) -> Done:
        """Delete a file."""
        wire = self.wire()
        place = self.place(wire)
        await wire.ask(wire.store.delete(place), is_storage=True)
        return self.told({"id": encoded_id(plain_id(self.route.id)), "object": "file", "deleted": True})

    async def list_files(self) -> Done:
        """List the objects of a bucket."""
        wire = self.wire()
        bucket = self.facts.settings.get(wire.store.settings[0])
        if not bucket:
            raise BadRequest(f"{wire.store.settings[0]} is required.", path=wire.store.settings[0])
        folder = self.check_bucket(wire.store.place(str(bucket), ""), wire)

        async def fetch(count: int, token: str | None) -> tuple[list[Json], str | None]:
            told = await wire.ask(wire.store.page(folder, count, token), is_storage=True)
            found, following = wire.store.paged(told, folder)
            return [file_object(wire.store, stored) for stored in found], following

        return await self.shown_list(fetch)

    async def read_content(self) -> Done:
        """Relay a file's content: results in OpenAI's words, anything else as it is."""
        wire = self.wire()
        place = self.place(wire)
        batches = self.bulk.batches(self.destination.base_url, self.facts)
        job_id = batches.result_of(place)
        if job_id is None:
            return self._relayed(await ResultBody.of_object(wire, place))
        model = ""
        if job_id:
            told = await wire.ask(batches.read(job_id), is_storage=False)
            results = batches.results(read_object(told, self.destination.provider.id))
            model = results.model if results else ""
        return self._relayed(await ResultBody.of_results(wire, batches, [place], replace(self.facts, model=model)))

    def _relayed(self, body: ResultBody) -> Done:
        relay = RawRelay(body, self.exchange, self.deps.clock)
        return Done(relay.answer(), relay)

    # batches and fine-tuning jobs

    def work(self) -> Work:
        """Return the kind of job that the call is about."""
        make = self.bulk.batches if self.route.kind == BATCHES else self.bulk.tunings
        return make(self.destination.base_url, self.facts)

    async def create_job(self) -> Done:
        """Begin a batch or a fine-tuning job."""
        wire, body = self.wire(), unfolded(self.destination.body)
        if self.route.kind == BATCHES and body.get("endpoint") not in BATCHED:
            raise BadRequest(f"endpoint must be one of: {', '.join(BATCHED)}", path="endpoint")
        model = model_named(body, self.facts, self.bulk.model_settings)
        self.check_model(model)
        self.exchange.model_served = model
        self.check_addresses(body, wire)
        work = self.work()
        told = await wire.ask(work.create(body), is_storage=False)
        return self.told(work.created(read_object(told, self.destination.provider.id), body))

    async def _read_job(self, wire: Wire) -> Json:
        told = await wire.ask(self.work().read(self.route.id), is_storage=False)
        return read_object(told, self.destination.provider.id)

    async def read_job(self) -> Done:
        """Tell of one batch or fine-tuning job."""
        return self.told(self.work().shown(await self._read_job(self.wire())))

    async def cancel_job(self) -> Done:
        """End a job, and tell how it is then."""
        wire = self.wire()
        await wire.ask(self.work().cancel(self.route.id), is_storage=False)
        return self.told(self.work().shown(await self._read_job(wire)))

    async def list_jobs(self) -> Done:
        """List batches or fine-tuning jobs."""
        wire, work = self.wire(), self.work()

        async def fetch(count: int, token: str | None) -> tuple[list[Json], str | None]:
            told = await wire.ask(work.page(count, token), is_storage=False)
            return work.paged(read_object(told, self.destination.provider.id))

        return await self.shown_list(fetch)

    async def read_output(self) -> Done:
        """Relay a batch's results in OpenAI's words."""
        wire = self.wire()
        batches = self.bulk.batches(self.destination.base_url, self.facts)
        told = await wire.ask(batches.read(self.route.id), is_storage=False)
        results = batches.results(read_object(told, self.destination.provider.id))
        places = await self._results(wire, results.folder, results.ends) if results else []
        if results is None or not places:
            raise NotFound("The batch has no output yet.")
        self.exchange.model_served = results.model or None
        return self._relayed(
            await ResultBody.of_results(wire, batches, places, replace(self.facts, model=results.model))
        )

    async def _results(self, wire: Wire, folder: Place, ends: tuple[str, ...]) -> list[Place]:
        self.check_bucket(folder, wire)
        token: str | None = None
        found: list[Place] = []
        for _ in range(MAX_PAGES):
            told = await wire.ask(wire.store.page(folder, MAX_LISTED, token), is_storage=True)
            objects, token = wire.store.paged(told, folder)
            found += [stored.place for stored in objects if stored.place.key.endswith(ends)]
            if token is None:
                break
        return found


def _address(text: str) -> str:
    try:
        return plain_id(text)
    except NotFound:
        return ""


_DO: Final[Mapping[tuple[str, str], Callable[[Run], Awaitable[Done]]]] = {
    (FILES, "create"): Run.create_file,
    (FILES, "list"): Run.list_files,
    (FILES, "read"): Run.read_file,
    (FILES, "delete"): Run.delete_file,
    (FILES, "content"): Run.read_content,
    **{
        (kind, action): method
        for kind in (BATCHES, TUNINGS)
        for action, method in (
            ("create", Run.create_job),
            ("list", Run.list_jobs),
            ("read", Run.read_job),
            ("cancel", Run.cancel_job),
        )
    },
    (BATCHES, "output"): Run.read_output,
}


def _bound(destination: Destination, store: Store) -> str | None:
    row = destination.virtual_key
    bound = row.settings.get(store.settings[0]) if row is not None else None
    return str(bound) if bound else None


def check_identity_bound(destination: Destination, bulk: Bulk) -> None:
    """Raise Forbidden for an account on the gateway's own identity that says no bucket; asked before it has a token."""
    provider, key, facts = destination.provider, destination.credential.key, destination.facts
    ask: Any = provider.token(key, facts) if provider.token is not None else None
    store = bulk.store(destination.base_url, facts)
    if isinstance(ask, IdentityAsk) and ask.is_own and _bound(destination, store) is None:
        setting = store.settings[0]
        raise Forbidden(f"An account that calls by the gateway's own identity must say its {setting}.", path=setting)


async def run_bulk(run: Run) -> Done:
    """Do what the call asks; raises ProviderRefused for a provider's error, and GatewayError."""
    do = _DO.get((run.route.kind, run.route.action))
    if do is None:
        raise Unsupported(f"{run.destination.provider.id} has no {run.route.action} of a {run.route.kind} job.")
    run.exchange.job = replace(run.job, operation=run.route.kind)
    return await do(run)
