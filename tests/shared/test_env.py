import pytest

from shared.env import REGISTRY, Env, SettingInvalid

env = Env("tests.reader")


def test_a_default_is_used_when_the_variable_is_missing_or_empty(monkeypatch):
    monkeypatch.setenv("GH_T_EMPTY", "")
    assert env.integer("GH_T_EMPTY", 7, "x") == 7
    assert env.text("GH_T_MISSING", "d", "x") == "d"


def test_a_required_variable_that_is_missing_is_named(monkeypatch):
    monkeypatch.delenv("GH_T_REQUIRED", raising=False)
    with pytest.raises(SettingInvalid, match="GH_T_REQUIRED must be set: what it is"):
        env.text("GH_T_REQUIRED", None, "what it is")


@pytest.mark.parametrize(("read", "raw"), [
    (lambda: env.integer("GH_T_BAD", 1, "x", least=1, most=10), "11"),
    (lambda: env.integer("GH_T_BAD", 1, "x"), "one"),
    (lambda: env.number("GH_T_BAD", 1.0, "x"), "-1"),
    (lambda: env.number("GH_T_BAD", 1.0, "x"), "nan"),
    (lambda: env.boolean("GH_T_BAD", default=True, meaning="x"), "maybe"),
    (lambda: env.choice("GH_T_BAD", "a", ("a", "b"), "x"), "c"),
])  # fmt: skip
def test_a_value_that_cannot_be_used_is_named(monkeypatch, read, raw):
    monkeypatch.setenv("GH_T_BAD", raw)
    with pytest.raises(SettingInvalid, match="GH_T_BAD"):
        read()


def test_a_choice_is_one_of_its_words_in_any_case(monkeypatch):
    assert env.choice("GH_T_MISSING", "a", ("a", "b"), "x") == "a"
    monkeypatch.setenv("GH_T_CHOICE", " B ")
    assert env.choice("GH_T_CHOICE", "a", ("a", "b"), "x") == "b"


def test_a_secret_value_is_not_repeated_in_its_error(monkeypatch):
    monkeypatch.setenv("GH_T_SECRET", "s3cret")

    def refuse(_raw):
        raise ValueError("no")

    with pytest.raises(SettingInvalid) as raised:
        env._read("GH_T_SECRET", "", "x", refuse, secret=True)
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize(("raw", "value"), [("TRUE", True), ("on", True), ("0", False), ("No", False)])
def test_booleans_are_read_in_every_spelling(monkeypatch, raw, value):
    monkeypatch.setenv("GH_T_BOOL", raw)
    assert env.boolean("GH_T_BOOL", default=not value, meaning="x") is value


def test_lists_are_split_at_commas_and_blanks_dropped(monkeypatch):
    monkeypatch.setenv("GH_T_LIST", " a, ,b ,")
    assert env.words("GH_T_LIST", "", "x") == ("a", "b")


def test_what_was_read_is_registered_for_the_example_file():
    env.text("GH_T_KNOWN", "d", "its meaning")
    assert REGISTRY[("tests.reader", "GH_T_KNOWN")].meaning == "its meaning"
