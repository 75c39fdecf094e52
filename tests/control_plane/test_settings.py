"""How the control plane is set up."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments, **environment):
    """Run Python with these variables and no others."""
    return subprocess.run(
        [sys.executable, *arguments],
        env={"PATH": os.environ["PATH"], **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def imported(**environment):
    """What a fresh process makes of the settings."""
    code = "from control_plane import settings as s; print(s.ALLOWED_HOSTS, s.SESSION_COOKIE_SECURE, s.DATABASES)"
    return run("-c", code, **environment)


@pytest.mark.django_db
def test_the_database_of_tests_is_postgresql():
    assert connection.vendor == "postgresql"
    connection.ensure_connection()


def test_settings_can_be_imported_without_any_variable():
    done = imported()
    assert (done.returncode, done.stderr) == (0, "")


def test_cookies_are_secure_when_the_public_address_is():
    assert "] True" in imported(GATEHOUSE_PUBLIC_URL="https://gate.example").stdout
    assert "] False" in imported(GATEHOUSE_PUBLIC_URL="http://gate.example").stdout


def test_the_public_host_is_always_allowed():
    done = imported(GATEHOUSE_PUBLIC_URL="https://gate.example:8443", GATEHOUSE_ALLOWED_HOSTS="a,b")
    assert done.stdout.startswith("['a', 'b', 'gate.example']")


@pytest.mark.parametrize(("environment", "trusted"), [
    ({}, "[]"), ({"GATEHOUSE_ENVIRONMENT": "production"}, "[]"), ({"GATEHOUSE_ENVIRONMENT": "staging"}, "[]"),
    ({"GATEHOUSE_ENVIRONMENT": "development"}, "['127.0.0.1', '::1', 'host.docker.internal', 'localhost']"),
    ({"GATEHOUSE_ENVIRONMENT": "development", "TRUSTED_CUSTOM_HOSTS": "A.example,[::1]"}, "['::1', 'a.example']"),
])  # fmt: skip
def test_this_machine_may_be_a_provider_in_development_only(environment, trusted):
    done = run("-c", "from control_plane import settings as s; print(sorted(s.TRUSTED_CUSTOM_HOSTS))", **environment)
    assert done.stdout.strip() == trusted


def test_every_part_of_the_database_url_is_read():
    url = "postgresql://us%40er:p%2Fw@db.example:6543/gate"
    assert (
        "'NAME': 'gate', 'USER': 'us@er', 'PASSWORD': 'p/w', 'HOST': 'db.example', 'PORT': '6543'"
        in imported(DATABASE_URL=url).stdout
    )


def test_a_setting_that_cannot_be_read_ends_with_one_sentence():
    done = imported(GATEHOUSE_EDGE_PORT="many")
    assert done.returncode != 0
    assert done.stderr.startswith("GATEHOUSE_EDGE_PORT")
    assert "Traceback" not in done.stderr


def test_pages_may_load_nothing_from_elsewhere_and_run_nothing_inline():
    directives = settings.CONTENT_SECURITY_POLICY["DIRECTIVES"]
    assert directives["default-src"] == ["'self'"]
    assert directives["frame-ancestors"] == ["'none'"]
    assert not any("unsafe" in word for words in directives.values() for word in words)


def test_no_secret_has_a_default():
    done = run("manage.py", "check")
    assert done.returncode != 0
    assert "GATEHOUSE_SECRET_KEY must be set" in done.stderr
    assert "GATEHOUSE_FERNET_KEYS must be set" in done.stderr


@pytest.mark.parametrize("module", ["wsgi", "celery"])
def test_a_process_that_lacks_its_secrets_ends_with_one_sentence(module):
    code = (
        "import control_plane.wsgi" if module == "wsgi" else "from control_plane.celery import refuse_early as r; r()"
    )
    done = run("-c", code)
    assert done.returncode != 0
    assert done.stderr.strip().startswith("GATEHOUSE_SECRET_KEY must be set")
    assert "Traceback" not in done.stderr
