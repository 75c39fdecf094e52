"""The version of this release, as health endpoints, status reports and records name it."""

from typing import Final

VERSION: Final = "0.1.0"
