"""What is asked of a simulation?  A request, made-up answers, dice: read with all that is wrong with them at once.

Headers count as the gateway reads them.  What a simulation cannot honour is refused, or its answer would be untrue.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from django.utils.dateparse import parse_datetime

from control_plane.core.errors import Invalid
from shared import wire
from shared.metadata import merge_metadata, read_metadata
from shared.routing.facts import Facts
from shared.routing.simulate import Asked, MadeUpAnswer
from shared.schema.config import MAX_CONFIG_CHARS, MAX_RETRIES
from shared.schema.values import Faults, Path, Reader, expected, fields, items, mapping, one_of, text, whole

Json = dict[str, Any]

MAX_ANSWERS: Final = 100
MAX_DRAWS: Final = 1000
MAX_RUNS: Final = 10_000
MAX_REQUEST_BYTES: Final = 256 * 1024
MAX_WAIT_S: Final = 86_400
#: The same question is answered alike, unless other dice are asked for.
SEED: Final = 0
_SEEDS: Final = whole(-(2**63), 2**63 - 1)
_STATUS: Final = whole(100, 599)
_DIGIT: Final = re.compile("[0-9]")
_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")


@dataclass(frozen=True, slots=True)
class SimulatedRequest:
    """A request as far as routing looks at it: its facts, and what its headers say of provider and retries."""

    facts: Facts
    asked: Asked
    retries: int | None


@dataclass(frozen=True, slots=True)
class Question:
    """What to simulate.

    `config` is a body or a slug; `answers` and `open_breakers` name targets as the caller wrote them; `draws` are used
    in turn, none of them: dice from `seed`; `now_s` Unix seconds, None is now; `runs` 0: no distribution is asked for.
    """

    config: Json | str
    request: SimulatedRequest
    answers: Mapping[str, tuple[MadeUpAnswer, ...]] = field(default_factory=dict)
    open_breakers: tuple[str, ...] = ()
    draws: tuple[float, ...] = ()
    seed: int = SEED
    now_s: float | None = None
    runs: int = 0
    workspace: str | None = None


def _config(value: Any, path: Path, faults: Faults) -> Json | str | None:
    if isinstance(value, str):
        return text(value, path, faults)
    body = mapping(value, path, faults)
    if body is not None and len(orjson.dumps(body)) > MAX_CONFIG_CHARS:
        faults.add(path, f"Longer than {MAX_CONFIG_CHARS} characters")
    return body


def _number(value: Any, path: Path, faults: Faults, *, most: float) -> float | None:
    """Read a number from 0 to `most`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        expected("number", value, path, faults)
    elif not 0 <= value <= most:
        faults.add(path, f"Number must be from 0 to {most}")
    else:
        return float(value)
    return None


def _draw(value: Any, path: Path, faults: Faults) -> float | None:
    point = _number(value, path, faults, most=1)
    if point == 1:
        faults.add(path, "Number must be less than 1")
    return point


def _draws(value: Any, path: Path, faults: Faults) -> tuple[float, ...] | None:
    if not isinstance(value, list):
        point = _draw(value, path, faults)
        return None if point is None else (point,)
    if not 1 <= len(value) <= MAX_DRAWS:
        faults.add(path, f"Array must contain from 1 to {MAX_DRAWS} elements")
        return None
    return items(value, path, faults, _draw)


def _wait(value: Any, path: Path, faults: Faults) -> float | None:
    return _number(value, path, faults, most=MAX_WAIT_S)


def _answer(value: Any, path: Path, faults: Faults) -> MadeUpAnswer | None:
    if not isinstance(value, dict):
        status = _STATUS(value, path, faults)
        return None if status is None else MadeUpAnswer(status)
    readers: dict[str, Reader] = {"status": _STATUS, "retry_after_s": _wait}
    found = fields(value, path, faults, readers, required=("status",))
    return None if found is None else MadeUpAnswer(**found)


def _answers(value: Any, path: Path, faults: Faults) -> dict[str, tuple[MadeUpAnswer, ...]]:
    found = {}
    for name, given in (mapping(value, path, faults) or {}).items():
        listed = given if isinstance(given, list) else [given]
        here = (*path, name)
        if not 1 <= len(listed) <= MAX_ANSWERS:
            faults.add(here, f"Array must contain from 1 to {MAX_ANSWERS} elements")
        elif isinstance(given, list):
            found[name] = items(listed, here, faults, _answer)
        elif (answer := _answer(given, here, faults)) is not None:
            found[name] = (answer,)
    return found


def _names(value: Any, path: Path, faults: Faults) -> tuple[str, ...]:
    return items(value, path, faults, text)


