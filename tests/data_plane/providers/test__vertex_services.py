import pytest

from data_plane.core.types import CallFacts
from data_plane.providers._vertex_services import RANKING, STORAGE, service_at

SETTINGS = {"vertex_project_id": "proj", "vertex_region": "global"}
OWN = "https://aiplatform.googleapis.com/v1/projects/proj/locations/global"


@pytest.mark.parametrize(("base_url", "settings", "origin"), [
    (OWN, SETTINGS, STORAGE), (OWN + "/", SETTINGS, STORAGE),
    (OWN, {**SETTINGS, "vertex_project_id": "other"}, "https://aiplatform.googleapis.com"),
    (OWN, {}, "https://aiplatform.googleapis.com"), ("http://proxy.example:81/x/y", SETTINGS, "http://proxy.example:81"),
])  # fmt: skip
def test_google_is_asked_only_by_accounts_that_are_at_google(base_url, settings, origin):
    assert service_at(base_url, CallFacts("m", False, True, {}, settings), STORAGE) == origin


def test_services_have_origins_and_no_paths():
    assert {address.count("/") for address in (STORAGE, RANKING)} == {2}
