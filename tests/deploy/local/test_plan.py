"""The plan: secrets that last, files that are private, and a gateway that knows nothing of the control plane."""

import pytest

from deploy.local import plan
from deploy.local.plan import Layout, Ports
from shared.env import SettingInvalid

PORTS = Ports("127.0.0.1", 8000, 8001, 8787, 8790)


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path)


def programs(layout, **demo):
    control = {
        **plan.control_environment(layout, PORTS, {}),
        "DATABASE_URL": "postgresql://x",
        "REDIS_URL": "redis://x",
    }
    return {program.name: program for program in plan.programs(layout, PORTS, control, demo)}


def test_secrets_are_made_once_and_kept(tmp_path):
    first = plan.read_secrets(tmp_path / "secrets")
    assert all(first.values())
    assert plan.read_secrets(tmp_path / "secrets") == first
    assert plan.read_secrets(tmp_path / "others") != first


def test_private_files_are_for_their_owner_only_also_when_replaced(tmp_path):
    file = tmp_path / "demo.env"
    file.write_text("old")
    file.chmod(0o644)
    plan.write_pairs(file, {"A": "1", "B": "x=y"})
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_text() == "A=1\nB=x=y\n"
    assert plan.read_pairs(file) == {"A": "1", "B": "x=y"}


def test_a_missing_file_of_pairs_is_empty(tmp_path):
    assert plan.read_pairs(tmp_path / "none") == {}


def test_what_the_caller_gives_wins_over_what_is_made_up(layout):
    chosen = plan.control_environment(layout, PORTS, {"GATEHOUSE_SECRET_KEY": "mine", "GATEHOUSE_DEBUG": ""})
    assert chosen["GATEHOUSE_SECRET_KEY"] == "mine"
    assert chosen["GATEHOUSE_DEBUG"] == "false"


def test_loopback_is_a_trusted_custom_host_in_both_planes(layout):
    found = programs(layout)
    for name in ("gateway", "control-plane", "worker"):
        assert {"localhost", "127.0.0.1", "::1"} <= set(found[name].extra["TRUSTED_CUSTOM_HOSTS"].split(","))


def test_the_gateway_is_told_nothing_that_belongs_to_the_control_plane(layout):
    control_only = {"DATABASE_URL", "REDIS_URL", "GATEHOUSE_SECRET_KEY", "GATEHOUSE_FERNET_KEYS"}
    found = programs(layout)
    assert not control_only & set(found["gateway"].extra)
    assert control_only <= set(found["edge"].extra)


def test_the_gateway_gets_its_token_and_the_root_it_shall_trust(layout):
    extra = programs(layout, enrolment_token="once", root_sha256="abc")["gateway"].extra
    assert (extra["GATEHOUSE_ENROLMENT_TOKEN"], extra["GATEHOUSE_ROOT_SHA256"]) == ("once", "abc")
    assert programs(layout, enrolment_token=None)["gateway"].extra["GATEHOUSE_ENROLMENT_TOKEN"] == ""


def test_ports_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("GATEHOUSE_CONTROL_PORT", "9000")
    monkeypatch.setenv("GATEHOUSE_GATEWAY_PORT", "9787")
    ports = plan.read_ports(lambda: 1)
    assert (ports.control_url, ports.gateway_url) == ("http://127.0.0.1:9000", "http://127.0.0.1:9787")


def test_a_demo_port_of_zero_is_picked(monkeypatch):
    monkeypatch.setenv("GATEHOUSE_DEMO_PORT", "0")
    assert plan.read_ports(lambda: 4321).demo_provider_url == "http://127.0.0.1:4321/v1"


def test_a_port_that_is_no_port_is_a_sentence_that_names_the_variable(monkeypatch):
    monkeypatch.setenv("GATEHOUSE_EDGE_PORT", "80000")
    with pytest.raises(SettingInvalid, match="GATEHOUSE_EDGE_PORT"):
        plan.read_ports(lambda: 1)
