import json
import logging
import uuid

import pytest

from shared import logs
from shared.crypto.tokens import mint_key


@pytest.fixture
def configured(capsys):
    yield capsys
    import structlog

    structlog.reset_defaults()
    logging.getLogger().handlers.clear()


def test_keys_in_an_event_are_not_written(configured):
    logs.configure("info")
    key = mint_key(uuid.uuid4()).text.reveal()
    logs.get_logger("t").info("thing_done", note=f"with {key} and sk-abcdefghijklmnop", authorization="Bearer x")
    line = configured.readouterr().err
    event = json.loads(line)
    assert event["event"] == "thing_done"
    assert key not in line
    assert "sk-abcdefghijklmnop" not in line
    assert event["authorization"] == "[redacted]"


def test_keys_logged_by_libraries_are_not_written(configured):
    logs.configure("info")
    logging.getLogger("lib").error("failed for %s", "Bearer abcdefghijklmnopq")
    assert "abcdefghijklmnopq" not in configured.readouterr().err


def test_scrub_leaves_ordinary_words_alone():
    assert logs.scrub("ask the bearer of news about sk-1") == "ask the bearer of news about sk-1"
