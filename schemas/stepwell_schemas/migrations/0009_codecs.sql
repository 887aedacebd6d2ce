-- At most 4 bytes a point: see docs/decisions/0007-numbers-are-stored-by-their-bits.md. New parts have these codecs at once, old ones
-- when they are merged.

-- The codecs that turn a block's bits into planes take integers only, so a number's 64 bits are what is stored, and `value` reads them.
-- Repeating this changes nothing: once `value` is read from `bits`, setting `bits` from it leaves them as they are.
ALTER TABLE {db}.points_number
    ADD COLUMN IF NOT EXISTS bits UInt64 CODEC(GCD, Delta, T64('bit'), ZSTD(1)) AFTER timestamp;
ALTER TABLE {db}.points_number UPDATE bits = reinterpretAsUInt64(value) WHERE 1 SETTINGS mutations_sync = 2;
ALTER TABLE {db}.points_number
    DROP COLUMN value, ADD COLUMN value Float64 ALIAS reinterpretAsFloat64(bits) AFTER timestamp
    SETTINGS mutations_sync = 2;

ALTER TABLE {db}.points_number
    MODIFY COLUMN entity CODEC(ZSTD(1)),
    MODIFY COLUMN project CODEC(ZSTD(1)),
    MODIFY COLUMN run_id CODEC(ZSTD(1)),
    MODIFY COLUMN key CODEC(ZSTD(1)),
    MODIFY COLUMN step CODEC(DoubleDelta, ZSTD(1)),
    MODIFY COLUMN timestamp CODEC(Delta, T64, ZSTD(1)),
    MODIFY COLUMN exact CODEC(ZSTD(1)),
    MODIFY COLUMN version CODEC(Delta, T64, ZSTD(1));
-- Two granules are compressed as one: what each block begins with is paid half as often.
ALTER TABLE {db}.points_number MODIFY SETTING min_compress_block_size = 131072;

ALTER TABLE {db}.points_string
    MODIFY COLUMN entity CODEC(ZSTD(1)),
    MODIFY COLUMN project CODEC(ZSTD(1)),
    MODIFY COLUMN run_id CODEC(ZSTD(1)),
    MODIFY COLUMN key CODEC(ZSTD(1)),
    MODIFY COLUMN step CODEC(DoubleDelta, ZSTD(1)),
    MODIFY COLUMN timestamp CODEC(Delta, T64, ZSTD(1)),
    MODIFY COLUMN version CODEC(Delta, T64, ZSTD(1));
ALTER TABLE {db}.points_bool
    MODIFY COLUMN entity CODEC(ZSTD(1)),
    MODIFY COLUMN project CODEC(ZSTD(1)),
    MODIFY COLUMN run_id CODEC(ZSTD(1)),
    MODIFY COLUMN key CODEC(ZSTD(1)),
    MODIFY COLUMN step CODEC(DoubleDelta, ZSTD(1)),
    MODIFY COLUMN timestamp CODEC(Delta, T64, ZSTD(1)),
    MODIFY COLUMN value CODEC(ZSTD(1)),
    MODIFY COLUMN version CODEC(Delta, T64, ZSTD(1));
ALTER TABLE {db}.points_other
    MODIFY COLUMN entity CODEC(ZSTD(1)),
    MODIFY COLUMN project CODEC(ZSTD(1)),
    MODIFY COLUMN run_id CODEC(ZSTD(1)),
    MODIFY COLUMN key CODEC(ZSTD(1)),
    MODIFY COLUMN step CODEC(DoubleDelta, ZSTD(1)),
    MODIFY COLUMN timestamp CODEC(Delta, T64, ZSTD(1)),
    MODIFY COLUMN version CODEC(Delta, T64, ZSTD(1));
ALTER TABLE {db}.points_media
    MODIFY COLUMN entity CODEC(ZSTD(1)),
    MODIFY COLUMN project CODEC(ZSTD(1)),
    MODIFY COLUMN run_id CODEC(ZSTD(1)),
    MODIFY COLUMN key CODEC(ZSTD(1)),
    MODIFY COLUMN kind CODEC(ZSTD(1)),
    MODIFY COLUMN step CODEC(DoubleDelta, ZSTD(1)),
    MODIFY COLUMN timestamp CODEC(Delta, T64, ZSTD(1)),
    MODIFY COLUMN version CODEC(Delta, T64, ZSTD(1));

ALTER TABLE {db}.rollups
    MODIFY COLUMN entity CODEC(ZSTD(1)),
    MODIFY COLUMN project CODEC(ZSTD(1)),
    MODIFY COLUMN run_id CODEC(ZSTD(1)),
    MODIFY COLUMN key CODEC(ZSTD(1)),
    MODIFY COLUMN level CODEC(ZSTD(1)),
    MODIFY COLUMN first_value CODEC(Gorilla, ZSTD(1)),
    MODIFY COLUMN last_value CODEC(Gorilla, ZSTD(1)),
    MODIFY COLUMN min_step CODEC(Delta, T64, ZSTD(1)),
    MODIFY COLUMN min_value CODEC(Gorilla, ZSTD(1)),
    MODIFY COLUMN max_step CODEC(Delta, T64, ZSTD(1)),
    MODIFY COLUMN max_value CODEC(Gorilla, ZSTD(1)),
    MODIFY COLUMN total CODEC(Gorilla, ZSTD(1));
