"""`Molecule`: molecules in chemical file formats."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final, NamedTuple, Self

from stepwell.media import rdkit_support
from stepwell.media.base import Keep, Media, file_reference
from stepwell.media.sources import FileSource, resolve_format
from stepwell_schemas.rules.kinds import Kind

_FORMATS: Final = {
    "pdb": "chemical/x-pdb",
    "pqr": "chemical/x-pqr",
    "mmcif": "chemical/x-mmcif",
    "mcif": "chemical/x-mmcif",
    "cif": "chemical/x-cif",
    "sdf": "chemical/x-mdl-sdfile",
    "sd": "chemical/x-mdl-sdfile",
    "gro": "chemical/x-gromacs",
    "mol2": "chemical/x-mol2",
    "mmtf": "chemical/x-mmtf",
}


class _LazyFile(NamedTuple):
    """A file-like object whose content is generated when it is read."""

    read: Callable[[], str]


class Molecule(Media):
    """A molecule.

    Args:
        data_or_path: a path (read when it is logged), the text or the bytes of a file, or an open file, in pdb, pqr,
            mmcif, mcif, cif, sdf, sd, gro, mol2 or mmtf format. Text with line breaks is content, not a path.
        caption: text shown below it.
        file_type: the format, if there is no file name to infer it from.
    """

    kind: ClassVar[Kind] = Kind.MOLECULE

    def __init__(self, data_or_path: Any, caption: str | None = None, file_type: str | None = None) -> None:
        is_text = isinstance(data_or_path, str) and "\n" in data_or_path
        self._source = FileSource(data_or_path.encode() if is_text else data_or_path)
        self._caption = caption
        self._file_type = file_type

    @classmethod
    def from_rdkit(
        cls,
        data_or_path: Any,
        caption: str | None = None,
        convert_to_3d_and_optimize: bool = True,
        mmff_optimize_molecule_max_iterations: int = 200,
    ) -> Self:
        """Return an RDKit molecule as a pdb file; the conversion is deterministic.

        Args:
            data_or_path: an RDKit `Mol`, or the path of a mol, sdf (first molecule only) or pdb file.
            convert_to_3d_and_optimize: add hydrogens and compute a 3D structure, in at most
                `mmff_optimize_molecule_max_iterations` iterations.
        """
        rounds = mmff_optimize_molecule_max_iterations if convert_to_3d_and_optimize else 0
        return cls(_LazyFile(lambda: rdkit_support.to_pdb(data_or_path, rounds)), caption, "pdb")

    @classmethod
    def from_smiles(
        cls,
        data: str,
        caption: str | None = None,
        sanitize: bool = True,
        convert_to_3d_and_optimize: bool = True,
        mmff_optimize_molecule_max_iterations: int = 200,
    ) -> Self:
        """Return the molecule of a SMILES text, through RDKit; see `from_rdkit`.

        Args:
            sanitize: let RDKit validate the molecule.
        """
        rounds = mmff_optimize_molecule_max_iterations if convert_to_3d_and_optimize else 0
        return cls(
            _LazyFile(lambda: rdkit_support.to_pdb(rdkit_support.parse_smiles(data, sanitize), rounds)), caption, "pdb"
        )

    def take(self, keep: Keep) -> dict[str, Any]:
        """Store the file; see `Media.take`."""
        form = resolve_format(self._file_type, self._source, _FORMATS)
        reference = {**file_reference(keep, self._source.read(keep), _FORMATS[form]), "format": form}
        return reference if self._caption is None else {**reference, "caption": str(self._caption)}
