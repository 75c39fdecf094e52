"""What is said of a config that is saved although gateways cannot serve all of it."""

import pytest

from control_plane.configs.serializers import warnings_of

SIMPLE = {"mode": "simple"}


def line(path, key):
    return (
        f"path: {path}, message: {key} is not available in this version of the gateway: "
        "requests that use it are refused"
    )


def test_a_config_that_is_served_whole_has_no_warnings():
    assert warnings_of({"strategy": {"mode": "fallback"}, "targets": [{"virtual_key": "a"}]}) == []


def test_every_key_that_is_not_served_is_named_wherever_it_is():
    inner = {"strategy": {"mode": "loadbalance"}, "targets": [{"virtual_key": "a", "prompt_id": "p"}]}
    body = {"cache": SIMPLE, "strategy": {"mode": "fallback"}, "targets": [{"virtual_key": "b"}, inner]}
    assert warnings_of(body) == [line("cache", "cache"), line("targets,1,targets,0,prompt_id", "prompt_id")]


@pytest.mark.parametrize("body", [{}, [], {"nonsense": 1}])
def test_a_body_that_was_saved_under_other_rules_is_no_failure(body):
    assert warnings_of(body) == []
