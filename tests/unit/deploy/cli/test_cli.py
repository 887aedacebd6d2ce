"""The errors that the command line prints for wrong usage."""

from __future__ import annotations

import pytest

from stepwell_deploy.cli import app


def test_a_setting_that_can_not_be_used_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STEPWELL_MODE", "bad")
    monkeypatch.setattr("sys.argv", ["stepwell", "sync"])
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert ended.value.code == 1
    message = "stepwell: setting mode (STEPWELL_MODE): Input should be 'online', 'offline' or 'disabled'\n"
    assert capsys.readouterr().err == message
