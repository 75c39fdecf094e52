"""One running system for all tests of this folder that do not break it for good."""

import pytest

from tests.system.system_kit import System


@pytest.fixture(scope="session")
def system(tmp_path_factory):
    made = System(tmp_path_factory.mktemp("system")).build()
    try:
        yield made.start_all()
    finally:
        made.stop()
