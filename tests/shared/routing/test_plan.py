from shared.redact import Secret
from shared.routing.plan import DEFAULT_PLAN, Plan, Target
from shared.schema.strategy import BreakerPolicy


def test_without_a_config_the_request_alone_decides():
    assert DEFAULT_PLAN.root == Target(path="config")
    assert DEFAULT_PLAN.mode == "single"


def test_a_target_that_says_nothing_is_tried_once_and_has_no_breaker():
    bare = Target(path="config")
    assert (bare.retry.attempts, bare.breaker, bare.breaker_id, bare.timeout_ms) == (0, None, "", None)


def test_secrets_of_a_target_cannot_be_printed():
    target = Target(
        path="config", api_key=Secret("sk-sentinel-1"), settings={"aws_secret_access_key": Secret("sentinel-2")}
    )
    assert "sentinel" not in repr(target)
    assert "sentinel" not in str(Plan(target))


def test_plans_of_equal_parts_are_equal():
    assert Plan(Target("a", breaker=BreakerPolicy(30_000, 3))) == Plan(Target("a", breaker=BreakerPolicy(30_000, 3)))
    assert Plan(Target("a")) != Plan(Target("b"))
