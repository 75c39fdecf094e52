import uuid

from hypothesis import given
from hypothesis import strategies as st

from shared.crypto.tokens import LENGTH, hash_secret, mint_key, parse_key, same_hash


@given(st.uuids())
def test_a_minted_key_names_its_row_and_hashes_to_what_is_stored(key_id):
    minted = mint_key(key_id)
    parsed = parse_key(minted.text.reveal())
    assert (parsed.key_id, parsed.secret_hash) == (str(key_id), minted.secret_hash)


@given(st.uuids(), st.integers(0, LENGTH - 1), st.characters(codec="utf-8"))
def test_a_key_with_any_other_character_is_no_key(key_id, at, char):
    text = mint_key(key_id).text.reveal()
    changed = text[:at] + char + text[at + 1 :]
    assert changed == text or parse_key(changed) is None


@given(st.text())
def test_no_other_text_is_a_key(text):
    assert parse_key(text) is None


def test_the_mask_and_hash_do_not_hold_the_secret():
    minted = mint_key(uuid.uuid4())
    secret = minted.text.reveal()[25:57]
    assert secret not in minted.masked
    assert minted.secret_hash == hash_secret(secret)


def test_hashes_are_compared_whole():
    assert same_hash("ab", "ab")
    assert not same_hash("ab", "abc")
