import pytest

from shared.schema.hooks import MAX_HOOKS, Hook, HookCheck, guardrails, mutators, raw_hook, raw_hooks
from shared.schema.values import Faults


def read(reader, value):
    faults = Faults()
    return reader(value, ("h",), faults), [line.removeprefix("path: ") for line in faults.lines]


def test_saved_guardrails_are_named_by_slug():
    assert read(guardrails, ["pg-1", "pg-2"]) == (("pg-1", "pg-2"), [])


@pytest.mark.parametrize(("reader", "kind"), [(guardrails, "guardrail"), (mutators, "mutator")])
def test_an_inline_guardrail_holds_checks_under_their_names(reader, kind):
    body = {
        "default.wordCount": {"maxWords": 3},
        "regexMatch": {"rule": "a"},
        "deny": True,
        "async": False,
        "on_fail": {"feedback": {"value": -1}},
    }
    assert read(reader, [body]) == ((
        Hook(
            None, (HookCheck("default.wordCount", {"maxWords": 3}), HookCheck("default.regexMatch", {"rule": "a"})),
            kind, deny=True, on_fail={"feedback": {"value": -1}},
        ),
    ), [])  # fmt: skip


def test_an_inline_guardrail_may_say_its_kind_and_name():
    ((hook,), said) = read(
        guardrails, [{"id": "g", "type": "mutator", "sequential": True, "async": True, "on_success": {"deny": True}}]
    )
    assert said == []
    assert (hook.id, hook.kind, hook.sequential, hook.is_async, hook.checks) == ("g", "mutator", True, True, ())


def test_a_raw_hook_lists_its_checks():
    body = {
        "id": "h1",
        "checks": [
            {"id": "contains", "parameters": {"words": ["a"]}, "is_enabled": False},
            {"id": "aporia.check", "parameters": {}},
        ],
    }
    ((hook,), said) = read(raw_hooks, [body])
    assert said == []
    assert (hook.id, hook.kind, hook.deny) == ("h1", "guardrail", False)
    assert hook.checks == (
        HookCheck("default.contains", {"words": ["a"]}, is_enabled=False),
        HookCheck("aporia.check", {}),
    )


@pytest.mark.parametrize(("reader", "value", "said"), [
    (guardrails, "pg-1", ["h, message: Expected array, received string"]), (guardrails, [7], ["h,0, message: Expected string or object, received number"]),
    (guardrails, [""], ["h,0, message: is empty"]), (guardrails, [{"deny": "yes"}], ["h,0,deny, message: Expected boolean, received string"]),
    (guardrails, [{"wordCount": 3}], ["h,0,wordCount, message: Expected object, received number"]), (mutators, [{"type": "x"}], ["h,0,type, message: Must be one of: guardrail, mutator"]),
    (guardrails, [{"on_fail": {"x": 1}}], ["h,0,on_fail,x, message: Unrecognized key"]), (guardrails, ["a"] * (MAX_HOOKS + 1), ["h, message: Array must contain at most 100 element(s)"]),
    (raw_hooks, ["pg-1"], ["h,0, message: Expected object, received string"]), (raw_hooks, [{}], ["h,0,id, message: Required"]),
    (raw_hooks, [{"id": "a", "checks": [{"id": "c"}]}], ["h,0,checks,0,parameters, message: Required"]), (raw_hooks, [{"id": "a", "x": 1}], ["h,0,x, message: Unrecognized key"]),
    (raw_hooks, [{"id": "a", "checks": {}}], ["h,0,checks, message: Expected array, received object"]),
    (raw_hook, {"id": 5}, ["h,id, message: Expected string, received number"]),
])  # fmt: skip
def test_a_fault_of_a_hook_is_told_with_its_path(reader, value, said):
    assert read(reader, value)[1] == said


def test_parameters_of_a_check_cannot_be_printed():
    found, _ = read(guardrails, [{"webhook": {"headers": {"Authorization": "sentinel"}}}])
    assert "webhook" in repr(found)
    assert "sentinel" not in repr(found)
