"""Tables of records.  Three are partitioned by day, which only SQL can say; the state beside it is for Django."""

from django.db import migrations, models

RECORD = """
CREATE TABLE logs_record (
    ts timestamptz NOT NULL,
    id uuid NOT NULL,
    stream_id uuid NOT NULL,
    seq bigint NOT NULL,
    organisation_id uuid NOT NULL,
    workspace_id uuid NOT NULL,
    api_key_id uuid,
    user_ref text,
    gateway text NOT NULL,
    bundle text NOT NULL,
    endpoint text NOT NULL,
    provider text,
    virtual_key text,
    model_requested text,
    model_served text,
    stream boolean NOT NULL,
    status integer NOT NULL,
    error_class text,
    error_type text,
    tok_in bigint NOT NULL,
    tok_in_cache_read bigint NOT NULL,
    tok_in_cache_write bigint NOT NULL,
    tok_out bigint NOT NULL,
    tok_out_reasoning bigint NOT NULL,
    usage_source text NOT NULL,
    cost_nano bigint,
    price_id text,
    price_status text NOT NULL,
    lat_ms bigint NOT NULL,
    ttft_ms bigint,
    upstream_ms bigint NOT NULL,
    gw_us bigint NOT NULL,
    config text,
    config_version text,
    target_path text,
    retry_n bigint NOT NULL,
    fallback_n bigint NOT NULL,
    cache_status text NOT NULL,
    trace_id text NOT NULL,
    span_id text NOT NULL,
    parent_span_id text,
    in_preview text,
    out_preview text,
    body_state text NOT NULL,
    body_bytes bigint NOT NULL,
    metadata jsonb NOT NULL,
    detail jsonb NOT NULL,
    PRIMARY KEY (ts, id),
    UNIQUE (ts, stream_id, seq)
) PARTITION BY RANGE (ts);
CREATE INDEX logs_record_by_workspace ON logs_record (workspace_id, ts DESC, id DESC);
CREATE INDEX logs_record_by_organisation ON logs_record (organisation_id, ts DESC, id DESC);
CREATE INDEX logs_record_by_id ON logs_record (id);
CREATE INDEX logs_record_by_trace ON logs_record (trace_id);
CREATE INDEX logs_record_by_key ON logs_record (api_key_id, ts);
CREATE TABLE logs_record_default PARTITION OF logs_record DEFAULT;
"""

ATTEMPT = """
CREATE TABLE logs_attempt (
    ts timestamptz NOT NULL,
    stream_id uuid NOT NULL,
    seq bigint NOT NULL,
    n integer NOT NULL,
    log_id uuid NOT NULL,
    provider text NOT NULL,
    target_path text NOT NULL,
    status integer NOT NULL,
    error text,
    start_us bigint NOT NULL,
    dur_ms bigint NOT NULL,
    model text,
    PRIMARY KEY (ts, stream_id, seq, n)
) PARTITION BY RANGE (ts);
CREATE TABLE logs_attempt_default PARTITION OF logs_attempt DEFAULT;
"""

# Bodies are compressed already: PostgreSQL trying once more would only cost time.
BODY = """
CREATE TABLE logs_body (
    ts timestamptz NOT NULL,
    stream_id uuid NOT NULL,
    seq bigint NOT NULL,
    log_id uuid NOT NULL,
    organisation_id uuid NOT NULL,
    workspace_id uuid NOT NULL,
    request bytea,
    response bytea,
    PRIMARY KEY (ts, stream_id, seq)
) PARTITION BY RANGE (ts);
ALTER TABLE logs_body ALTER COLUMN request SET STORAGE EXTERNAL, ALTER COLUMN response SET STORAGE EXTERNAL;
CREATE INDEX logs_body_by_log ON logs_body (log_id);
CREATE TABLE logs_body_default PARTITION OF logs_body DEFAULT;
"""

