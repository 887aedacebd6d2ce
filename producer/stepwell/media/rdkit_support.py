"""Conversion of RDKit molecules and SMILES to pdb files; RDKit is an optional dependency."""

from __future__ import annotations

from importlib import import_module
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Final

from stepwell.errors import UnstorableError

_SEED: Final = 0
"""Random seed of RDKit's 3D embedding, so that the same molecule gives the same file."""

_READERS: Final = {"mol": "MolFromMolFile", "pdb": "MolFromPDBFile"}


def _chem() -> Any:
    try:
        return import_module("rdkit.Chem")
    except ImportError:
        raise UnstorableError("from_rdkit() and from_smiles() need RDKit: pip install rdkit") from None


def parse_smiles(text: str, sanitize: bool) -> Any:
    """Return the molecule of a SMILES text. Raises: UnstorableError."""
    molecule = _chem().MolFromSmiles(text, sanitize=sanitize)
    if molecule is None:
        raise UnstorableError(f"RDKit can't parse the SMILES {text!r}")
    return molecule


def to_pdb(molecule: Any, rounds: int) -> str:
    """Return an RDKit molecule, or the one in a file, as the text of a pdb file.

    Args:
        rounds: maximal iterations of the 3D optimization; 0 skips it.

    Raises:
        UnstorableError: if it is no molecule. OSError: if the file does not exist.
    """
    chem = _chem()
    mol = _read(chem, Path(fspath(molecule)).expanduser()) if isinstance(molecule, str | PathLike) else molecule
    if not isinstance(mol, chem.Mol):
        raise UnstorableError(f"must be an RDKit molecule or a path, not {type(molecule).__name__}")
    if rounds:
        shaping: Any = import_module("rdkit.Chem.AllChem")
        mol = chem.AddHs(mol)
        if shaping.EmbedMolecule(mol, randomSeed=_SEED) == 0 and shaping.MMFFHasAllMoleculeParams(mol):
            shaping.MMFFOptimizeMolecule(mol, maxIters=rounds)
    return str(chem.MolToPDBBlock(mol))


def _read(chem: Any, path: Path) -> Any:
    ending = path.suffix.removeprefix(".").lower()
    if ending not in {*_READERS, "sdf"}:
        raise UnstorableError(f"{path}: must be a mol, pdb or sdf file")
    # Raises OSError for a missing file; RDKit's own error does not name it.
    path.stat()
    molecule = (
        next(iter(chem.SDMolSupplier(str(path))), None)
        if ending == "sdf"
        else getattr(chem, _READERS[ending])(str(path))
    )
    if molecule is None:
        raise UnstorableError(f"RDKit finds no valid molecule in {path}")
    return molecule
