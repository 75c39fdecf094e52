import subprocess
import sys
from pathlib import Path

import pytest

from shared import settings

ASKING = (
    "from shared import settings as s; print(s.MAX_ROOT_TARGETS, s.MAX_CONDITIONAL_ROOT_TARGETS, s.MAX_NESTED_TARGETS)"
)
NAMES = ("MAX_ROOT_CONFIG_TARGETS", "MAX_CONDITIONAL_ROOT_CONFIG_TARGETS", "MAX_NESTED_CONFIG_TARGETS")


def read(**environment):
    """Return what a fresh process reads."""
    root = Path(settings.__file__).parents[1]
    return subprocess.run(
        [sys.executable, "-c", ASKING], env=environment, cwd=root, capture_output=True, text=True, check=False
    )


def test_a_config_has_the_contracts_bounds_where_nobody_says_otherwise():
    assert read().stdout.split() == ["100", "1000", "50"]


def test_each_bound_can_be_set():
    assert read(**dict(zip(NAMES, ("7", "8", "9"), strict=True))).stdout.split() == ["7", "8", "9"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", ["0", "-1", "many"])
def test_a_bound_that_makes_no_sense_stops_the_start(name, value):
    refused = read(**{name: value})
    assert refused.returncode != 0
    assert name in refused.stderr


def test_bounds_are_numbers():
    assert settings.MAX_ROOT_TARGETS <= settings.MAX_CONDITIONAL_ROOT_TARGETS
