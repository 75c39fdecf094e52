import json
import pickle

import pytest

from shared.redact import Secret, mask

SECRET = Secret("sk-sentinel-0123456789")


@pytest.mark.parametrize("shown", [str(SECRET), repr(SECRET), f"{SECRET}", f"{SECRET:>40}", repr([SECRET])])
def test_no_way_of_formatting_shows_a_secret(shown):
    assert "sentinel" not in shown


def test_a_secret_can_be_neither_pickled_nor_encoded():
    with pytest.raises(TypeError):
        pickle.dumps(SECRET)
    with pytest.raises(TypeError):
        json.dumps(SECRET)


def test_reveal_returns_what_was_put_in():
    assert SECRET.reveal() == "sk-sentinel-0123456789"


@pytest.mark.parametrize(("value", "shown"), [("short", "****"), ("sk-sentinel-0123", "sk-****0123")])
def test_a_mask_shows_the_ends_of_long_values_only(value, shown):
    assert mask(value) == shown
