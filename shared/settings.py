"""What both planes read from their environment: the bounds of a config."""

from typing import Final

from shared.env import Env

_env: Final = Env("shared.settings")

MAX_ROOT_TARGETS: Final = _env.integer("MAX_ROOT_CONFIG_TARGETS", 100, "Most targets at the root of a config.", least=1)
MAX_CONDITIONAL_ROOT_TARGETS: Final = _env.integer(
    "MAX_CONDITIONAL_ROOT_CONFIG_TARGETS", 1000, "Most targets at the root of a conditional config.", least=1
)
MAX_NESTED_TARGETS: Final = _env.integer(
    "MAX_NESTED_CONFIG_TARGETS", 50, "Most targets nested below one target at the root of a config.", least=1
)
