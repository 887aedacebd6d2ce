"""Remedies for statements that ClickHouse rejects, over its messages."""

from __future__ import annotations

import pytest

from stepwell_query.sql.hints import find_remedy

SCOPE = "In scope SELECT 1 FROM runs"


@pytest.mark.parametrize(
    ("code", "sql", "message", "call"),
    [
        (47, "", f"Unknown expression identifier `config.lr`. {SCOPE}", "JSONExtractFloat(config, 'lr')"),
        (47, "", f"Unknown expression or function identifier `config.train/lr`. {SCOPE}", "(config, 'train/lr')"),
        (47, "", f"Identifier 'r.config.opt.lr' cannot be resolved from table. {SCOPE}", "(config, 'opt', 'lr')"),
        (47, "", f"Unknown expression identifier `summary.loss`. {SCOPE}", "(summary, 'loss')"),
        (47, "", f"Unknown expression identifier `value.sha256`. {SCOPE}", "(value, 'sha256')"),
        (43, "SELECT config['lr'] FROM runs", "First argument for function 'arrayElement'", "(config, 'lr')"),
        (62, "SELECT config->>'lr' FROM runs", "Syntax error", "(config, 'lr')"),
        (62, "SELECT r.config:lr FROM runs AS r", "Syntax error", "(config, 'lr')"),
    ],
)
def test_a_path_in_a_json_text_gets_the_function(code: int, sql: str, message: str, call: str) -> None:
    assert call in find_remedy(sql, code, message)


@pytest.mark.parametrize(
    ("code", "sql", "message"),
    [
        (47, "SELECT nope FROM runs", f"Unknown expression identifier `nope`. {SCOPE}"),
        (47, "SELECT a.b, config FROM runs", f"Unknown expression identifier `a.b`. {SCOPE}"),
        (43, "SELECT tags[config] FROM runs", "Illegal type"),
        (62, "SELEC config::JSON", "Syntax error"),
        (60, "SELECT * FROM run", "Unknown table"),
        (386, "SELECT config->>'lr'", "no supertype"),
    ],
)
def test_other_mistakes_get_no_json_function(code: int, sql: str, message: str) -> None:
    assert "JSONExtract" not in find_remedy(sql, code, message)
