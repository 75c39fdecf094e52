"""A running edge on the test's database, and a gateway group that may call it."""

import pytest
from aiohttp.test_utils import TestClient, TestServer

from control_plane.edge.server import build_edge
from tests.control_plane.edge.edge_kit import Installation


@pytest.fixture
def installation(transactional_db, tmp_path):
    return Installation(tmp_path / "signing")


@pytest.fixture
async def edge(installation):
    """A client of an edge that runs in this test's loop; made after the rows, which only threads may touch then."""
    async with TestClient(TestServer(build_edge(), handler_cancellation=True)) as client:
        yield client
