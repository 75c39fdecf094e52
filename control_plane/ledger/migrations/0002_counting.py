"""Records are counted by triggers of their own table, which no way of storing them passes by.

Partitions have no such trigger: moving rows between partitions, and dropping them, changes no total.
"""

from django.db import migrations

DIMENSIONS = (
    "organisation_id", "workspace_id", "hour", "api_key_id", "user_ref", "integration", "virtual_key", "provider",
    "model",
)  # fmt: skip
MEASURES = {
    "requests": "1",
    "errors": "CASE WHEN status BETWEEN 200 AND 299 OR status = 101 THEN 0 ELSE 1 END",
    "unpriced": "CASE WHEN price_status = 'unpriced' THEN 1 ELSE 0 END",
    "estimated": "CASE WHEN usage_source = 'estimated' THEN 1 ELSE 0 END",
    "tok_in": "tok_in",
    "tok_out": "tok_out",
    "tok_in_cache_read": "tok_in_cache_read",
    "tok_in_cache_write": "tok_in_cache_write",
    "tok_out_reasoning": "tok_out_reasoning",
    "cost_nano": "coalesce(cost_nano, 0)",
    "saved_nano": "0",
    "lat_ms": "lat_ms",
    "upstream_ms": "upstream_ms",
    "gw_us": "gw_us",
}
KEY = ", ".join(DIMENSIONS)
COUNTS = ", ".join(MEASURES)
SUMS = ", ".join(f"sum({name}) AS {name}" for name in MEASURES)
TAKEN = ", ".join(f"-{name}" for name in MEASURES)
CHANGED = " OR ".join(f"sum({name}) <> 0" for name in MEASURES)


def facts(source, first=""):
    counts = ", ".join(f"({value})::numeric AS {name}" for name, value in MEASURES.items())
    return f"""
        SELECT {first} organisation_id, workspace_id, date_trunc('hour', ts, 'UTC') AS hour, api_key_id, user_ref,
            detail ->> 'integration' AS integration, virtual_key, provider,
            coalesce(nullif(model_served, ''), model_requested) AS model, {counts}
        FROM {source}
    """


def delta(rows, having=""):
    return f"INSERT INTO ledger_delta ({KEY}, {COUNTS}) SELECT {KEY}, {SUMS} FROM ({rows}) fact GROUP BY {KEY} {having}"


# What counts: a later migration replaces it where a measure changes.
COUNTING = f"""
CREATE OR REPLACE VIEW ledger_fact AS {facts("logs_record", "ts, id,")};
CREATE OR REPLACE FUNCTION ledger_count_stored() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    {delta(facts("stored"))};
    RETURN NULL;
END
$$;
CREATE OR REPLACE FUNCTION ledger_count_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    {delta(
        f"{facts('changed_to')} UNION ALL SELECT {KEY}, {TAKEN} FROM ({facts('changed_from')}) former",
        f"HAVING {CHANGED}",
    )};
    RETURN NULL;
END
$$;
"""
# Records that were stored before are counted last: since the triggers exist, nothing is stored beside this.
FORWARD = f"""
{COUNTING}
CREATE VIEW ledger_total AS
    SELECT {KEY}, {COUNTS} FROM ledger_rollup UNION ALL SELECT {KEY}, {COUNTS} FROM ledger_delta;
CREATE TRIGGER ledger_counts_stored AFTER INSERT ON logs_record
    REFERENCING NEW TABLE AS stored FOR EACH STATEMENT EXECUTE FUNCTION ledger_count_stored();
CREATE TRIGGER ledger_counts_changed AFTER UPDATE ON logs_record
    REFERENCING OLD TABLE AS changed_from NEW TABLE AS changed_to
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_count_changed();
CREATE TRIGGER correction_is_append_only BEFORE UPDATE OR DELETE ON ledger_correction
    FOR EACH ROW EXECUTE FUNCTION gatehouse_refuse_change();
{delta(facts("logs_record"))};
"""
BACKWARD = """
DROP TRIGGER correction_is_append_only ON ledger_correction;
DROP TRIGGER ledger_counts_changed ON logs_record;
DROP TRIGGER ledger_counts_stored ON logs_record;
DROP FUNCTION ledger_count_changed();
DROP FUNCTION ledger_count_stored();
DROP VIEW ledger_total;
DROP VIEW ledger_fact;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("ledger", "0001_initial"),
        ("logs", "0003_retention_floor"),
        ("core", "0002_audit_is_append_only"),
    ]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
