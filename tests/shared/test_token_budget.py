import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.token_budget import Terms, TokenBudget, terms_claimed, terms_in, token_budget_in

SUBJECT = "0123456789abcdef" * 2

terms = st.builds(
    lambda unit, limit, part, reset: Terms(
        unit,
        limit * (10**9 if unit == "cost" else 100),
        None if part is None else limit * part,
        reset if isinstance(reset, str) else None,
        reset if isinstance(reset, int) else None,
    ),
    st.sampled_from(["cost", "tokens"]),
    st.integers(1, 10**9),
    st.none() | st.integers(0, 100),
    st.sampled_from([None, "weekly", "monthly"]) | st.integers(1, 365),
)


@pytest.mark.parametrize(("claim", "found"), [
    ({"credit_limit": 25}, Terms("cost", 25 * 10**9)),
    ([{"type": "cost", "credit_limit": 1.5, "periodic_reset": "monthly"}], Terms("cost", 1_500_000_000, None, "monthly")),
    ({"type": "tokens", "credit_limit": 1000, "alert_threshold": 800, "periodic_reset_days": 7},
     Terms("tokens", 1000, 800, None, 7)),
    ({"type": None, "credit_limit": 1, "alert_threshold": None, "periodic_reset": None}, Terms("cost", 10**9)),
    ({"type": "tokens", "credit_limit": 100.0}, Terms("tokens", 100)), (None, None), ([], None), ([None], None),
])  # fmt: skip
def test_a_claim_says_how_much_there_is_and_for_how_long(claim, found):
    assert terms_claimed(claim) == found


@pytest.mark.parametrize("claim", [
    "25", 25, 0, False, {}, [{}, {}], [[]], ["x"], {"credit_limit": "25"}, {"credit_limit": True}, {"credit_limit": 0.99},
    {"credit_limit": -1}, {"credit_limit": float("nan")}, {"credit_limit": float("inf")}, {"credit_limit": 10**9 + 1},
    {"credit_limit": 10**400}, {"type": "tokens", "credit_limit": 99}, {"type": "tokens", "credit_limit": 100.5},
    {"type": "tokens", "credit_limit": 10**15 + 1}, {"type": "requests", "credit_limit": 500},
    {"type": ["cost"], "credit_limit": 5}, {"credit_limit": 5, "alert_threshold": 5},
    {"credit_limit": 5, "alert_threshold": 0}, {"credit_limit": 5, "periodic_reset": "daily"},
    {"credit_limit": 5, "periodic_reset": {}}, {"credit_limit": 5, "periodic_reset_days": 0},
    {"credit_limit": 5, "periodic_reset_days": 366}, {"credit_limit": 5, "periodic_reset_days": 1.5},
    {"credit_limit": 5, "periodic_reset_days": True}, {"credit_limit": 5, "periodic_reset": "weekly", "periodic_reset_days": 7},
    {"credit_limit": 5, "next_usage_reset_at": "2030-01-01T00:00:00Z"}, {"credit_limit": 5, "limit": 5},
])  # fmt: skip
def test_a_claim_that_could_not_be_kept_is_none(claim):
    with pytest.raises(ValueError, match=r"must|fields|either"):
        terms_claimed(claim)


@given(terms)
def test_what_one_side_writes_the_other_reads(said):
    assert terms_in(said.text()) == said
    budget = TokenBudget("org", "ws", SUBJECT, said)
    assert token_budget_in(budget.text()) == budget


@pytest.mark.parametrize("text", [
    "", "cost", "cost/1", "cost/999999999/never", "cost/01000000000/never", "cost/+1000000000/never",
    "cost/1000000000000000001/never", "cost/1_000_000_000/never", "tokens/99/never", "tokens/1000000000000001/never",
    "tokens/1٠٠/never", "requests/100/never", "tokens/100/daily", "tokens/100/0d", "tokens/100/366d",
    "tokens/100/07d", "tokens/100/never/101", "tokens/100/never/", "tokens/100/never\n", "tokens/100/weekly/7/1",
])  # fmt: skip
def test_what_no_claim_can_have_said_is_not_read(text):
    assert terms_in(text) is None
    assert token_budget_in(f"org/ws/{SUBJECT}/{text}") is None


@pytest.mark.parametrize(
    "head", [f"/ws/{SUBJECT}", f"org//{SUBJECT}", "org/ws/ada", f"org/ws/{SUBJECT.upper()}", SUBJECT]
)
def test_a_budget_of_nobody_or_nowhere_is_none(head):
    assert token_budget_in(f"{head}/tokens/100/never") is None


@given(st.text())
def test_no_text_is_worse_than_unreadable(text):
    assert token_budget_in(text) is None
