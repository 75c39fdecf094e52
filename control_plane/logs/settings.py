"""What the log store reads from the environment."""

from typing import Final

from shared.env import Env

_env = Env("control_plane.logs.settings")

RETENTION_DAYS: Final = _env.integer(
    "GATEHOUSE_LOG_RETENTION_DAYS", 90, "Days that records and bodies are kept.", least=1, most=3650
)
