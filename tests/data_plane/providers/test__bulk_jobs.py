from urllib.parse import quote

import pytest

from data_plane.providers._bulk_jobs import AWS, GOOGLE, Jobs, failed_line
from shared.errors import NotFound


class Errands(Jobs):
    noun = "errand"
    held = "errands"

    def __init__(self, words, listed_url=""):
        super().__init__("https://x.example/errand", listed_url)
        self.words = words

    def step(self, plain):
        return plain.removeprefix("all/") if plain.startswith("all/") else None

    def shown(self, answer):
        return {"id": answer["name"]}


@pytest.mark.parametrize(("words", "end"), [(AWS, "/stop"), (GOOGLE, ":cancel")])
def test_a_job_is_read_and_ended_at_its_own_address(words, end):
    jobs = Errands(words)
    for spelt in ("all/a b", quote("all/a b", safe=""), quote(quote("all/a b", safe=""), safe="")):
        assert (jobs.read(spelt).url, jobs.read(spelt).method) == ("https://x.example/errand/a%20b", "GET")
        ending = jobs.cancel(spelt)
        assert (ending.url, ending.method, ending.body) == (f"https://x.example/errand/a%20b{end}", "POST", b"{}")


@pytest.mark.parametrize("job_id", ["", "none", "all%FF/x", "\n"])
def test_an_id_that_is_none_is_not_asked_for(job_id):
    for ask in (Errands(AWS).read, Errands(AWS).cancel):
        with pytest.raises(NotFound):
            ask(job_id)


@pytest.mark.parametrize(("words", "query"), [
    (AWS, "maxResults=1000&nextToken=a%2Fb%26&sortBy=CreationTime&sortOrder=Descending"), (GOOGLE, "pageSize=100&pageToken=a%2Fb%26"),
])  # fmt: skip
def test_a_page_has_no_more_than_a_cloud_gives_and_goes_on_behind_the_last(words, query):
    assert Errands(words).page(5000, "a/b&").url == f"https://x.example/errand?{query}"
    assert Errands(words, "https://x.example/all").page(3, None).url.startswith("https://x.example/all?")
    assert "oken" not in Errands(words).page(3, None).url


@pytest.mark.parametrize("words", [AWS, GOOGLE])
def test_a_page_is_read_as_far_as_it_is_one(words):
    jobs = Errands(words)
    assert jobs.paged({"errands": [{"name": "a"}, 7], words.following: "t"}) == ([{"id": "a"}], "t")
    assert jobs.paged({"errands": 7, words.following: 7}) == ([], None)
    assert jobs.paged({}) == ([], None)


@pytest.mark.parametrize(("code", "status"), [(400, 400), (599, 599), (399, None), (600, None), (0, None)])
def test_a_line_fails_with_a_status_when_that_is_one_of_a_failure(code, status):
    result = failed_line("id", code, "too long", "acme")
    if status is None:
        assert (result.custom_id, result.body, result.error) == ("id", None, "too long")
        return
    told = {"message": "acme error: too long", "type": None, "param": None, "code": status}
    assert (result.custom_id, result.status, result.error) == ("id", status, "")
    assert result.body == {"error": told, "provider": "acme"}
