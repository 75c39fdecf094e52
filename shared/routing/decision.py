"""Why was this request routed there?  The steps that a request's way consists of, written while it is gone.

The gateway keeps them on the record; the control plane shows them, and a simulation writes the same ones.  A step says
what was looked at (`facts`), what was chosen and why, and what was not chosen and why not.  Texts that come from the
request are cut, and left out where bodies are not to be kept.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from shared.logs import scrub
from shared.schema.log_record import Rejected, Step, StepKind

MAX_STEPS: Final = 64
MAX_FACTS: Final = 16
MAX_REJECTED: Final = 16
MAX_TEXT_CHARS: Final = 64
#: Only so much of a text is searched for keys, and nothing behind it is shown.
MAX_LOOKED_AT_CHARS: Final = 1024
HIDDEN: Final = "(hidden)"
ABSENT: Final = "(absent)"
_SHORT: Final = frozenset({bool, int, float, type(None)})


class DecisionTrace:
    """Collects the steps of one request; past MAX_STEPS they are only counted."""

    __slots__ = ("_clock", "_shows_params", "_start_s", "missed", "steps")

    def __init__(self, clock: Callable[[], float], *, shows_params: bool = True) -> None:
        """`clock` returns seconds; `shows_params` is whether texts of the body may be kept."""
        self.steps: list[Step] = []
        self.missed = 0
        self._clock = clock
        self._start_s = clock()
        self._shows_params = shows_params

    def add(
        self,
        kind: StepKind,
        path: str,
        chose: str,
        why: str,
        *,
        facts: dict[str, Any] | None = None,
        rejected: tuple[Rejected, ...] = (),
    ) -> None:
        """Add one step."""
        if len(self.steps) >= MAX_STEPS:
            self.missed += 1
            return
        us = int((self._clock() - self._start_s) * 1e6)
        self.steps.append(Step(kind, path, chose, why, facts or {}, rejected[:MAX_REJECTED], us))

    def hide_params(self) -> None:
        """Keep no texts of the body from now on."""
        self._shows_params = False

    def shown(self, root: str, value: Any) -> Any:
        """Return a value as a step may show it: texts cut, headers hidden, texts of the body where they must be."""
        if type(value) in _SHORT:
            return value
        if root == "headers" or (root == "params" and not self._shows_params):
            return HIDDEN
        text = scrub((value if isinstance(value, str) else str(value))[:MAX_LOOKED_AT_CHARS])
        return text if len(text) <= MAX_TEXT_CHARS else text[: MAX_TEXT_CHARS - 1] + "…"


def summarise(steps: tuple[Step, ...] | list[Step], *, status: int, provider: str | None, model: str | None) -> str:
    """Return one sentence: what the request was answered with, by whom, and what decided it."""
    config = next((step for step in steps if step.step == "config"), None)
    attempts = [step for step in steps if step.step == "attempt"]
    refusal = next((step for step in steps if step.step == "refusal"), None)
    by = "/".join(part for part in (provider, model) if part) or "no provider"
    parts = [f"Answered {status} by {by}" if attempts else f"Refused with {status} before any provider was called"]
    if config is not None:
        parts.append(f"under {config.chose} ({config.why})")
    deciding = [step for step in steps if step.step in _DECIDES]
    parts += [f"{step.step} at {step.path} chose {step.chose}: {step.why}" for step in deciding[:3]]
    if len(attempts) > 1:
        parts.append(f"{len(attempts)} attempts were made")
    if refusal is not None:
        parts.append(refusal.why)
    return "; ".join(parts) + "."


_DECIDES: Final = frozenset({"condition", "loadbalance", "sticky", "fallback"})


def explanation(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `GET /v1/logs/{id}/explain` says of a stored record: a sentence, and all steps in order.

    `record` has the fields of a log record; who called and which price counted are told from them.
    """
    steps = [msgspec.convert(item, Step) for item in record.get("decision") or ()]
    sentence = summarise(
        steps,
        status=int(record["status"]),
        provider=record.get("provider"),
        model=record.get("model_served") or record.get("model_requested"),
    )
    told: list[dict[str, Any]] = [
        {"step": "auth", "chose": record.get("api_key") or "", "why": "the API key that the request presented"}
    ]
    told += [step_json(step) for step in steps]
    if record.get("price_status") not in {None, "none"}:
        told.append(
            {
                "step": "price",
                "chose": record.get("price_id") or "",
                "why": str(record["price_status"]),
                "facts": {"cost_nano": record.get("cost_nano")},
            }
        )
    return {"summary": sentence, "steps": told}


def step_json(step: Step) -> dict[str, Any]:
    """Return a step as the API shows it."""
    shown: dict[str, Any] = {
        "step": step.step, "path": step.path, "chose": step.chose, "why": step.why, "facts": step.facts,
        "rejected": [{"what": item.what, "why": item.why} for item in step.rejected], "us": step.us,
    }  # fmt: skip
    return {key: value for key, value in shown.items() if value not in ("", {}, [])}
