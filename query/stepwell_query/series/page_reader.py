"""Reads of few series by pages: what recent requests have read is not read again."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np
import pyarrow as pa

from stepwell_query.series.bucket_statements import FEW_SERIES, BucketStatements
from stepwell_query.series.known_rows import RunRows, SeriesVersion
from stepwell_query.series.math.buckets import Buckets
from stepwell_query.series.pages import (
    PAGE_ROWS,
    Page,
    PageId,
    assemble,
    count_pages,
    is_short,
    merge,
    pages_of,
    rows_of,
    split_points,
    split_rollups,
)
from stepwell_query.series.read_batches import PORTION_ROWS, ReadBatch
from stepwell_query.series.read_plan import SeriesRead
from stepwell_query.series.row_decoder import Query, RowDecoder
from stepwell_query.series.segments import POINTS
from stepwell_schemas.rules.kinds import Kind

_MOST_PAGES: Final = 1_000

_Missing = list[list[PageId]]


class PageReader:
    """Reads numbers; the tables of `query` are decoded by `decoder`, and their pages kept in `known`."""

    def __init__(self, query: Query, statements: BucketStatements, decoder: RowDecoder, known: RunRows) -> None:
        self._query = query
        self._statements = statements
        self._decoder = decoder
        self._known = known

    def choose(self, reads: Sequence[SeriesRead]) -> list[int]:
        """Return the indexes of the reads to read by pages; none if there are too many of them, or too long ones."""
        chosen = [
            index
            for index, read in enumerate(reads)
            if read.info.kind is Kind.NUMBER and read.run in self._known.activity
        ]
        if len(chosen) > FEW_SERIES or sum(count_pages(reads[index]) for index in chosen) > _MOST_PAGES:
            return []
        # At the most, a statement reads each of the pages of all series.
        pages = len({page for index in chosen for page in pages_of(reads[index])})
        return chosen if pages * len(chosen) * PAGE_ROWS <= PORTION_ROWS else []

    def read(self, reads: Sequence[SeriesRead]) -> Buckets:
        """Return the buckets of reads, each of a different series. Raises: StoreError, ClientGoneError."""
        versions = [self._version(read) for read in reads]
        wanted = [pages_of(read) for read in reads]
        known = [self._known.known.pages(*each) for each in zip(versions, wanted, strict=True)]
        missing = [[page for page in pages if page not in own] for pages, own in zip(wanted, known, strict=True)]
        by_kind: dict[tuple[str, str, bool, bool], list[int]] = {}
        for index, read in enumerate(reads):
            if missing[index]:
                kind = (*read.run[:2], read.info.rewritten, is_short(read.info))
                by_kind.setdefault(kind, []).append(index)
        for indexes in by_kind.values():
            found = self._fetch([reads[index] for index in indexes], [missing[index] for index in indexes])
            for index, pages in zip(indexes, found, strict=True):
                self._known.known.keep(versions[index], pages)
                known[index] |= pages
        return assemble(reads, known, self._decoder)

    def _version(self, read: SeriesRead) -> SeriesVersion:
        return SeriesVersion(read.run, self._known.activity[read.run], read.info, self._decoder.columns)

    def _fetch(self, reads: Sequence[SeriesRead], missing: _Missing) -> list[dict[PageId, Page]]:
        """Read pages of series of one project that are alike: short, and with steps written twice, or not."""
        batch = ReadBatch(reads, range(len(reads)))
        segments = merge(rows_of(read.info, page) for read, own in zip(reads, missing, strict=True) for page in own)
        sql, named = self._statements.numbers(batch, segments, rewritten=reads[0].info.rewritten)
        table = self._query(sql, batch, **named)
        pages: list[dict[PageId, Page]] = [{} for _ in reads]
        for level in sorted({segment.level for segment in segments}):
            self._split(level, table, batch, missing, pages)
        return pages

    def _split(
        self, level: int, table: pa.Table, batch: ReadBatch, missing: _Missing, pages: list[dict[PageId, Page]]
    ) -> None:
        """Add the pages of a level to those of each series."""
        of_level = [[page for page in own if page.level == level] for own in missing]
        if level == POINTS:
            points = self._decoder.points(table, batch, lambda owner, _, __: np.ones(len(owner), np.bool_))
            bounds = np.searchsorted(points.owner, np.arange(len(batch.reads) + 1)).tolist()
            for index, (start, end) in enumerate(pairwise(bounds)):
                pages[index] |= split_points(batch.reads[index].info, points.take(slice(start, end)), of_level[index])
            return
        rollups = self._decoder.rollups(table, batch, lambda _, levels, __: np.equal(levels, level))
        for index, rows in enumerate(rollups.split(len(batch.reads))):
            pages[index] |= split_rollups(batch.reads[index].info, rows, of_level[index])
