"""Does the registry find every provider, and refuse a malformed one by name?"""

import dataclasses
import sys
from types import ModuleType

import pytest

from data_plane import providers
from data_plane.providers.openai import PROVIDER
from data_plane.providers.registry import ProviderMalformed, load_providers


@pytest.fixture
def plug_in(tmp_path, monkeypatch):
    """Add a module `made_up` with this PROVIDER to the package."""

    def add(provider):
        (tmp_path / "made_up.py").write_text("")
        module = ModuleType("data_plane.providers.made_up")
        module.PROVIDER = provider
        monkeypatch.setattr(providers, "__path__", [str(tmp_path)])
        monkeypatch.setitem(sys.modules, module.__name__, module)

    return add


def test_the_providers_of_this_build_are_found():
    assert {"openai", "anthropic"} <= load_providers().keys()


def test_what_was_loaded_cannot_be_changed():
    with pytest.raises(TypeError):
        load_providers()["x"] = PROVIDER


def test_a_dash_in_an_id_is_an_underscore_in_the_module(plug_in):
    plug_in(dataclasses.replace(PROVIDER, id="made-up"))
    assert list(load_providers()) == ["made-up"]


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        dataclasses.replace(PROVIDER, id="other"),
        dataclasses.replace(PROVIDER, id="made-up", base_url="http://plain.example/v1"),
        dataclasses.replace(PROVIDER, id="made-up", base_url="https://slash.example/"),
    ],
)
def test_a_malformed_module_is_named(plug_in, wrong):
    plug_in(wrong)
    with pytest.raises(ProviderMalformed, match=r"^made_up\.py"):
        load_providers()
