"""Embedded PostgreSQL and Valkey: they start, keep their data through a kill, and leave nothing."""

import os
import signal
from pathlib import Path

import psycopg
import pytest
import redis

from deploy.local import postgres, services
from deploy.local.children import Family


@pytest.fixture
def family():
    members = Family()
    yield members
    members.stop()


@pytest.fixture
def home(tmp_path):
    yield tmp_path
    postgres.remove(tmp_path / "postgres")


def start_both(family, home, *, durable=False, given=None):
    return services.start(family, home, given=given or {}, logs=home / "logs", durable=durable)


def start_postgres(family, home, *, durable=True):
    child, url = postgres.start(home / "postgres", log=home / "postgres.log", durable=durable)
    return family.adopt(child), url


def ask(url, statement):
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(statement).fetchone()


def test_both_services_answer_by_the_urls_they_give(family, home):
    urls = start_both(family, home)
    assert ask(urls["DATABASE_URL"], "SELECT current_database()") == ("gatehouse",)
    with redis.Redis.from_url(urls["REDIS_URL"]) as client:
        assert client.set("a", "b")
        assert client.get("a") == b"b"


def test_neither_service_lets_anyone_in_without_the_password(family, home):
    urls = start_both(family, home)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(urls["DATABASE_URL"], password="guess")
    address = urls["REDIS_URL"].rpartition("@")[2]
    with redis.Redis.from_url(f"redis://{address}") as client, pytest.raises(redis.AuthenticationError):
        client.ping()


def test_the_services_listen_on_loopback_only(family, home):
    urls = start_both(family, home)
    assert ask(urls["DATABASE_URL"], "SELECT current_setting('listen_addresses')") == ("127.0.0.1",)
    assert ask(urls["DATABASE_URL"], "SELECT current_setting('unix_socket_directories')") == ("",)
    with redis.Redis.from_url(urls["REDIS_URL"]) as client:
        assert client.config_get("bind") == {"bind": "127.0.0.1"}


def test_stopping_leaves_no_process(family, home):
    start_both(family, home)
    processes = [child.process for child in family._children]
    family.stop()
    assert [process.returncode for process in processes] == [0, 0]


def test_given_urls_are_used_and_nothing_is_started(family, home):
    given = {"DATABASE_URL": "postgresql://db.example/x", "REDIS_URL": "redis://cache.example/1"}
    assert start_both(family, home, given=given) == given
    assert family._children == []


def test_an_empty_variable_counts_as_not_given(family, home):
    given = {"DATABASE_URL": "postgresql://db.example/x", "REDIS_URL": ""}
    assert start_both(family, home, given=given)["REDIS_URL"].startswith("redis://:")


def test_postgresql_keeps_its_data_through_a_kill(family, home):
    child, url = start_postgres(family, home)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (number int)")
        connection.execute("INSERT INTO kept VALUES (42)")
    child.process.kill()
    child.process.wait(10)
    family._children.clear()
    _, again = start_postgres(family, home)
    assert ask(again, "SELECT number FROM kept") == (42,)


def test_a_server_left_over_from_a_killed_run_is_ended_first(family, home):
    left, url = start_postgres(family, home)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (number int)")
    family._children.clear()
    _, again = start_postgres(family, home)
    assert left.process.wait(10) == 0
    assert ask(again, "SELECT count(*) FROM kept") == (0,)


def test_a_pid_file_that_names_a_living_stranger_does_not_stop_the_start(family, home):
    child, _ = start_postgres(family, home)
    pid_file = (home / "postgres" / "data" / "postmaster.pid").resolve()
    lines = pid_file.read_text().splitlines()
    family.stop()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:], ""]))
    _, url = start_postgres(family, home)
    assert ask(url, "SELECT 1") == (1,)
    assert child.process.returncode == 0


def test_a_half_made_data_folder_is_made_anew(family, home):
    start_postgres(family, home, durable=False)
    family.stop()
    folder = (home / "postgres").resolve()
    (folder / "data").rename(folder / "data.new")
    _, url = start_postgres(family, home, durable=False)
    assert ask(url, "SELECT 1") == (1,)


def test_postgresql_does_not_run_as_root(family, home):
    child, _ = start_postgres(family, home, durable=False)
    assert Path(f"/proc/{child.process.pid}").stat().st_uid != 0


def test_files_move_to_a_shelter_only_when_the_server_may_not_enter(family, home):
    """Pytest's folders are private, so root's server needs the shelter, and everyone else's does not."""
    home.chmod(0o700)
    start_postgres(family, home, durable=False)
    folder = home / "postgres"
    assert folder.is_symlink() == (os.geteuid() == 0)
    shelter = folder.resolve()
    assert (shelter / "password").stat().st_mode & 0o777 == 0o600
    family.stop()
    postgres.remove(folder)
    assert not shelter.exists()
    assert not folder.is_symlink()


def test_programs_run_from_a_copy_that_keeps_their_libraries(home):
    installed = postgres._installed()
    copy = postgres._copy_programs(installed, home / "runtime")
    done = postgres.run([str(copy / "bin" / "initdb"), "--version"])
    assert done.stdout.startswith("initdb (PostgreSQL) ")
    assert postgres._copy_programs(installed, home / "runtime") == copy


def test_the_newest_postgresql_of_the_wheel_is_chosen():
    assert postgres._installed().name == "pginstall18"


def test_valkey_keeps_its_data_through_a_kill_when_durable(family, home):
    child, url = services.start_valkey(home / "valkey", log=home / "valkey.log", durable=True)
    with redis.Redis.from_url(url) as client:
        client.set("kept", "42")
        assert client.execute_command("WAITAOF", 1, 0, 5000)[0] == 1
    child.process.send_signal(signal.SIGKILL)
    child.process.wait(10)
    again, url = services.start_valkey(home / "valkey", log=home / "valkey.log", durable=True)
    family.adopt(again)
    with redis.Redis.from_url(url) as client:
        assert client.get("kept") == b"42"


def test_the_password_of_valkey_is_in_no_command_line_and_no_file(family, home):
    child, url = services.start_valkey(home / "valkey", log=home / "valkey.log", durable=True)
    family.adopt(child)
    password = url.split(":")[2].partition("@")[0].encode()
    assert password not in Path(f"/proc/{child.process.pid}/cmdline").read_bytes()
    files = [each for each in home.rglob("*") if each.is_file()]
    assert files
    assert all(password not in each.read_bytes() for each in files)
