"""Audit entries of SQL statements: the text, the duration and the rows, however a statement ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from stepwell_schemas.access.audit import Action, AuditEntry, AuditLog
from stepwell_schemas.access.identity import Identity

CANCELLED_STATUS: Final = 499
_OK: Final = 200


@dataclass(slots=True)
class Outcome:
    """Facts of a statement that become known while it runs: its text, the rows of its answer, and that it was sent."""

    statement: str
    rows: int | None = None
    answered: bool = False


@contextmanager
def record_statement(
    audit: AuditLog | None,
    identity: Identity,
    address: str,
    statement: str,
    to_status: Callable[[Exception], int],
    via: str,
) -> Iterator[Outcome]:
    """Record the statement that runs within the block.

    Args:
        audit: the audit log; None records nothing.
        identity: the user.
        address: the client's address.
        statement: the text as it was sent; if it is known later, set it in the outcome.
        to_status: returns the HTTP status with which an exception is answered.
        via: the interface: `api`, `clickhouse`.
    """
    started = time.perf_counter()
    outcome = Outcome(statement)
    failed: int | None = None
    try:
        yield outcome
        outcome.answered = True
    except Exception as error:
        failed = to_status(error)
        raise
    finally:
        if audit is not None:
            detail = {"statement": outcome.statement, "ms": round((time.perf_counter() - started) * 1_000), "via": via}
            if outcome.rows is not None:
                detail["rows"] = outcome.rows
            # A client that has its answer may disconnect before the statement is cleaned up.
            status = _OK if outcome.answered else failed or CANCELLED_STATUS
            audit.record(AuditEntry.by(identity, Action.SQL, status=status, address=address, detail=detail))