def _moment(value: Any, path: Path, faults: Faults) -> float | None:
    try:
        moment = parse_datetime(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    # Years at the ends of the calendar cannot be reckoned with.
    if moment is None or not 1970 < moment.year <= 2200:
        faults.add(path, "Must be a moment such as 2030-01-31T12:00:00Z")
        return None
    return (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment).timestamp()


def _url_path(value: Any, path: Path, faults: Faults) -> str | None:
    spelt = text(value, path, faults)
    if spelt is not None and (not spelt.startswith("/") or "?" in spelt):
        faults.add(path, "Must begin with / and have no query")
    return spelt


def _headers(value: Any, path: Path, faults: Faults) -> dict[str, str]:
    """Read headers; of those that differ only in case the last one counts."""
    found: dict[str, str] = {}
    for name, said in (mapping(value, path, faults) or {}).items():
        here, lowered = (*path, name), name.strip().lower()
        if not isinstance(said, str):
            expected("string", said, here, faults)
        elif lowered in {wire.FALLBACKS, wire.CACHE, wire.NITRO_MODE} and said.strip().lower() not in _OFF:
            faults.add(here, "What this header asks for is not simulated")
        else:
            found[lowered] = said
    if (given := found.get(wire.RETRIES, "").strip()) and not _is_count(given):
        faults.add((*path, wire.RETRIES), f"Must be a number from 0 to {MAX_RETRIES}")
    return found


_OFF: Final = frozenset({"", "false", "0"})


def _is_count(given: str) -> bool:
    return len(given) == 1 and _DIGIT.match(given) is not None and int(given) <= MAX_RETRIES


def _body(value: Any, path: Path, faults: Faults) -> Json | None:
    body = mapping(value, path, faults)
    if body is not None and not isinstance(body.get("model", ""), str):
        expected("string", body["model"], (*path, "model"), faults)
    return body


def _request(value: Any, path: Path, faults: Faults) -> SimulatedRequest | None:
    readers: dict[str, Reader] = {
        "method": one_of(*_METHODS), "path": _url_path, "headers": _headers, "metadata": mapping, "body": _body,
    }  # fmt: skip
    if isinstance(value, dict) and len(orjson.dumps(value)) > MAX_REQUEST_BYTES:
        faults.add(path, f"Larger than {MAX_REQUEST_BYTES} bytes")
        return None
    found = fields(value, path, faults, readers)
    return None if found is None or faults.within(path) else _simulated_request(found)


def _simulated_request(found: Mapping[str, Any]) -> SimulatedRequest:
    headers: dict[str, str] = found.get("headers", {})
    body: Json = found.get("body", {})
    given = {**read_metadata(headers.get(wire.METADATA)), **found.get("metadata", {})}
    metadata = merge_metadata(
        sent=orjson.dumps(given).decode(), baggage=headers.get("baggage"), headers={}, header_names=(),
        user=body.get("user"), key={}, workspace={}, key_user=None,
    )  # fmt: skip
    retries = headers.get(wire.RETRIES, "").strip()
    asked = Asked(headers.get(wire.PROVIDER, "").strip() or None, headers.get(wire.VIRTUAL_KEY, "").strip() or None)
    facts = Facts(found.get("path", "/v1/chat/completions"), metadata, body, headers)
    return SimulatedRequest(facts, asked, int(retries) if retries else None)


_READERS: Final[dict[str, Reader]] = {
    "config": _config,
    "request": _request,
    "answers": _answers,
    "draw": _draws,
    "seed": _SEEDS,
    "open_breakers": _names,
    "now": _moment,
    "runs": whole(2, MAX_RUNS),
    "workspace_id": text,
}


def read_question(body: Json) -> Question:
    """Return what a decoded body asks; raises Invalid with every fault and its path."""
    faults = Faults()
    found = fields(body, (), faults, _READERS, required=("config",))
    refuse(faults.lines)
    assert found is not None  # noqa: S101 -- without faults it was read, for the type checker
    return Question(
        config=found["config"],
        request=found.get("request") or _simulated_request({}),
        answers=found.get("answers", {}),
        open_breakers=found.get("open_breakers", ()),
        draws=found.get("draw", ()),
        seed=found.get("seed", SEED),
        now_s=found.get("now"),
        runs=found.get("runs", 0),
        workspace=found.get("workspace_id"),
    )


def refuse(lines: Collection[str]) -> None:
    """Raise Invalid when there are faults."""
    if lines:
        raise Invalid("Invalid simulation. " + " ".join(lines), errors=list(lines))


def moment_s(question: Question) -> float:
    """Return the time that the simulation takes place at, in Unix seconds."""
    return datetime.now(UTC).timestamp() if question.now_s is None else question.now_s
