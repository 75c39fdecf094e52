"""The example of the environment: one paragraph a variable."""

from deploy.local.env_example import render
from shared.env import Setting

PORT = Setting("PORT", "80", "Port to listen on.", "b.settings", secret=False)


def test_a_default_is_shown_as_a_comment_with_meaning_and_reader():
    assert render([PORT]).endswith("\n\n# Port to listen on. Read by: b.settings.\n#PORT=80\n")


def test_a_required_variable_is_a_line_to_fill_in():
    key = Setting("KEY", None, "Key.", "a.settings", secret=True)
    assert render([key]).endswith("\n# Key. Read by: a.settings. Secret.\nKEY=\n")


def test_a_variable_that_two_modules_read_appears_once_and_names_both():
    twice = [PORT, Setting("PORT", "80", "Port to listen on.", "a.settings", secret=False)]
    text = render(twice)
    assert text.count("PORT=") == 1
    assert "Read by: a.settings, b.settings." in text


def test_a_variable_that_one_of_two_modules_requires_is_required():
    twice = [PORT, Setting("PORT", None, "Port to listen on.", "a.settings", secret=False)]
    assert "\nPORT=\n" in render(twice)


def test_variables_are_in_alphabetical_order():
    other = Setting("ADDRESS", "::", "Address.", "z.settings", secret=False)
    assert render([PORT, other]).index("ADDRESS=") < render([PORT, other]).index("PORT=")
