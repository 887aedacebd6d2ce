"""Repair of a broker's log after an interrupted start, or with a damaged file."""

from __future__ import annotations

from pathlib import Path

import pytest

from stepwell_deploy.local.broker_log import LogState, is_usable, prepare_log, save_meta

META = "#\n#Sat Nov 28\ncluster.id=abc\ndirectory.id=def\nnode.id=1\nversion=1\n"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The folder of a log that the broker has run with."""
    log = tmp_path / "log"
    for partition in ("__cluster_metadata-0", "stepwell.events-0"):
        (log / partition).mkdir(parents=True)
        (log / partition / "00000000000000000000.log").write_bytes(b"events")
    (log / "meta.properties").write_text(META)
    return log


def test_a_formatted_log_is_used(log: Path) -> None:
    assert prepare_log(log) is LogState.FORMATTED


def test_nothing_is_formatted(tmp_path: Path) -> None:
    assert prepare_log(tmp_path / "log") is LogState.UNFORMATTED


def test_a_formatting_that_was_cut_off_is_cleared_away(tmp_path: Path) -> None:
    log = tmp_path / "log"
    (log / "__cluster_metadata-0").mkdir(parents=True)
    (log / "__cluster_metadata-0" / "00000000000000000000-0000000000.checkpoint").write_bytes(b"x")
    (log / "bootstrap.checkpoint").write_bytes(b"")
    (log / "meta.properties.tmp").write_text("version")
    assert prepare_log(log) is LogState.UNFORMATTED
    assert not log.exists()


@pytest.mark.parametrize("damaged", [None, "", META[: len(META) // 2], META.replace("=1\n", "=99\n"), "\0" * 100])
def test_a_damaged_file_is_replaced_by_its_copy(log: Path, damaged: str | None) -> None:
    save_meta(log)
    meta = log / "meta.properties"
    meta.unlink()
    if damaged is not None:
        meta.write_text(damaged)
    assert prepare_log(log) is LogState.FORMATTED
    assert meta.read_text() == META


def test_without_a_copy_events_are_never_removed(log: Path) -> None:
    (log / "meta.properties").write_text("")
    assert prepare_log(log) is LogState.DAMAGED
    assert (log / "stepwell.events-0" / "00000000000000000000.log").read_bytes() == b"events"


def test_a_copy_of_a_folder_that_was_moved_away_is_not_used(log: Path, tmp_path: Path) -> None:
    save_meta(log)
    log.rename(tmp_path / "away")
    assert prepare_log(log) is LogState.UNFORMATTED
    log.mkdir()
    assert prepare_log(log) is LogState.UNFORMATTED


@pytest.mark.parametrize("missing", ["cluster.id", "directory.id", "node.id", "version"])
def test_each_entry_is_needed(missing: str) -> None:
    assert is_usable(META)
    assert not is_usable("\n".join(line for line in META.splitlines() if not line.startswith(missing)))
