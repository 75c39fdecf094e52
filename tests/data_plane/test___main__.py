import json
import os
import subprocess
import sys

import pytest

from data_plane.__main__ import check_config, print_catalog
from data_plane.providers.registry import load_providers
from tests.architecture.source_tree import ROOT


def run(*arguments, **environment):
    """Run the command line; return (exit code, output, errors)."""
    done = subprocess.run(
        [sys.executable, "-m", "data_plane", *arguments], cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("arguments", [(), ("serve", "twice"), ("nonsense",), ("check-config",)])
def test_an_unknown_command_is_told_the_known_ones(arguments):
    code, output, errors = run(*arguments)
    assert (code, output) == (2, "")
    assert errors.startswith("usage: ")


@pytest.mark.parametrize("arguments", [("serve",), ("catalog",)])
def test_a_setting_that_cannot_be_used_ends_the_process_with_one_sentence(arguments):
    code, output, errors = run(*arguments, GATEHOUSE_GATEWAY_PORT="eighty")
    assert (code, output) == (1, "")
    assert errors.count("\n") == 1
    assert errors.startswith("GATEHOUSE_GATEWAY_PORT: 'eighty' cannot be used")


def test_the_catalogue_tells_of_every_provider_and_of_no_secret(capsys):
    print_catalog()
    whole = json.loads(capsys.readouterr().out)
    assert whole["operations"]["chat"] == "/chat/completions"
    assert set(whole["usual"]) < set(whole["operations"])
    told = whole["providers"]
    assert set(told) == set(load_providers())
    for provider in told.values():
        assert set(provider) == {
            "label",
            "base_url",
            "hosts",
            "address_setting",
            "price_source",
            "endpoints",
            "credential",
        }
        assert all(set(field) == {"name", "label", "secret", "required"} for field in provider["credential"])


@pytest.mark.parametrize(("content", "code", "said"), [
    ('{"provider":"@main","retry":{"attempts":2}}', 0, "valid"),
    ("{", 1, "not JSON"),
    ("[]", 1, "Invalid"),
    ('{"strategy":{"mode":"nonsense"},"targets":[{"provider":"openai"}]}', 1, "mode"),
    ('{"strategy":{"mode":"loadbalance"},"targets":[{"provider":"@a","weight":0}]}', 1, "weight"),
])  # fmt: skip
def test_a_config_in_a_file_is_checked_as_a_gateway_would(tmp_path, capsys, content, code, said):
    file = tmp_path / "config.json"
    file.write_text(content)
    assert check_config(file) == code
    assert said in capsys.readouterr().out


def test_the_exit_code_tells_whether_a_config_is_valid(tmp_path):
    file = tmp_path / "config.json"
    file.write_text('{"provider":7}')
    code, output, errors = run("check-config", str(file))
    assert (code, errors) == (1, "")
    assert "provider" in output


def test_a_file_that_is_not_there_is_said_in_one_sentence(tmp_path):
    code, output, errors = run("check-config", str(tmp_path / "nothing.json"))
    assert code == 1
    assert "nothing.json" in output + errors
    assert "Traceback" not in errors
