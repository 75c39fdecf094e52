"""Structured logs for both planes: one JSON line per event on standard error, secrets removed.

Processors work on the finished event: anything that looks like one of our keys or a provider key is replaced
before it is written, whatever code path it came by.
"""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

_KEYS: Final = re.compile(r"\b(gh-[0-9A-Za-z]{60}|sk-[0-9A-Za-z_-]{12,}|Bearer\s+\S{8,})")
_SECRET_NAMES: Final = frozenset({"authorization", "api_key", "key", "password", "token", "secret", "x-api-key"})


def scrub(text: str) -> str:
    """Return `text` with everything that looks like a key replaced."""
    # Looking for the beginnings first is far cheaper than the pattern, and nearly no text has one.
    if "gh-" in text or "sk-" in text or "Bearer" in text:
        return _KEYS.sub("[redacted]", text)
    return text


def _redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in event.items():
        if name.lower() in _SECRET_NAMES:
            event[name] = "[redacted]"
        elif isinstance(value, str):
            event[name] = scrub(value)
    return event


class _Scrubber(logging.Filter):
    """Scrub what libraries log through the standard module."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = scrub(record.getMessage()), ()
        return True


def configure(level: str = "info") -> None:
    """Set up structlog and the standard module for this process."""
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _redact,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_Scrubber())
    handler.setFormatter(logging.Formatter('{"event":"library","logger":"%(name)s","text":"%(message)s"}'))
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[handler], force=True)


def get_logger(name: str) -> Any:
    """Return a logger whose events carry the module that wrote them."""
    return structlog.get_logger(module=name)
