"""`write_openapi`: keep the description of the Admin API beside the code."""

from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError, CommandParser

from control_plane.core.openapi import FILE, document


def text() -> bytes:
    """Return the file's text."""
    return orjson.dumps(document(), option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n"


class Command(BaseCommand):
    """Write control_plane/openapi.json; needs no database."""

    help = "Write control_plane/openapi.json from the registry of resources."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the check."""
        parser.add_argument("--check", action="store_true", help="fail when the file is not current; write nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        """Write the file, or say that it is not current."""
        if not options["check"]:
            FILE.write_bytes(text())
        elif not FILE.exists() or FILE.read_bytes() != text():
            raise CommandError("control_plane/openapi.json is not current: run `make openapi`")
