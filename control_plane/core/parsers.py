"""Reading bodies: JSON that PostgreSQL can keep, of bounded size; everything else is a clear 400.

Standard JSON decoders let through lone surrogates and NUL characters, which PostgreSQL refuses much later.
"""

from collections.abc import Mapping
from typing import IO, Any, Final

import orjson
from django.conf import settings
from rest_framework.exceptions import ParseError
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

MAX_DEPTH: Final = 64


def _check(value: Any, depth: int = 0) -> None:
    if depth > MAX_DEPTH:
        raise ParseError(f"The body is nested deeper than {MAX_DEPTH} levels.")
    if isinstance(value, str):
        if "\x00" in value:
            raise ParseError("The body holds a NUL character, which cannot be stored.")
    elif isinstance(value, dict):
        for key, item in value.items():
            _check(key, depth)
            _check(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check(item, depth + 1)


class StrictJsonParser(BaseParser):
    """Parses a JSON object."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """Return the object; raise ParseError (400) when the body is anything else."""
        most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE or 0
        raw = stream.read(most + 1)
        if len(raw) > most:
            raise ParseError(f"The body is larger than {most} bytes.")
        if not raw.strip():
            return {}
        try:
            value = orjson.loads(raw)
        except orjson.JSONDecodeError as fault:
            raise ParseError(f"The body is not JSON: {fault}.") from None
        if not isinstance(value, dict):
            raise ParseError("The body must be a JSON object.")
        _check(value)
        return value


class AlwaysJson(BaseContentNegotiation):
    """Bodies are read and answers written as JSON, whatever the headers claim: nothing else is spoken here."""

    def select_parser(self, request: Request, parsers: Any) -> BaseParser:
        """Return the JSON parser, also for a client that names no content type."""
        parser: BaseParser = parsers[0]
        return parser

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """Return the JSON renderer, also for a client that accepts something else."""
        return renderers[0], renderers[0].media_type
