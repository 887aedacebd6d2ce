-- What `config` and the summary set by hand hold, a row for each path of keys (`optimizer.lr`), so that a project's runs
-- are filtered and ordered by one path without reading the others. The path '' is the document itself: a row counts
-- while its version is that one's. `kind` is `number`, `string`, `bool`, `null`, `list`, `dict` or `inner` (a dict
-- whose keys have rows of their own). `number`: also of the texts NaN, Infinity and -Infinity; a bool's is
-- 0 or 1. `text`: a string as it is, of all else its JSON.
CREATE TABLE IF NOT EXISTS {db}.run_values
(
    entity LowCardinality(String),
    project LowCardinality(String),
    source LowCardinality(String),
    path LowCardinality(String),
    run_id String,
    kind LowCardinality(String),
    number Float64,
    text String CODEC(ZSTD(1)),
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (entity, project, source, path, run_id)
SETTINGS non_replicated_deduplication_window = 10000;

-- Each level of keys is opened in turn; dicts eight levels down are left as JSON. Of two paths that read the same
-- (`{"a.b": 1, "a": {"b": 2}}`) the one with fewer levels counts. simdjson would find nothing at all in a document
-- with an integer beyond 64 bits.
CREATE MATERIALIZED VIEW IF NOT EXISTS {db}.run_values_of_documents TO {db}.run_values AS
SELECT
    entity, project, source, node.1 AS path, run_id,
    multiIf(
        node.2 = '{', 'inner', startsWith(node.2, '{'), 'dict', startsWith(node.2, '['), 'list',
        startsWith(node.2, '"'), 'string', node.2 = 'null', 'null', node.2 IN ('true', 'false'), 'bool', 'number'
    ) AS kind,
    multiIf(
        node.2 IN ('"NaN"', '"Infinity"', '"-Infinity"'), toFloat64(JSONExtractString(node.2)),
        kind = 'number', JSONExtractFloat(node.2), kind = 'bool', node.2 = 'true', 0
    ) AS number,
    if(kind = 'string', JSONExtractString(node.2), node.2) AS text,
    version
FROM
(
    SELECT
        entity, project, run_id, version, source,
        arraySort(
            node -> node.3,
            arrayFold(
                (nodes, level) -> arrayFlatten(arrayMap(
                    node -> if(
                        startsWith(node.2, '{') AND length(node.2) > 2 AND node.3 = level,
                        arrayPushFront(
                            arrayMap(
                                item -> (if(level = 0, item.1, concat(node.1, '.', item.1)), item.2, level + 1),
                                JSONExtractKeysAndValuesRaw(node.2)
                            ),
                            (node.1, '{', node.3)
                        ),
                        [node]
                    ),
                    nodes
                )),
                range(toUInt64(8)),
                [('', if(document = '', '{}', document), toUInt64(0))]
            )
        ) AS nodes
    FROM {db}.run_documents
    ARRAY JOIN ['config', 'summary'] AS source, [config, summary] AS document
)
ARRAY JOIN arrayFilter((node, place) -> place = 1, nodes, arrayEnumerateUniq(arrayMap(node -> node.1, nodes))) AS node
SETTINGS allow_simdjson = 0;

-- The texts of documents again, in small granules: those of a page's runs are read without their neighbours' megabytes.
CREATE TABLE IF NOT EXISTS {db}.run_texts
(
    entity LowCardinality(String),
    project LowCardinality(String),
    run_id String,
    config String CODEC(ZSTD(1)),
    summary String CODEC(ZSTD(1)),
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (entity, project, run_id)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity_bytes = 65536;

CREATE MATERIALIZED VIEW IF NOT EXISTS {db}.run_texts_of_documents TO {db}.run_texts AS
SELECT entity, project, run_id, config, summary, version FROM {db}.run_documents;

-- So that both views are fed with the documents that are there.
INSERT INTO {db}.run_documents SETTINGS insert_deduplicate = 0 SELECT * FROM {db}.run_documents FINAL;

-- Each part of `series` holds its rows a second time by key, so that one metric of all runs of a project is read alone.
ALTER TABLE {db}.series
    MODIFY SETTING deduplicate_merge_projection_mode = 'rebuild', lightweight_mutation_projection_mode = 'rebuild';
ALTER TABLE {db}.series ADD PROJECTION IF NOT EXISTS by_key
(
    SELECT
        entity, project, key, kind, run_id, stream, rewritten, last_number, last_text, value_min, value_max, value_sum,
        not_nan
    ORDER BY entity, project, key, kind, run_id
);
ALTER TABLE {db}.series MATERIALIZE PROJECTION by_key;

-- Which keys a project has, whatever the number of its runs.
ALTER TABLE {db}.series ADD PROJECTION IF NOT EXISTS keys (SELECT entity, project, key GROUP BY entity, project, key);
ALTER TABLE {db}.series MATERIALIZE PROJECTION keys;

-- `count` is exact: it is added up over flushes, and counted from the rows where a step was written twice. A union and
-- inner joins, since conditions on a run and a key reach every part of these, and no part of an IN or an outer join.
CREATE OR REPLACE VIEW {db}.metrics AS
SELECT
    entity,
    project,
    run_id,
    key,
    kind,
    minIf(first, counted = 0) AS first_step,
    maxIf(last, counted = 0) AS last_step,
    if(max(twice) = 0, sumIf(points, counted = 0), sumIf(points, counted = 1)) AS count,
    minIf(stream, counted = 0) AS stream
FROM
(
    SELECT
        entity, project, run_id, key, kind, first_step AS first, last_step AS last, points, rewritten AS twice, stream,
        0 AS counted
    FROM {db}.series
    UNION ALL
    SELECT entity, project, run_id, key, 'number' AS kind, 0 AS first, 0 AS last, count() AS points, 0 AS twice, '' AS stream, 1 AS counted
    FROM {db}.points_number AS p FINAL
    INNER JOIN
    (
        SELECT entity, project, run_id, key FROM {db}.series WHERE rewritten = 1 AND kind = 'number'
        GROUP BY entity, project, run_id, key
    ) AS s USING (entity, project, run_id, key)
    GROUP BY entity, project, run_id, key
    UNION ALL
    SELECT entity, project, run_id, key, 'string' AS kind, 0 AS first, 0 AS last, count() AS points, 0 AS twice, '' AS stream, 1 AS counted
    FROM {db}.points_string AS p FINAL
    INNER JOIN
    (
        SELECT entity, project, run_id, key FROM {db}.series WHERE rewritten = 1 AND kind = 'string'
        GROUP BY entity, project, run_id, key
    ) AS s USING (entity, project, run_id, key)
    GROUP BY entity, project, run_id, key
    UNION ALL
    SELECT entity, project, run_id, key, 'bool' AS kind, 0 AS first, 0 AS last, count() AS points, 0 AS twice, '' AS stream, 1 AS counted
    FROM {db}.points_bool AS p FINAL
    INNER JOIN
    (
        SELECT entity, project, run_id, key FROM {db}.series WHERE rewritten = 1 AND kind = 'bool'
        GROUP BY entity, project, run_id, key
    ) AS s USING (entity, project, run_id, key)
    GROUP BY entity, project, run_id, key
    UNION ALL
    SELECT entity, project, run_id, key, 'other' AS kind, 0 AS first, 0 AS last, count() AS points, 0 AS twice, '' AS stream, 1 AS counted
    FROM {db}.points_other AS p FINAL
    INNER JOIN
    (
        SELECT entity, project, run_id, key FROM {db}.series WHERE rewritten = 1 AND kind = 'other'
        GROUP BY entity, project, run_id, key
    ) AS s USING (entity, project, run_id, key)
    GROUP BY entity, project, run_id, key
    UNION ALL
    SELECT entity, project, run_id, key, kind, 0 AS first, 0 AS last, count() AS points, 0 AS twice, '' AS stream, 1 AS counted
    FROM {db}.points_media AS p FINAL
    INNER JOIN
    (
        SELECT entity, project, run_id, key, kind FROM {db}.series WHERE rewritten = 1
        GROUP BY entity, project, run_id, key, kind
    ) AS s USING (entity, project, run_id, key, kind)
    GROUP BY entity, project, run_id, key, kind
)
GROUP BY entity, project, run_id, key, kind;
