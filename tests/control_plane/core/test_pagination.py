"""Pages of lists."""

import pytest

from control_plane.core.pagination import MAX_PAGE
from tests.control_plane.factories import Api, make_config, make_tenant

pytestmark = pytest.mark.django_db


@pytest.fixture
def api():
    tenant = make_tenant()
    for number in range(5):
        make_config(tenant, f"c{number}")
    return Api(tenant.admin_key)


def names(answer):
    return [row["name"] for row in answer.json()["data"]]


def test_pages_follow_each_other_without_gap_or_repetition(api):
    pages = [names(api.get("configs", page_size=2, current_page=page)) for page in range(4)]
    assert pages == [["c0", "c1"], ["c2", "c3"], ["c4"], []]
    assert api.get("configs", page_size=2).json()["total"] == 5


def test_an_oversized_page_is_cut_to_the_limit(api):
    assert len(names(api.get("configs", page_size=999_999))) == 5


@pytest.mark.parametrize(
    "query",
    [{"page_size": "-1"}, {"page_size": "1.5"}, {"current_page": str(MAX_PAGE + 1)}, {"current_page": "9" * 30}],
)
def test_a_page_that_cannot_be_is_refused(api, query):
    assert api.get("configs", **query).status_code == 400


def test_an_empty_parameter_counts_as_absent(api):
    assert len(names(api.get("configs", page_size="", current_page=""))) == 5