RECORD_STATE = migrations.CreateModel(
    name="LogRow",
    fields=[
        ("pk", models.CompositePrimaryKey("ts", "id", blank=True, editable=False, primary_key=True, serialize=False)),
        ("ts", models.DateTimeField()),
        ("id", models.UUIDField()),
        ("stream_id", models.UUIDField()),
        ("seq", models.BigIntegerField()),
        ("organisation_id", models.UUIDField()),
        ("workspace_id", models.UUIDField()),
        ("api_key_id", models.UUIDField(null=True)),
        ("user_ref", models.TextField(null=True)),
        ("gateway", models.TextField()),
        ("bundle", models.TextField()),
        ("endpoint", models.TextField()),
        ("provider", models.TextField(null=True)),
        ("virtual_key", models.TextField(null=True)),
        ("model_requested", models.TextField(null=True)),
        ("model_served", models.TextField(null=True)),
        ("stream", models.BooleanField()),
        ("status", models.IntegerField()),
        ("error_class", models.TextField(null=True)),
        ("error_type", models.TextField(null=True)),
        ("tok_in", models.BigIntegerField()),
        ("tok_in_cache_read", models.BigIntegerField()),
        ("tok_in_cache_write", models.BigIntegerField()),
        ("tok_out", models.BigIntegerField()),
        ("tok_out_reasoning", models.BigIntegerField()),
        ("usage_source", models.TextField()),
        ("cost_nano", models.BigIntegerField(null=True)),
        ("price_id", models.TextField(null=True)),
        ("price_status", models.TextField()),
        ("lat_ms", models.BigIntegerField()),
        ("ttft_ms", models.BigIntegerField(null=True)),
        ("upstream_ms", models.BigIntegerField()),
        ("gw_us", models.BigIntegerField()),
        ("config", models.TextField(null=True)),
        ("config_version", models.TextField(null=True)),
        ("target_path", models.TextField(null=True)),
        ("retry_n", models.BigIntegerField()),
        ("fallback_n", models.BigIntegerField()),
        ("cache_status", models.TextField()),
        ("trace_id", models.TextField()),
        ("span_id", models.TextField()),
        ("parent_span_id", models.TextField(null=True)),
        ("in_preview", models.TextField(null=True)),
        ("out_preview", models.TextField(null=True)),
        ("body_state", models.TextField()),
        ("body_bytes", models.BigIntegerField()),
        ("metadata", models.JSONField(default=dict)),
        ("detail", models.JSONField(default=dict)),
    ],
    options={"db_table": "logs_record"},
)

ATTEMPT_STATE = migrations.CreateModel(
    name="LogAttempt",
    fields=[
        (
            "pk",
            models.CompositePrimaryKey(
                "ts", "stream_id", "seq", "n", blank=True, editable=False, primary_key=True, serialize=False
            ),
        ),
        ("ts", models.DateTimeField()),
        ("stream_id", models.UUIDField()),
        ("seq", models.BigIntegerField()),
        ("n", models.IntegerField()),
        ("log_id", models.UUIDField()),
        ("provider", models.TextField()),
        ("target_path", models.TextField()),
        ("status", models.IntegerField()),
        ("error", models.TextField(null=True)),
        ("start_us", models.BigIntegerField()),
        ("dur_ms", models.BigIntegerField()),
        ("model", models.TextField(null=True)),
    ],
    options={"db_table": "logs_attempt"},
)

BODY_STATE = migrations.CreateModel(
    name="LogBody",
    fields=[
        (
            "pk",
            models.CompositePrimaryKey(
                "ts", "stream_id", "seq", blank=True, editable=False, primary_key=True, serialize=False
            ),
        ),
        ("ts", models.DateTimeField()),
        ("stream_id", models.UUIDField()),
        ("seq", models.BigIntegerField()),
        ("log_id", models.UUIDField()),
        ("organisation_id", models.UUIDField()),
        ("workspace_id", models.UUIDField()),
        ("request", models.BinaryField(null=True)),
        ("response", models.BinaryField(null=True)),
    ],
    options={"db_table": "logs_body"},
)


def _partitioned(create, table, state):
    return migrations.SeparateDatabaseAndState(
        database_operations=[migrations.RunSQL(create, f"DROP TABLE {table}")], state_operations=[state]
    )


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="IngestStream",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("group_id", models.UUIDField(db_index=True)),
                ("kind", models.TextField(default="")),
                ("next_seq", models.BigIntegerField(default=1)),
                ("records", models.BigIntegerField(default=0)),
                ("dropped", models.BigIntegerField(default=0)),
                ("last_at", models.DateTimeField(auto_now=True)),
            ],
        ),
        _partitioned(RECORD, "logs_record", RECORD_STATE),
        _partitioned(ATTEMPT, "logs_attempt", ATTEMPT_STATE),
        _partitioned(BODY, "logs_body", BODY_STATE),
    ]
