-- The tables of this version, as the migrations make them, for new databases; the migrations have the comments.
-- After a new migration: PYTHONPATH=tests python -m support.factories.current_tables

CREATE TABLE IF NOT EXISTS {db}.access_key_uses
(
    `key_id` String,
    `last_used` Int64
)
ENGINE = ReplacingMergeTree(last_used)
ORDER BY key_id;

CREATE TABLE IF NOT EXISTS {db}.access_keys
(
    `key_id` String,
    `hash` String,
    `name` String,
    `owner` String,
    `grants` Array(String),
    `created` Int64,
    `expires` Int64,
    `revoked` Int64
)
ENGINE = ReplacingMergeTree(revoked)
ORDER BY key_id;

CREATE TABLE IF NOT EXISTS {db}.audit_events
(
    `time` DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    `id` String,
    `action` LowCardinality(String),
    `actor` String,
    `method` LowCardinality(String),
    `key_id` String,
    `entity` String,
    `project` String,
    `run_id` String,
    `status` UInt16,
    `address` String,
    `detail` String CODEC(ZSTD(1)),
    `expires_at` DateTime('UTC')
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (time, id)
TTL expires_at;

CREATE TABLE IF NOT EXISTS {db}.ended_sessions
(
    `session_id` String,
    `expires` Int64
)
ENGINE = ReplacingMergeTree
ORDER BY session_id
TTL toDateTime(intDiv(expires, 1000), 'UTC') + toIntervalDay(1);

CREATE TABLE IF NOT EXISTS {db}.key_spellings
(
    `entity` LowCardinality(String),
    `project` LowCardinality(String),
    `run_id` String,
    `folded` String,
    `spelling` String,
    `first_version` SimpleAggregateFunction(min, UInt64)
)
ENGINE = AggregatingMergeTree
ORDER BY (entity, project, run_id, folded, spelling)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS {db}.log_positions
(
    `topic` String,
    `partition` Int32,
    `cluster_id` String,
    `topic_id` String,
    `partitions` Int32,
    `epoch` UInt32,
    `reason` LowCardinality(String),
    `begun_at` DateTime64(3, 'UTC') DEFAULT now64(3),
    `base` Int64,
    `first_offset` Int64,
    `end_offset` Int64,
    `holds_rows` Bool,
    `missing` UInt64,
    `boundaries` Array(Tuple(
        end_offset Int64,
        timestamp Int64,
        checksum UInt32)),
    `voided` Array(Tuple(
        offset_from Int64,
        offset_to Int64)),
    `version` UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (topic, partition);

CREATE TABLE IF NOT EXISTS {db}.media_files
(
    `sha256` String,
    `size` UInt64,
    `content_type` LowCardinality(String),
    `entity` LowCardinality(String),
    `project` LowCardinality(String),
    `run_id` String,
    `version` UInt64,
    `removed` Bool DEFAULT false
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (sha256, entity, project, run_id)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS {db}.media_removals
(
    `sha256` String,
    `size` UInt64,
    `removed_at` DateTime64(3, 'UTC'),
    `stage` LowCardinality(String),
    `version` UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY sha256;

CREATE TABLE IF NOT EXISTS {db}.points_bool
(
    `entity` LowCardinality(String) CODEC(ZSTD(1)),
    `project` LowCardinality(String) CODEC(ZSTD(1)),
    `run_id` LowCardinality(String) CODEC(ZSTD(1)),
    `key` LowCardinality(String) CODEC(ZSTD(1)),
    `writer` LowCardinality(String) DEFAULT '' CODEC(ZSTD(1)),
    `step` Int64 CODEC(DoubleDelta, ZSTD(1)),
    `timestamp` DateTime64(3, 'UTC') CODEC(Delta(8), T64, ZSTD(1)),
    `value` Bool CODEC(ZSTD(1)),
    `version` UInt64 CODEC(Delta(8), T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (entity, project, run_id, key, writer, step)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS {db}.points_media
(
    `entity` LowCardinality(String) CODEC(ZSTD(1)),
    `project` LowCardinality(String) CODEC(ZSTD(1)),
    `run_id` LowCardinality(String) CODEC(ZSTD(1)),
    `key` LowCardinality(String) CODEC(ZSTD(1)),
    `kind` LowCardinality(String) CODEC(ZSTD(1)),
    `writer` LowCardinality(String) DEFAULT '' CODEC(ZSTD(1)),
    `step` Int64 CODEC(DoubleDelta, ZSTD(1)),
    `timestamp` DateTime64(3, 'UTC') CODEC(Delta(8), T64, ZSTD(1)),
    `value` String CODEC(ZSTD(1)),
    `version` UInt64 CODEC(Delta(8), T64, ZSTD(1)),
    INDEX files value TYPE tokenbf_v1(32768, 3, 0) GRANULARITY 4
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (entity, project, run_id, key, kind, writer, step)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS {db}.points_number
(
    `entity` LowCardinality(String) CODEC(ZSTD(1)),
    `project` LowCardinality(String) CODEC(ZSTD(1)),
    `run_id` LowCardinality(String) CODEC(ZSTD(1)),
    `key` LowCardinality(String) CODEC(ZSTD(1)),
    `writer` LowCardinality(String) DEFAULT '' CODEC(ZSTD(1)),
    `step` Int64 CODEC(DoubleDelta, ZSTD(1)),
    `timestamp` DateTime64(3, 'UTC') CODEC(Delta(8), T64, ZSTD(1)),
    `bits` UInt64 CODEC(GCD, Delta(8), T64('bit'), ZSTD(1)),
    `value` Float64 ALIAS reinterpretAsFloat64(bits),
    `exact` String DEFAULT '' CODEC(ZSTD(1)),
    `version` UInt64 CODEC(Delta(8), T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (entity, project, run_id, key, writer, step)
SETTINGS non_replicated_deduplication_window = 10000, min_compress_block_size = 131072;

CREATE TABLE IF NOT EXISTS {db}.points_other
(
    `entity` LowCardinality(String) CODEC(ZSTD(1)),
    `project` LowCardinality(String) CODEC(ZSTD(1)),
    `run_id` LowCardinality(String) CODEC(ZSTD(1)),
    `key` LowCardinality(String) CODEC(ZSTD(1)),
    `writer` LowCardinality(String) DEFAULT '' CODEC(ZSTD(1)),
    `step` Int64 CODEC(DoubleDelta, ZSTD(1)),
    `timestamp` DateTime64(3, 'UTC') CODEC(Delta(8), T64, ZSTD(1)),
    `value` String CODEC(ZSTD(1)),
    `version` UInt64 CODEC(Delta(8), T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (entity, project, run_id, key, writer, step)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS {db}.points_string
(
    `entity` LowCardinality(String) CODEC(ZSTD(1)),
    `project` LowCardinality(String) CODEC(ZSTD(1)),
    `run_id` LowCardinality(String) CODEC(ZSTD(1)),
    `key` LowCardinality(String) CODEC(ZSTD(1)),
    `writer` LowCardinality(String) DEFAULT '' CODEC(ZSTD(1)),
    `step` Int64 CODEC(DoubleDelta, ZSTD(1)),
    `timestamp` DateTime64(3, 'UTC') CODEC(Delta(8), T64, ZSTD(1)),
    `value` String CODEC(ZSTD(1)),
    `version` UInt64 CODEC(Delta(8), T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (entity, project, run_id, key, writer, step)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS {db}.removed_figures
(
    `entity` LowCardinality(String),
    `project` LowCardinality(String),
    `run_id` String,
    `key` String,
    `kind` LowCardinality(String),
    `writer` String,
    `until` Int64,
    `points` UInt64,
    `kept` Array(Tuple(
        step Int64,
        value Float64,
        exact String,
        weight UInt64)),
    `last_offset` Int64
)
ENGINE = ReplacingMergeTree(until)
ORDER BY (entity, project, run_id, key, kind, writer);

CREATE TABLE IF NOT EXISTS {db}.retained_steps
(
    `entity` LowCardinality(String),
    `project` LowCardinality(String),
    `run_id` String,
    `writer` String,
    `raw_from` SimpleAggregateFunction(max, Int64),
    `curves_from` SimpleAggregateFunction(max, Int64),
    `removed_to` SimpleAggregateFunction(max, Int64),
    `curves_removed_to` SimpleAggregateFunction(max, Int64),
    `recorded_at` SimpleAggregateFunction(max, Int64),
    `settled_offset` SimpleAggregateFunction(max, Int64),
    `last_offset` SimpleAggregateFunction(max, Int64)
)
ENGINE = AggregatingMergeTree
ORDER BY (entity, project, run_id, writer);

CREATE TABLE IF NOT EXISTS {db}.retention_policies
(
    `entity` String,
    `project` String,
    `raw_ms` Int64,
    `rollups_ms` Int64,
    `media_ms` Int64,
    `active` UInt8,
    `set_by` String,
    `set_at` Int64
)
ENGINE = ReplacingMergeTree(set_at)
ORDER BY (entity, project);

CREATE TABLE IF NOT EXISTS {db}.retention_runs
(
    `entity` String,
    `project` String,
    `started_at` Int64,
    `worker` String,
    `state` LowCardinality(String),
    `finished_at` Int64,
    `rows` UInt64,
    `bytes` UInt64,
    `late_rows` UInt64,
    `files` UInt64,
    `file_bytes` UInt64,
    `error` String
)
ENGINE = ReplacingMergeTree(finished_at)
ORDER BY (entity, project, started_at, worker)
TTL toDateTime(intDiv(started_at, 1000), 'UTC') + toIntervalDay(400);

CREATE TABLE IF NOT EXISTS {db}.rollups
(
    `entity` LowCardinality(String) CODEC(ZSTD(1)),
    `project` LowCardinality(String) CODEC(ZSTD(1)),
    `run_id` LowCardinality(String) CODEC(ZSTD(1)),
    `key` LowCardinality(String) CODEC(ZSTD(1)),
    `writer` LowCardinality(String) DEFAULT '' CODEC(ZSTD(1)),
    `level` UInt8 CODEC(ZSTD(1)),
    `bucket` Int64 CODEC(DoubleDelta, ZSTD(1)),
    `first_step` Int64 CODEC(DoubleDelta, ZSTD(1)),
    `first_value` Float64 CODEC(Gorilla(8), ZSTD(1)),
    `last_step` Int64 CODEC(DoubleDelta, ZSTD(1)),
    `last_value` Float64 CODEC(Gorilla(8), ZSTD(1)),
    `last_timestamp` DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    `min_step` Int64 CODEC(Delta(8), T64, ZSTD(1)),
    `min_value` Float64 CODEC(Gorilla(8), ZSTD(1)),
    `max_step` Int64 CODEC(Delta(8), T64, ZSTD(1)),
    `max_value` Float64 CODEC(Gorilla(8), ZSTD(1)),
    `total` Float64 CODEC(Gorilla(8), ZSTD(1)),
    `finite` UInt64 CODEC(T64, ZSTD(1)),
    `nans` UInt64 CODEC(T64, ZSTD(1)),
    `count` UInt64 CODEC(T64, ZSTD(1)),
    `version` UInt64 CODEC(DoubleDelta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (entity, project, run_id, key, writer, level, bucket)
SETTINGS index_granularity = 1024, min_compress_block_size = 8192;

CREATE TABLE IF NOT EXISTS {db}.run_activity
(
    `entity` LowCardinality(String),
    `project` LowCardinality(String),
    `run_id` String,
    `first_timestamp` SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    `last_timestamp` SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    `last_step` SimpleAggregateFunction(max, Int64),
    `last_offset` SimpleAggregateFunction(max, Int64),
    `totals` SimpleAggregateFunction(max, Tuple(
        end UInt64,
        log_rows UInt64,
        points UInt64,
        conflicts UInt64,
        repeated UInt64,
        missing UInt64,
        previous_log_rows UInt64,
        previous_points UInt64,
        previous_conflicts UInt64,
        previous_repeated UInt64,
        previous_missing UInt64)),
    `rebuilt_at` SimpleAggregateFunction(max, UInt32)
)
ENGINE = AggregatingMergeTree
ORDER BY (entity, project, run_id)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS {db}.run_documents
(
    `entity` LowCardinality(String),
    `project` LowCardinality(String),
    `run_id` String,
    `display_name` String,
    `state` LowCardinality(String),
    `exit_code` Nullable(Int32),
    `config` String CODEC(ZSTD(1)),
    `summary` String CODEC(ZSTD(1)),
    `tags` Array(String),
    `notes` String,
    `run_group` String,
    `job_type` String,
    `metric_definitions` String,
    `client` String,
    `host` String,
    `created_at` DateTime64(3, 'UTC'),
    `started_at` DateTime64(3, 'UTC'),
    `finished_at` Nullable(DateTime64(3, 'UTC')),
    `version` UInt64,
    `program` String,
    `git_commit` String,
    `git_dirty` Nullable(Bool),
    `stop_requested` Bool DEFAULT false
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (entity, project, run_id)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS {db}.run_states
(
    `entity` LowCardinality(String),
    `project` LowCardinality(String),
    `run_id` String,
    `scope` LowCardinality(String),
    `name` String,
    `offset` Int64,
    `number` Int64,
    `previous_number` Int64
)
ENGINE = ReplacingMergeTree(offset)
ORDER BY (entity, project, run_id, scope, name)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS {db}.run_texts
(
    `entity` LowCardinality(String),
    `project` LowCardinality(String),
    `run_id` String,
    `config` String CODEC(ZSTD(1)),
    `summary` String CODEC(ZSTD(1)),
    `version` UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (entity, project, run_id)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity_bytes = 65536;

CREATE TABLE IF NOT EXISTS {db}.run_values
(
    `entity` LowCardinality(String),
    `project` LowCardinality(String),
    `source` LowCardinality(String),
    `path` LowCardinality(String),
    `run_id` String,
    `kind` LowCardinality(String),
    `number` Float64,
    `text` String CODEC(ZSTD(1)),
    `version` UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (entity, project, source, path, run_id)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS {db}.series
(
    `entity` LowCardinality(String),
    `project` LowCardinality(String),
    `run_id` LowCardinality(String),
    `key` LowCardinality(String),
    `kind` LowCardinality(String),
    `writer` LowCardinality(String) DEFAULT '',
    `first_step` SimpleAggregateFunction(min, Int64),
    `last_step` SimpleAggregateFunction(max, Int64),
    `rewritten` SimpleAggregateFunction(max, UInt8),
    `first_version` SimpleAggregateFunction(min, UInt64),
    `value_min` SimpleAggregateFunction(min, Float64),
    `value_max` SimpleAggregateFunction(max, Float64),
    `last_number` SimpleAggregateFunction(max, Tuple(
        step Int64,
        version UInt64,
        value Float64)),
    `last_text` SimpleAggregateFunction(max, Tuple(
        step Int64,
        version UInt64,
        value String)),
    `last_offset` SimpleAggregateFunction(max, Int64),
    `stream` SimpleAggregateFunction(min, String),
    `totals` SimpleAggregateFunction(max, Tuple(
        end UInt64,
        last_step Int64,
        points UInt64,
        not_nan UInt64,
        value_sum Float64,
        previous_last_step Int64,
        previous_points UInt64,
        previous_not_nan UInt64,
        previous_value_sum Float64)),
    PROJECTION by_key_of_writers
    (
        SELECT
            entity,
            project,
            key,
            kind,
            run_id,
            writer,
            first_version,
            stream,
            rewritten,
            last_number,
            last_text,
            value_min,
            value_max,
            totals
        ORDER BY
            entity,
            project,
            key,
            kind,
            run_id
    ),
    PROJECTION keys_and_writers
    (
        SELECT
            entity,
            project,
            key,
            max(writer)
        GROUP BY
            entity,
            project,
            key
    )
)
ENGINE = AggregatingMergeTree
ORDER BY (entity, project, run_id, key, kind, writer)
SETTINGS non_replicated_deduplication_window = 10000, deduplicate_merge_projection_mode = 'rebuild', lightweight_mutation_projection_mode = 'rebuild';

CREATE TABLE IF NOT EXISTS {db}.session_activity
(
    `entity` LowCardinality(String),
    `project` LowCardinality(String),
    `run_id` String,
    `session` String,
    `writer` SimpleAggregateFunction(max, String),
    `next_sequence` SimpleAggregateFunction(max, Int64),
    `last_offset` SimpleAggregateFunction(max, Int64),
    `totals` SimpleAggregateFunction(max, Tuple(
        end UInt64,
        log_rows UInt64,
        points UInt64,
        conflicts UInt64,
        repeated UInt64,
        missing UInt64,
        dead_letters UInt64,
        previous_log_rows UInt64,
        previous_points UInt64,
        previous_conflicts UInt64,
        previous_repeated UInt64,
        previous_missing UInt64,
        previous_dead_letters UInt64)),
    `content` SimpleAggregateFunction(max, Tuple(
        end UInt64,
        digest UInt64,
        covered UInt64,
        differing UInt64,
        moved UInt64,
        previous_digest UInt64,
        previous_covered UInt64,
        previous_differing UInt64,
        previous_moved UInt64))
)
ENGINE = AggregatingMergeTree
ORDER BY (entity, project, run_id, session)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS {db}.step_conflict_log
(
    `entity` LowCardinality(String),
    `project` LowCardinality(String),
    `run_id` String,
    `writer` String,
    `asked_step` Int64,
    `step` Int64,
    `timestamp` DateTime64(3, 'UTC'),
    `version` UInt64
)
ENGINE = ReplacingMergeTree
ORDER BY (entity, project, run_id, version)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS {db}.run_texts_of_documents TO {db}.run_texts
(
    `entity` LowCardinality(String),
    `project` LowCardinality(String),
    `run_id` String,
    `config` String,
    `summary` String,
    `version` UInt64
)
AS SELECT
    entity,
    project,
    run_id,
    config,
    summary,
    version
FROM {db}.run_documents;

CREATE MATERIALIZED VIEW IF NOT EXISTS {db}.run_values_of_documents TO {db}.run_values
(
    `entity` LowCardinality(String),
    `project` LowCardinality(String),
    `source` String,
    `path` String,
    `run_id` String,
    `kind` String,
    `number` Float64,
    `text` String,
    `version` UInt64
)
AS SELECT
    entity,
    project,
    source,
    node.1 AS path,
    run_id,
    multiIf((node.2) = '{', 'inner', startsWith(node.2, '{'), 'dict', startsWith(node.2, '['), 'list', startsWith(node.2, '"'), 'string', (node.2) = 'null', 'null', ((node.2) IN ('true', 'false')), 'bool', 'number') AS kind,
    multiIf(((node.2) IN ('"NaN"', '"Infinity"', '"-Infinity"')), toFloat64(JSONExtractString(node.2)), kind = 'number', JSONExtractFloat(node.2), kind = 'bool', (node.2) = 'true', 0) AS number,
    if(kind = 'string', JSONExtractString(node.2), node.2) AS text,
    version
FROM
(
    SELECT
        entity,
        project,
        run_id,
        version,
        source,
        arraySort(node -> (node.3), arrayFold((nodes, level) -> arrayFlatten(arrayMap(node -> if(startsWith(node.2, '{') AND (length(node.2) > 2) AND ((node.3) = level), arrayPushFront(arrayMap(item -> (if(level = 0, item.1, concat(node.1, '.', item.1)), item.2, level + 1), JSONExtractKeysAndValuesRaw(node.2)), (node.1, '{', node.3)), [node]), nodes)), range(toUInt64(8)), [('', if(document = '', '{}', document), toUInt64(0))])) AS nodes
    FROM {db}.run_documents
    ARRAY JOIN
        ['config', 'summary'] AS source,
        [config, summary] AS document
)
ARRAY JOIN arrayFilter((node, place) -> (place = 1), nodes, arrayEnumerateUniq(arrayMap(node -> (node.1), nodes))) AS node
SETTINGS allow_simdjson = 0;
