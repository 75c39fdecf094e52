"""`make up` in parts: what stops it before it starts, one run per folder, and the words it ends with.

The whole is tested with real processes in tests/system.
"""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local import plan, up
from deploy.local.children import CannotStart
from deploy.local.plan import Layout, Ports
from deploy.local.postgres import free_port

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture
def ports():
    return Ports("127.0.0.1", free_port(), free_port(), free_port(), free_port())


def environment(home, ports):
    return os.environ | {
        "GATEHOUSE_HOME": str(home),
        "GATEHOUSE_CONTROL_PORT": str(ports.control),
        "GATEHOUSE_EDGE_PORT": str(ports.edge),
        "GATEHOUSE_GATEWAY_PORT": str(ports.gateway),
        "GATEHOUSE_DEMO_PORT": str(ports.demo),
    }


def make_up(home, ports):
    command = [sys.executable, "-m", "deploy.local.up"]
    return subprocess.run(
        command, env=environment(home, ports), cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_busy_port_ends_it_with_one_sentence_and_status_1(tmp_path, ports):
    with socket.create_server(("127.0.0.1", ports.gateway)):
        done = make_up(tmp_path / "home", ports)
    assert done.returncode == 1
    assert done.stderr == (
        f"make up: port {ports.gateway} for the gateway is busy; stop what uses it, or set GATEHOUSE_GATEWAY_PORT.\n"
    )


def test_a_second_run_on_one_folder_is_refused_with_one_sentence(tmp_path, ports):
    with up.only_one(Layout(tmp_path)):
        done = make_up(tmp_path, ports)
    assert done.returncode == 1
    assert "is running already" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path, ports):
    (tmp_path / "file").write_text("")
    done = make_up(tmp_path / "file", ports)
    assert done.returncode == 1
    assert done.stderr.startswith("make up: ")
    assert done.stderr.count("\n") == 1


def test_the_folder_is_closed_to_others_but_for_passing_through(tmp_path):
    layout = Layout(tmp_path / "home")
    up.open_home(layout)
    assert layout.home.stat().st_mode & 0o066 == 0
    assert layout.logs.stat().st_mode & 0o777 == 0o700


def test_a_folder_is_in_use_only_while_its_lock_is_held(tmp_path):
    layout = Layout(tmp_path)
    assert not up.is_running(layout)
    with up.only_one(layout):
        assert up.is_running(layout)
    assert not up.is_running(layout)


def test_the_children_inherit_nothing_of_make(monkeypatch):
    monkeypatch.setenv("MAKEFLAGS", "-j")
    monkeypatch.setenv("MAKELEVEL", "1")
    monkeypatch.setenv("KEPT", "yes")
    inherited = up.base_environment()
    assert "KEPT" in inherited
    assert not {"MAKEFLAGS", "MAKELEVEL"} & set(inherited)


def test_known_keys_are_kept_and_lost_ones_are_made_anew(tmp_path, ports, monkeypatch):
    asked = []
    answer = {"admin_api_key": None, "api_key": None, "model": "@demo/demo-chat"}

    def manage_json(_environment, *arguments):
        asked.append(arguments)
        made = {"admin_api_key": "new-admin", "api_key": "new-key"}
        return {**answer, **made} if "--new-keys" in arguments else answer

    monkeypatch.setattr(up, "manage_json", manage_json)
    current = up.Run(Layout(tmp_path), ports)
    first = up.bootstrap(current)
    assert up.bootstrap(current) == first
    assert [("--new-keys" in arguments) for arguments in asked] == [True, False]
    demo = (tmp_path / "demo.env").read_text()
    assert demo == (
        f"GATEHOUSE_GATEWAY_URL=http://127.0.0.1:{ports.gateway}\n"
        f"GATEHOUSE_CONTROL_URL=http://127.0.0.1:{ports.control}\n"
        "GATEHOUSE_ADMIN_API_KEY=new-admin\nGATEHOUSE_API_KEY=new-key\n"
    )
    assert (tmp_path / "demo.env").stat().st_mode & 0o777 == 0o600


def test_a_failing_command_ends_it_with_its_name_and_last_words(monkeypatch, tmp_path):
    (tmp_path / "manage.py").write_text("import sys; sys.exit('no such table: fridge')")
    monkeypatch.setattr(plan, "REPOSITORY", tmp_path)
    with pytest.raises(CannotStart) as fault:
        up.manage(dict(os.environ), "migrate")
    assert str(fault.value) == "`manage.py migrate` failed:\n    no such table: fridge"


@pytest.mark.parametrize("output", ["", "hello", "[1]"])
def test_a_command_that_prints_no_object_is_a_sentence(monkeypatch, output):
    monkeypatch.setattr(up, "manage", lambda *_: output)
    with pytest.raises(CannotStart, match="printed no JSON"):
        up.manage_json({}, "bootstrap_demo")


def test_the_summary_has_everything_a_newcomer_needs(tmp_path, ports):
    demo = {
        "admin_api_key": "ADMIN", "api_key": "WORK", "model": "@demo/demo-chat", "setup_url": "http://set/up",
        "owner_email": "owner@demo.example",
    }  # fmt: skip
    current = up.Run(Layout(tmp_path), ports)
    text = up.summary(current, demo, "log-1")
    wanted = (
        ports.gateway_url,
        ports.control_url,
        "http://set/up",
        "ADMIN",
        "WORK",
        "curl ",
        "from openai import",
        "log-1",
    )
    assert [part for part in wanted if part not in text] == []
    assert "sign in" in up.summary(current, {**demo, "setup_url": None}, "log-1")


def test_ending_stops_what_runs_and_forgets_the_environment(tmp_path, ports, monkeypatch, capsys):
    layout = Layout(tmp_path)
    current = up.Run(layout, ports)
    children = []

    def prepare(run):
        plan.write_pairs(layout.environment, {"A": "1"})
        command = [sys.executable, "-c", "import time; time.sleep(600)"]
        child = up.spawn("sleeper", command, log=tmp_path / "sleeper.log", environment=dict(os.environ))
        children.append(run.family.adopt(child))
        raise CannotStart("on purpose")

    monkeypatch.setattr(up, "prepare", prepare)
    with pytest.raises(CannotStart, match="on purpose"):
        up.serve(current)
    assert children[0].process.returncode == -signal.SIGTERM
    assert not layout.environment.exists()
    assert "everything is stopped" in capsys.readouterr().out
