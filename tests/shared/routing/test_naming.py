import pytest

from shared.routing.naming import BY_HEADERS, Named, name_provider, split_model
from shared.routing.plan import Target

IN_REQUEST = "the model in the request"


def named(target, *, model="gpt-4o", asked=None, provider=None, virtual_key=None):
    found = name_provider(target, model=model, asked_model=asked or model, provider=provider, virtual_key=virtual_key)
    return found.virtual_key, found.provider, found.why


def at(path="config.targets[0]", **said):
    return Target(path, **said)


@pytest.mark.parametrize(("model", "split"), [
    ("gpt-4o", (None, "gpt-4o")), ("@a/gpt-4o", ("a", "gpt-4o")), ("@a/org/llama", ("a", "org/llama")), ("@a", ("a", "")),
    ("a/b", (None, "a/b")), ("", (None, "")), ("@", (None, "@")), ("@/x", (None, "@/x")),
])  # fmt: skip
def test_a_model_is_split_at_the_first_slash_behind_its_slug(model, split):
    assert split_model(model) == split


@pytest.mark.parametrize(("said", "virtual_key", "provider"), [
    ({"virtual_key": "vk"}, "vk", None), ({"virtual_key": "@vk"}, "vk", None), ({"provider": "@vk"}, "vk", None),
    ({"provider": "@vk/gpt-4o"}, "vk", None), ({"provider": "openai"}, None, "openai"),
    ({"provider": "openai", "virtual_key": "vk"}, "vk", None),
])  # fmt: skip
def test_a_target_names_its_provider_in_any_spelling(said, virtual_key, provider):
    assert named(at(**said)) == (virtual_key, provider, "the target")


def test_a_target_beats_the_requests_headers_and_model():
    assert named(at(provider="openai"), model="@m/x", provider="@h") == (None, "openai", "the target")


def test_a_forced_model_beats_everything():
    target = at("config", provider="openai", override_params={"model": "@forced/x"}, passthrough=True)
    assert named(target, model="@forced/x", asked="@m/y", virtual_key="h")[:2] == ("forced", None)


def test_a_forced_model_without_a_slug_names_nobody():
    assert named(at(provider="openai", override_params={"model": "x"}), model="x") == (None, "openai", "the target")


def test_headers_beat_the_model_below_a_strategy():
    assert named(at(), model="@m/x", provider="@h") == ("h", None, BY_HEADERS)
    assert named(at(), model="@m/x", virtual_key="h") == ("h", None, BY_HEADERS)
    assert named(at(), model="@m/x") == ("m", None, IN_REQUEST)


def test_at_the_root_the_model_of_the_request_wins():
    assert named(at("config", provider="openai"), model="@m/x", provider="@h") == ("m", None, IN_REQUEST)
    assert named(at("config", provider="openai"), provider="@h") == (None, "openai", "the target")
    assert named(at("config"), provider="@h") == ("h", None, BY_HEADERS)


@pytest.mark.parametrize("path", ["config", "config.targets[0]"])
def test_passing_through_takes_headers_then_the_model_then_the_target(path):
    target = at(path, provider="openai", passthrough=True)
    assert named(target, model="@m/x", provider="@h") == ("h", None, BY_HEADERS)
    assert named(target, model="@m/x") == ("m", None, IN_REQUEST)
    assert named(target) == (None, "openai", "the target")


def test_the_callers_model_names_the_provider_when_the_target_replaced_it():
    target = at(override_params={"model": "gpt-4o"})
    assert named(target, model="gpt-4o", asked="@m/x") == ("m", None, IN_REQUEST)


def test_nobody_names_a_provider():
    assert named(at()) == (None, None, IN_REQUEST)
    assert Named(None, None, IN_REQUEST).virtual_key is None
