import importlib.util
from pathlib import Path

import pytest

from data_plane import settings
from shared.env import SettingInvalid


def loaded(monkeypatch, **environment):
    """Read the settings anew, from nothing but `environment`."""
    for name in dir(settings):
        if name.isupper():
            monkeypatch.delenv(f"GATEHOUSE_{name}", raising=False)
    for name in (
        "GATEHOUSE_GATEWAY_STATE_DIR",
        "GATEHOUSE_GATEWAY_WORKERS",
        "GATEHOUSE_GATEWAY_GROUP",
        "TRUSTED_CUSTOM_HOSTS",
    ):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    spec = importlib.util.spec_from_file_location("settings_of_a_test", settings.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_without_any_variable_the_gateway_listens_to_this_host_only_and_trusts_no_private_one(monkeypatch):
    made = loaded(monkeypatch)
    assert ("127.0.0.1", 8787, frozenset()) == (made.GATEWAY_HOST, made.GATEWAY_PORT, made.TRUSTED_CUSTOM_HOSTS)
    assert (made.ENROLMENT_TOKEN, made.ROOT_SHA256) == ("", "")


def test_the_gateways_own_identity_is_for_saved_providers_unless_the_operator_says_otherwise(monkeypatch):
    made = loaded(monkeypatch)
    assert (made.CLOUD_IDENTITY, made.CLOUD_TOKEN_FOLDERS) == ("saved", ())
    said = loaded(
        monkeypatch, GATEHOUSE_CLOUD_IDENTITY="OFF", GATEHOUSE_CLOUD_TOKEN_FOLDERS="/a, /b/c", AWS_ROLE_ARN="r"
    )
    assert ("off", (Path("/a"), Path("/b/c"))) == (said.CLOUD_IDENTITY, said.CLOUD_TOKEN_FOLDERS)
    assert said.CLOUD_VARIABLES["AWS_ROLE_ARN"] == "r"


def test_variables_are_read_in_their_units(monkeypatch):
    made = loaded(
        monkeypatch, GATEHOUSE_GATEWAY_PORT="9", GATEHOUSE_GATEWAY_STATE_DIR="/x/y", GATEHOUSE_PROPAGATION_WAIT_S="0.25",
        TRUSTED_CUSTOM_HOSTS=" Ollama.Example, 127.0.0.1 ,",
    )  # fmt: skip
    assert (9, Path("/x/y"), 0.25) == (made.GATEWAY_PORT, made.STATE_DIR, made.PROPAGATION_WAIT_S)
    assert {"ollama.example", "127.0.0.1"} == made.TRUSTED_CUSTOM_HOSTS


@pytest.mark.parametrize(
    ("environment", "trusts"), [("development", True), ("production", False), ("staging", False), ("", False)]
)
def test_this_machine_is_trusted_in_development_only(monkeypatch, environment, trusts):
    made = loaded(monkeypatch, GATEHOUSE_ENVIRONMENT=environment)
    assert ("127.0.0.1" in made.TRUSTED_CUSTOM_HOSTS) is trusts
    given = loaded(monkeypatch, GATEHOUSE_ENVIRONMENT=environment, TRUSTED_CUSTOM_HOSTS="ollama.example")
    assert {"ollama.example"} == given.TRUSTED_CUSTOM_HOSTS


@pytest.mark.parametrize(("name", "value"), [
    ("GATEHOUSE_GATEWAY_PORT", "eighty"), ("GATEHOUSE_GATEWAY_PORT", "70000"), ("GATEHOUSE_GATEWAY_WORKERS", "0"), ("GATEHOUSE_GATEWAY_WORKERS", "257"),
    ("GATEHOUSE_MAX_BODY_BYTES", "1"), ("GATEHOUSE_SPOOL_MAX_BYTES", "1000"), ("GATEHOUSE_PAYLOAD_KEEP_DAYS", "0"), ("GATEHOUSE_SHUTDOWN_S", "-1"),
    ("GATEHOUSE_PROPAGATION_WAIT_S", "inf"), ("GATEHOUSE_CLOUD_IDENTITY", "everybody"),
])  # fmt: skip
def test_a_value_that_cannot_be_used_is_named_in_one_sentence(monkeypatch, name, value):
    with pytest.raises(SettingInvalid) as raised:
        loaded(monkeypatch, **{name: value})
    sentence = str(raised.value)
    assert sentence.startswith(f"{name}: ")
    assert "\n" not in sentence
