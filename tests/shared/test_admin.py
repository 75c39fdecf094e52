"""Do the two planes agree on whose path is whose?"""

from control_plane.core.resources import discover
from data_plane.core.endpoint import ENDPOINTS
from shared.admin import ADMIN_SEGMENTS


def first(path):
    return path.strip("/").removeprefix("v1/").partition("/")[0]


def test_every_resource_of_the_admin_api_is_administration():
    assert {first(path) for path in discover()} <= ADMIN_SEGMENTS


def test_no_endpoint_of_inference_is():
    assert not {first(endpoint.path) for endpoint in ENDPOINTS.values()} & ADMIN_SEGMENTS
