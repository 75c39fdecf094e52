from data_plane.providers.google import PROVIDER as GOOGLE
from data_plane.providers.palm import PROVIDER


def test_the_old_name_means_gemini(facts):
    for name in ("chat", "embed", "models"):
        paths = [provider.operations[name].path_for(facts("gemini-2.5-pro")) for provider in (PROVIDER, GOOGLE)]
        assert paths[0] == paths[1]
    assert (PROVIDER.base_url, PROVIDER.price_source) == (GOOGLE.base_url, "google")


def test_an_answer_says_by_which_name_it_was_asked_for(facts):
    told = {"candidates": [{"content": {"parts": [{"text": "hi"}]}, "finishReason": "STOP"}]}
    assert PROVIDER.operations["chat"].decode(told, facts())["provider"] == "palm"
