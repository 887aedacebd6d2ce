"""The tables of settings in the documents agree with the models."""

from __future__ import annotations

import pytest

from stepwell_deploy.settings_table import settings_table, with_table
from support.paths import ROOT


@pytest.mark.parametrize("document", ["README.md", "docs/settings.md"])
def test_a_document_says_what_the_models_say(document: str) -> None:
    text = (ROOT / document).read_text("utf-8")
    assert text == with_table(text), "renew it with `make docs`"


def test_every_setting_has_a_meaning() -> None:
    for line in settings_table().splitlines()[2:]:
        variable, _, services, meaning = [cell.strip() for cell in line.strip("|").split(" | ")]
        assert variable.startswith("`STEPWELL_"), line
        assert services, line
        assert meaning.rstrip("|").strip().endswith("."), line


def test_a_document_without_markers_is_left_alone() -> None:
    with pytest.raises(ValueError, match="no markers"):
        with_table("# Nothing here")
