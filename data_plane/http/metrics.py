"""Prometheus metrics of this gateway, summed over its worker processes.

Labels are bounded: endpoint, provider and status class, never a model, key or anything else that callers choose.
"""

from collections import Counter as Counts
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from data_plane.limits.admission import Admission
from data_plane.limits.budgets import Budgets
from shared.routing.breaker import Breakers
from shared.routing.sticky import StickyMemory

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_MOST_UNFLUSHED: Final = 4096
_BUCKETS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """What is counted about requests, records and configuration."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self._registry = registry
        self._requests = Counter(
            "gatehouse_requests", "Requests answered.", ["endpoint", "provider", "code"], registry=registry
        )
        self._seconds = Histogram(
            "gatehouse_request_seconds", "Time to the end of the answer.", ["endpoint"], buckets=_BUCKETS,
            registry=registry,
        )  # fmt: skip
        self._tokens = Counter(
            "gatehouse_tokens", "Tokens counted by providers.", ["provider", "kind"], registry=registry
        )
        self.streams = Gauge(
            "gatehouse_streams", "Streams running now.", registry=registry, multiprocess_mode="livesum"
        )
        self.sessions = Gauge(
            "gatehouse_realtime_sessions", "Realtime sessions open now.", registry=registry,
            multiprocess_mode="livesum",
        )  # fmt: skip
        self.breakers_open = Gauge(
            "gatehouse_breakers_open", "Circuit breakers that are open, counted in each worker.", registry=registry,
            multiprocess_mode="livesum",
        )  # fmt: skip
        self._make_gauges_of_limits()
        self.forgotten = Gauge(
            "gatehouse_routing_forgotten", "Sticky choices and breakers forgotten because there were too many.",
            ["kind"], registry=registry, multiprocess_mode="sum",
        )  # fmt: skip
        self.dropped = Gauge(
            "gatehouse_records_dropped", "Records or bodies lost, by reason.", ["reason"], registry=registry,
            multiprocess_mode="sum",
        )  # fmt: skip
        self.active_seq = Gauge(
            "gatehouse_config_active_seq", "Sequence number of the configuration in use.", registry=registry,
            multiprocess_mode="min",
        )  # fmt: skip
        self._counts: Counts[tuple[str, str, int]] = Counts()
        self._durations: dict[str, list[float]] = {}
        self._token_counts: Counts[tuple[str, str]] = Counts()

    def _make_gauges_of_limits(self) -> None:
        self.rate_limited = Gauge(
            "gatehouse_rate_limited",
            "Calls that a limit of rate refused since the start, by what it limits.",
            ["kind"],
            registry=self._registry,
            multiprocess_mode="sum",
        )
        self.rate_failures = Gauge(
            "gatehouse_rate_limit_store_failures",
            "Times that the shared store of rate counts did not answer since the start.",
            registry=self._registry,
            multiprocess_mode="sum",
        )
        self.budget_refusals = Gauge(
            "gatehouse_budget_refusals",
            "Calls refused for want of a budget since the start, by whose it is; `unconfirmed`: nobody could tell.",
            ["kind"],
            registry=self._registry,
            multiprocess_mode="sum",
        )
        self.budget_overshoot = Gauge(
            "gatehouse_budget_overshoot",
            "What calls took beyond what was set aside for them since the start: nano-dollars, tokens or requests.",
            ["unit"],
            registry=self._registry,
            multiprocess_mode="sum",
        )
        self.unpriced_charges = Gauge(
            "gatehouse_unpriced_charges",
            "Calls under a budget of cost whose price nobody knew, charged by the rule for these since the start.",
            registry=self._registry,
            multiprocess_mode="sum",
        )

    def request(self, endpoint: str, provider: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        self._counts[endpoint, provider, status] += 1
        durations = self._durations.setdefault(endpoint, [])
        durations.append(seconds)
        if len(durations) >= _MOST_UNFLUSHED:
            self.flush()

    def tokens(self, provider: str, *, taken: int, given: int) -> None:
        """Count the tokens of one answered request."""
        if taken or given:
            self._token_counts[provider, "input"] += taken
            self._token_counts[provider, "output"] += given

    def flush(self) -> None:
        """Hand over to the library what was counted; its counters are shared between processes, and slower."""
        counts, self._counts = self._counts, Counts()
        for (endpoint, provider, status), number in counts.items():
            self._requests.labels(endpoint, provider, str(status)).inc(number)
        durations, self._durations = self._durations, {}
        for endpoint, seconds in durations.items():
            histogram = self._seconds.labels(endpoint)
            for duration in seconds:
                histogram.observe(duration)
        tokens, self._token_counts = self._token_counts, Counts()
        for (provider, kind), number in tokens.items():
            self._tokens.labels(provider, kind).inc(number)

    def routing(self, breakers: Breakers, sticky: StickyMemory) -> None:
        """Note how many breakers are open, and what was forgotten."""
        self.breakers_open.set(breakers.open_count())
        self.forgotten.labels("breaker").set(breakers.forgotten)
        self.forgotten.labels("sticky").set(sticky.forgotten)

    def rates(self, admission: Admission) -> None:
        """Note how many calls limits of rate refused, and what went wrong with counting."""
        for kind, number in admission.refused.items():
            self.rate_limited.labels(kind).set(number)
        self.rate_failures.set(admission.failures)
        self.forgotten.labels("rate").set(admission.counters.dropped)

    def budgets(self, budgets: Budgets) -> None:
        """Note what budgets refused, what they were overspent by, and what they were charged without a price."""
        for kind, number in budgets.refused.items():
            self.budget_refusals.labels(kind).set(number)
        self.budget_refusals.labels("unconfirmed").set(budgets.unreachable)
        for unit, amount in budgets.overshoot.items():
            self.budget_overshoot.labels(unit).set(amount)
        self.unpriced_charges.set(budgets.unpriced)

    def render(self) -> bytes:
        """Return the exposition text, of all workers when they share a folder for their counts."""
        self.flush()
        if self._registry is not None:
            return generate_latest(self._registry)
        shared = CollectorRegistry()
        MultiProcessCollector(shared)  # type: ignore[no-untyped-call]  # the library has no annotation here
        return generate_latest(shared)
