"""Imports between the page's modules: no circle, and folders import only from those below them.

Types in JSDoc comments may name any module: they don't exist when the page runs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from stepwell_query.web_assets import RARE, WEB

LAYERS = ("ui", "state", "api", "series", "charts", "media", "runs", "panels", "pages", ".")
"""Folders of `web/js` from the lowest to the highest; `.` has `main.js` and the types."""

IMPORT = re.compile(r'^(?:import|export)\b[^;]*?\bfrom\s+"([^"]+)"', re.MULTILINE)


def read_imports(folder: Path) -> dict[Path, set[Path]]:
    """Return the modules that each module below a folder imports, all relative to the folder."""
    return {
        module.relative_to(folder): {
            (module.parent / name).resolve().relative_to(folder.resolve())
            for name in IMPORT.findall(module.read_text())
        }
        for module in folder.rglob("*.js")
    }


def find_circle(imports: Mapping[Path, set[Path]]) -> Sequence[Path]:
    """Return the modules of an import circle, none if there is no circle."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        circle: Sequence[Path] = error.args[1]
        return circle
    return ()


def find_upward_imports(imports: Mapping[Path, set[Path]]) -> list[tuple[str, str]]:
    """Return the imports from a folder above the importing module's own."""
    return [
        (module.as_posix(), target.as_posix())
        for module, targets in imports.items()
        for target in targets
        if LAYERS.index(target.parent.as_posix()) > LAYERS.index(module.parent.as_posix())
    ]


@pytest.fixture(scope="module")
def imports() -> dict[Path, set[Path]]:
    return read_imports(WEB / "js")


def test_modules_have_no_import_circle(imports: dict[Path, set[Path]]) -> None:
    assert len(imports) > 50
    assert not find_circle(imports)


def test_folders_import_downwards_only(imports: dict[Path, set[Path]]) -> None:
    assert {module.parent.as_posix() for module in imports} == set(LAYERS)
    assert find_upward_imports(imports) == []


def test_what_is_rarely_loaded_is_imported_by_no_module_of_the_first_view(imports: dict[Path, set[Path]]) -> None:
    rare = {Path(name).relative_to("js") for name in RARE if name.startswith("js/")}
    assert rare <= set(imports)
    assert [module for module, targets in imports.items() if module not in rare and targets & rare] == []


def test_a_circle_and_an_upward_import_are_found(tmp_path: Path) -> None:
    for name, target in (("ui/a.js", "../pages/b.js"), ("pages/b.js", "../ui/a.js")):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(f'import {{\n  one,\n}} from "{target}";\n')
    found = read_imports(tmp_path)
    assert find_circle(found)
    assert find_upward_imports(found) == [("ui/a.js", "pages/b.js")]


def test_files_that_modules_name_exist() -> None:
    named = [
        module.parent / name
        for module in (WEB / "js").rglob("*.js")
        for name in re.findall(r'new URL\("([^"]+)", import\.meta\.url\)', module.read_text())
    ]
    assert named
    assert [path for path in named if not path.is_file()] == []
