"""Pages of lists."""

import pytest

from control_plane.configs.models import Config
from control_plane.core import pagination
from control_plane.core.pagination import MAX_PAGE, ListPagination, _Bookmarks, _Totals
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


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    """Lists are large from 3 rows on, and far from row 2 on."""
    clock = Clock()
    monkeypatch.setattr(pagination, "LARGE", 3)
    monkeypatch.setattr(pagination, "FAR", 2)
    monkeypatch.setattr(ListPagination, "totals", _Totals(clock))
    monkeypatch.setattr(ListPagination, "bookmarks", _Bookmarks(clock))
    return clock


def test_the_total_of_a_large_list_may_be_some_seconds_old(api, clock):
    assert api.get("configs").json()["total"] == 5
    Config.objects.filter(name="c4").update(name="other")
    assert api.get("configs", page_size=1).json()["total"] == 5
    gone = Config.objects.get(name="c0").slug
    assert api.delete(f"configs/{gone}").status_code == 200
    assert api.get("configs").json()["total"] == 5
    clock.now += pagination.TOTAL_FOR_S
    assert api.get("configs").json()["total"] == 4


def test_the_total_of_a_list_that_is_not_large_is_exact(api, clock, monkeypatch):
    monkeypatch.setattr(pagination, "LARGE", 6)
    assert api.get("configs").json()["total"] == 5
    api.delete(f"configs/{Config.objects.get(name='c0').slug}")
    assert api.get("configs").json()["total"] == 4


@pytest.mark.parametrize("size", [1, 2, 3])
def test_far_pages_follow_each_other_like_near_ones(api, clock, size):
    pages = [names(api.get("configs", page_size=size, current_page=page)) for page in range(6)]
    assert [name for page in pages for name in page] == ["c0", "c1", "c2", "c3", "c4"]
    again = [names(api.get("configs", page_size=size, current_page=page)) for page in (3, 1, 5, 0, 4, 2)]
    assert again == [pages[page] for page in (3, 1, 5, 0, 4, 2)]


def test_a_reader_of_far_pages_misses_nothing_when_rows_before_them_go(api, clock):
    assert names(api.get("configs", page_size=1, current_page=2)) == ["c2"]
    api.delete(f"configs/{Config.objects.get(name='c0').slug}")
    assert names(api.get("configs", page_size=1, current_page=3)) == ["c3"]
    clock.now += pagination.BOOKMARK_FOR_S
    assert names(api.get("configs", page_size=1, current_page=3)) == ["c4"]


def test_a_far_page_does_not_pass_over_what_the_page_before_it_did(api, clock, django_assert_num_queries):
    api.get("configs", page_size=1, current_page=3)
    with django_assert_num_queries(4) as captured:
        assert names(api.get("configs", page_size=1, current_page=4)) == ["c4"]
    passing = [each["sql"] for each in captured if 'AS "pk"' in each["sql"]]
    assert len(passing) == 1
    assert "OFFSET" not in passing[0]


def test_another_organisation_has_bookmarks_of_its_own(api, clock):
    api.get("configs", page_size=1, current_page=3)
    tenant = make_tenant("Other")
    for number in range(5):
        make_config(tenant, f"d{number}")
    assert names(Api(tenant.admin_key).get("configs", page_size=1, current_page=3)) == ["d3"]


def test_bookmarks_of_which_there_are_too_many_are_forgotten(api, clock, monkeypatch):
    monkeypatch.setattr(pagination, "MOST_BOOKMARKS", 2)
    pages = [names(api.get("configs", page_size=1, current_page=page)) for page in (2, 3, 4, 3, 2)]
    assert pages == [["c2"], ["c3"], ["c4"], ["c3"], ["c2"]]


def test_a_list_in_another_order_than_that_of_ids_has_far_pages_too(api, clock):
    config = Config.objects.get(name="c0")
    for attempts in (2, 3, 4):
        api.put(f"configs/{config.slug}", {"config": {"provider": "openai", "retry": {"attempts": attempts}}})
    path = f"configs/{config.slug}/versions"
    whole = [row["id"] for row in api.get(path).json()["data"]]
    assert [api.get(path, page_size=1, current_page=page).json()["data"][0]["id"] for page in range(4)] == whole


def test_a_far_page_of_nothing_is_empty(clock):
    assert names(Api(make_tenant().admin_key).get("labels", page_size=1, current_page=9)) == []
