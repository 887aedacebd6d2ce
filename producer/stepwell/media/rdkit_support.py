"""RDKit, where it is installed: molecules of its own, and texts that it understands, as pdb files."""

from __future__ import annotations

from importlib import import_module
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Final

from stepwell.errors import UnstorableError

_SEED: Final = 0
"""Of the shape in space, which RDKit finds from a random one: the same molecule is the same file."""

_READERS: Final = {"mol": "MolFromMolFile", "pdb": "MolFromPDBFile"}


def _chem() -> Any:
    try:
        return import_module("rdkit.Chem")
    except ImportError:
        raise UnstorableError("from_rdkit() and from_smiles() need RDKit: pip install rdkit") from None


def of_smiles(text: str, sanitize: bool) -> Any:
    """Return the molecule that a SMILES text means. Raises: UnstorableError."""
    found = _chem().MolFromSmiles(text, sanitize=sanitize)
    if found is None:
        raise UnstorableError(f"{text!r} is no SMILES that RDKit can read")
    return found


def pdb_of(molecule: Any, rounds: int) -> str:
    """Return a molecule of RDKit, or the one in a file, as the text of a pdb file.

    Args:
        rounds: after which its shape in space need not become any better; 0: leave it as it is.

    Raises:
        UnstorableError: when it is none. OSError: when there is no such file.
    """
    chem = _chem()
    found = _read(chem, Path(fspath(molecule)).expanduser()) if isinstance(molecule, str | PathLike) else molecule
    if not isinstance(found, chem.Mol):
        raise UnstorableError(f"must be a molecule of RDKit or a path, not {type(molecule).__name__}")
    if rounds:
        shaping: Any = import_module("rdkit.Chem.AllChem")
        found = chem.AddHs(found)
        if shaping.EmbedMolecule(found, randomSeed=_SEED) == 0 and shaping.MMFFHasAllMoleculeParams(found):
            shaping.MMFFOptimizeMolecule(found, maxIters=rounds)
    return str(chem.MolToPDBBlock(found))


def _read(chem: Any, path: Path) -> Any:
    ending = path.suffix.removeprefix(".").lower()
    if ending not in {*_READERS, "sdf"}:
        raise UnstorableError(f"{path}: RDKit reads files of mol, pdb and sdf here")
    # RDKit's own error would not say which file.
    path.stat()
    found = (
        next(iter(chem.SDMolSupplier(str(path))), None)
        if ending == "sdf"
        else getattr(chem, _READERS[ending])(str(path))
    )
    if found is None:
        raise UnstorableError(f"{path} holds no molecule that RDKit can read")
    return found
