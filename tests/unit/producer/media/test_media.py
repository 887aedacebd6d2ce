"""Sound, video, pages, scenes, molecules, histograms and figures: stored files, references and errors."""

from __future__ import annotations

import io
import itertools
import json
import math
import sys
import wave
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import matplotlib as mpl
import ml_dtypes
import numpy as np
import plotly.graph_objects as go
import pytest
from bokeh.plotting import figure as bokeh_figure
from PIL import Image as PILImage

import stepwell
from stepwell.errors import UnstorableError
from stepwell.media.adapters import as_media
from stepwell.media.base import Media
from support.fakes.keeping import Kept, taken

mpl.use("agg")


@pytest.mark.parametrize(
    ("samples", "stored"),
    [
        (np.array([0.0, 1.0, -1.0, 2.0]), np.array([0, 32767, -32767, 32767], "<i2")),
        ([0.5, -0.5], np.array([16384, -16384], "<i2")),
        (np.array([[1, 2], [3, 4]], np.int16), np.array([[1, 2], [3, 4]], "<i2")),
        (np.array([1, -(2**31)], np.int32), np.array([1, -(2**31)], "<i4")),
        (np.array([0, 255], np.uint8), np.array([0, 255], np.uint8)),
        (np.array([1, -2], ">i2"), np.array([1, -2], "<i2")),
        ([1, 99_999], np.array([1, 32767], "<i2")),
    ],
)
def test_samples_are_a_wav(samples: Any, stored: Any) -> None:
    reference, content = taken(stepwell.Audio(samples, sample_rate=8_000, caption="c"))
    with wave.open(io.BytesIO(content)) as file:
        assert file.readframes(9) == stored.tobytes()
    channels = 1 if stored.ndim == 1 else 2
    described = {"sample_rate": 8000, "channels": channels, "duration": len(stored) / 8000, "caption": "c"}
    assert described.items() <= reference.items()
    assert reference["content_type"] == "audio/wav"


def wav_samples(content: bytes) -> Any:
    """Return the 16-bit samples of a WAV file, [n, channels]."""
    with wave.open(io.BytesIO(content)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, file.getnchannels())


@pytest.mark.parametrize(
    ("shape", "stored"),
    [
        ((2, 22_050), (22_050, 2)),
        ((22_050, 2), (22_050, 2)),
        ((1, 65), (65, 1)),
        ((2, 64), (2, 64)),
        ((65, 2), (65, 2)),
    ],
)
def test_channels_may_come_first(shape: tuple[int, int], stored: tuple[int, int]) -> None:
    samples = np.arange(shape[0] * shape[1], dtype=np.int32).astype(np.int16).reshape(shape)
    reference, content = taken(stepwell.Audio(samples, sample_rate=22_050))
    assert np.array_equal(wav_samples(content), samples if shape == stored else samples.T)
    assert (reference["channels"], reference["duration"]) == (stored[1], stored[0] / 22_050)


def test_samples_of_jax_are_sound() -> None:
    _, content = taken(stepwell.Audio(jnp.array([0, 1, -1], jnp.bfloat16), sample_rate=8))
    assert wav_samples(content).ravel().tolist() == [0, 32767, -32767]


@pytest.mark.parametrize(
    ("name", "content", "content_type"),
    [
        ("a.mp3", b"ID3...", "audio/mpeg"),
        ("a.flac", b"fLaC", "audio/flac"),
        ("a.m4a", b"....", "audio/mp4"),
        ("a.wav", b"RIFF....WAVEnot pcm", "audio/wav"),
    ],
)
def test_sound_files_are_stored_byte_for_byte(tmp_path: Path, name: str, content: bytes, content_type: str) -> None:
    (tmp_path / name).write_bytes(content)
    reference, stored = taken(stepwell.Audio(tmp_path / name, sample_rate=7))
    assert (stored, reference["content_type"], reference["sample_rate"]) == (content, content_type, 7)


FRAMES = (np.arange(3 * 3 * 4 * 6, dtype=np.uint8) % 7 * 40).reshape(3, 3, 4, 6)


def frames_of(content: bytes) -> list[Any]:
    """Return the frames of a GIF."""
    with PILImage.open(io.BytesIO(content)) as image:
        found = []
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            found.append(np.asarray(image.convert("RGB")))
        return found


def test_frames_are_a_gif_pixel_for_pixel() -> None:
    reference, content = taken(stepwell.Video(FRAMES, fps=10, caption="c"))
    assert np.array_equal(np.stack(frames_of(content)), np.moveaxis(FRAMES, 1, 3))
    described = {"format": "gif", "width": 6, "height": 4, "frames": 3, "fps": 10, "caption": "c"}
    assert described.items() <= reference.items()
    assert reference["content_type"] == "image/gif"


def test_a_batch_of_videos_is_side_by_side() -> None:
    batch = np.stack([FRAMES[:, :1], FRAMES[:, 1:2], FRAMES[:, 2:]])
    reference, content = taken(stepwell.Video(batch))
    assert (reference["width"], reference["height"]) == (12, 8)
    first = frames_of(content)[0][:, :, 0]
    assert np.array_equal(first[:4, :6], FRAMES[0, 0])
    assert np.array_equal(first[:4, 6:], FRAMES[0, 1])
    assert np.array_equal(first[4:, :6], FRAMES[0, 2])
    assert not first[4:, 6:].any()


@pytest.mark.parametrize(("form", "start"), [("mp4", b"ftyp"), ("webm", b"webm"), ("ogg", b"OggS")])
def test_frames_are_encoded_as_asked(form: str, start: bytes) -> None:
    odd = np.zeros((3, 1, 31, 33), np.float32)
    reference, content = taken(stepwell.Video(odd, format=form))
    assert start in content[:64]
    assert (reference["content_type"], reference["width"], reference["fps"]) == (f"video/{form}", 33, 4)


def test_video_files_are_stored_byte_for_byte(tmp_path: Path) -> None:
    (tmp_path / "v.mp4").write_bytes(b"....ftyp")
    for given, form in ((str(tmp_path / "v.mp4"), None), (io.BytesIO(b"....ftyp"), "mp4")):
        reference, content = taken(stepwell.Video(given, format=form))
        assert (content, reference["content_type"], reference["format"]) == (b"....ftyp", "video/mp4", "mp4")


HEAD = '<base target="_blank"><meta charset="utf-8"><style>body{margin:0;font-family:system-ui,sans-serif}</style>'


@pytest.mark.parametrize(
    ("page", "stored"),
    [
        ("<p>é</p>", f"{HEAD}<p>é</p>"),
        ("<HTML lang='x'><p>", f"<HTML lang='x'><head>{HEAD}</head><p>"),
        ("<html><head id=1><title></title></head><header>", f"<html><head id=1>{HEAD}<title></title></head><header>"),
        ("<!doctype html><header>", f"<!doctype html>{HEAD}<header>"),
    ],
)
def test_a_page_is_stored_with_a_head_or_as_it_is(tmp_path: Path, page: str, stored: str) -> None:
    (tmp_path / "p.html").write_text(page, "utf-8")
    values = [page, page.encode(), io.StringIO(page), tmp_path / "p.html", str(tmp_path / "p.html")]
    for value in values:
        assert taken(stepwell.Html(value))[1].decode() == stored
        reference, content = taken(stepwell.Html(value, inject=False))
        assert (content.decode(), reference["content_type"]) == (page, "text/html")
    assert taken(stepwell.Html("p.html", inject=False, data_is_not_path=True))[1] == b"p.html"


def test_points_and_scenes_are_json() -> None:
    points = np.array([[0.5, 1, 2], [3, float("nan"), 5]])
    reference, content = taken(stepwell.Object3D(points, caption="c"))
    assert json.loads(content) == [[0.5, 1, 2], [3, "NaN", 5]]
    assert {"format": "pts.json", "content_type": "application/json", "caption": "c"}.items() <= reference.items()
    scene = stepwell.Object3D.from_point_cloud(points=points[:1], boxes=[{"corners": [[0, 0, 0]], "label": "b"}])
    assert json.loads(taken(scene)[1]) == {
        "type": "lidar/beta", "points": [[0.5, 1, 2]], "boxes": [{"corners": [[0, 0, 0]], "label": "b"}], "vectors": []
    }  # fmt: skip
    assert taken(stepwell.Object3D.from_numpy(points))[1] == content


def test_scenes_and_molecules_of_files_are_stored_byte_for_byte(tmp_path: Path) -> None:
    (tmp_path / "x.GLB").write_bytes(b"glTF")
    (tmp_path / "x.pts.json").write_bytes(b"[[1,2,3]]")
    assert taken(stepwell.Object3D(tmp_path / "x.GLB"))[0]["content_type"] == "model/gltf-binary"
    assert taken(stepwell.Object3D(str(tmp_path / "x.pts.json")))[0]["format"] == "pts.json"
    assert taken(stepwell.Object3D.from_file(io.StringIO("o x"), "obj"))[1] == b"o x"
    (tmp_path / "m.pdb").write_text("ATOM")
    assert taken(stepwell.Molecule(tmp_path / "m.pdb"))[0]["content_type"] == "chemical/x-pdb"
    with (tmp_path / "m.pdb").open() as file:
        assert taken(stepwell.Molecule(file))[1] == b"ATOM"
    reference, content = taken(stepwell.Molecule("a\nb\n", file_type="sdf", caption="c"))
    assert (content, reference["format"], reference["caption"]) == (b"a\nb\n", "sdf", "c")


def test_molecules_of_rdkit_are_the_same_file_every_time(tmp_path: Path) -> None:
    from rdkit import Chem

    ethanol = Chem.MolFromSmiles("CCO")
    reference, content = taken(stepwell.Molecule.from_smiles("CCO", caption="ethanol"))
    assert (reference["format"], reference["caption"]) == ("pdb", "ethanol")
    assert Chem.MolFromPDBBlock(content.decode(), removeHs=False).GetNumAtoms() == 9
    assert taken(stepwell.Molecule.from_rdkit(ethanol))[1] == content
    flat = taken(stepwell.Molecule.from_smiles("CCO", convert_to_3d_and_optimize=False))[1]
    assert Chem.MolFromPDBBlock(flat.decode()).GetNumAtoms() == 3
    with Chem.SDWriter(str(tmp_path / "m.sdf")) as writer:
        writer.write(ethanol)
    Chem.MolToMolFile(ethanol, str(tmp_path / "m.mol"))
    (tmp_path / "m.pdb").write_bytes(flat)
    for ending in ("sdf", "mol", "pdb"):
        path = tmp_path / f"m.{ending}"
        assert taken(stepwell.Molecule.from_rdkit(path, convert_to_3d_and_optimize=False))[1].count(b"HETATM") == 3
    (tmp_path / "bad.sdf").write_text("no molecule")
    for molecule, words in (
        (stepwell.Molecule.from_smiles("nope("), r"SMILES 'nope\('"),
        (stepwell.Molecule.from_rdkit(3), "not int"),
        (stepwell.Molecule.from_rdkit("m.doc"), "m.doc: .*mol, pdb"),
        (stepwell.Molecule.from_rdkit(tmp_path / "bad.sdf"), "bad.sdf"),
    ):
        with pytest.raises(UnstorableError, match=words):
            molecule.take(Kept())
    with pytest.raises(FileNotFoundError, match=r"gone\.sdf"):
        stepwell.Molecule.from_rdkit(str(tmp_path / "gone.sdf")).take(Kept())


def test_a_matplotlib_figure_is_converted_where_it_is_asked_for() -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots()
    axes.plot([1, 2, 3], [1, 4, 9])
    content = json.loads(taken(stepwell.Plotly(figure))[1])
    assert content["data"][0]["y"] == [1.0, 4.0, 9.0]
    pyplot.close(figure)


def test_a_histogram_counts_as_numpy_does() -> None:
    values = np.random.default_rng(0).normal(size=(10, 10))
    counts, edges = np.histogram(values, bins=20)
    expected = {"bins": edges.tolist(), "counts": counts.tolist()}
    histogram = stepwell.Histogram(values, num_bins=20)
    assert histogram.take(Kept()) == expected
    assert stepwell.Histogram(np_histogram=(counts, edges)).take(Kept()) == expected
    assert (histogram.bins, histogram.histogram) == (edges.tolist(), counts.tolist())
    assert stepwell.Histogram([True, 1, float("nan"), float("inf")], num_bins=1).take(Kept()) == {
        "bins": [0.5, 1.5], "counts": [2], "not_finite": 2
    }  # fmt: skip


_FLOAT_MAX = sys.float_info.max


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "values",
    [
        np.array([1, 2.5, 3], ml_dtypes.bfloat16),
        jnp.array([1, 2, 2], jnp.bfloat16),
        np.array([-8, 7], ml_dtypes.int4),
        [1.0, math.nextafter(1.0, 2.0)],
        [0.0, 5e-324],
        [5e-324],
        [-1e308, 1e308],
        [-_FLOAT_MAX, 0.0, _FLOAT_MAX],
        [_FLOAT_MAX],
        [-_FLOAT_MAX],
        [1e16],
        [2**60, 2**60 + 300],
        [10**300, 10**300 + 10**285],
        [Decimal("0.1"), Fraction(1, 3)],
        [],
    ],
)
@pytest.mark.parametrize("num_bins", [1, 64, 512])
def test_every_finite_value_is_counted(values: Any, num_bins: int) -> None:
    reference = stepwell.Histogram(values, num_bins=num_bins).take(Kept())
    counts, edges = reference["counts"], reference["bins"]
    numbers = np.asarray(values).astype(np.float64)
    assert sum(counts) == len(numbers)
    assert len(edges) == len(counts) + 1 <= num_bins + 1
    assert all(math.isfinite(edge) for edge in edges)
    assert all(low < high for low, high in itertools.pairwise(edges))
    for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True):
        inside = (numbers >= low) & ((numbers < high) | ((numbers == high) & (high == edges[-1])))
        assert count == inside.sum()


def test_figures_are_their_library_s_json() -> None:
    figure = go.Figure(go.Scatter(x=[1, 2], y=[3, None]))
    reference, content = taken(stepwell.Plotly(figure))
    assert json.loads(content) == json.loads(str(figure.to_json()))
    assert reference["content_type"] == "application/vnd.plotly.v1+json"
    document = {"data": [{"y": [1, float("nan")]}], "layout": {}}
    assert json.loads(taken(stepwell.Plotly(document))[1]) == {"data": [{"y": [1, "NaN"]}], "layout": {}}
    assert json.loads(taken(stepwell.Plotly('{"data": []}'))[1]) == {"data": []}


def test_foreign_objects_are_what_stands_for_them() -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots()
    chart = bokeh_figure()
    chart.line([1, 2], [3, 4])
    values: list[tuple[Any, str]] = [
        (figure, "Image"), (axes, "Image"), (pyplot, "Image"), (PILImage.new("L", (1, 1)), "Image"),
        (go.Figure(), "Plotly"), (chart, "Html"),
    ]  # fmt: skip
    for foreign, name in values:
        assert type(as_media(foreign)).__name__ == name
    others: list[Any] = [1, "x", np.zeros(3), None, {}, json]
    assert [as_media(other) for other in others] == [None] * 6
    pyplot.close(figure)
    page = taken(stepwell.Html(chart))[1]
    assert b"bokeh" in page
    assert b"<!DOCTYPE html>" in page


def test_panel_and_holoviews_write_their_own_pages() -> None:
    import holoviews
    import panel

    holoviews.extension("bokeh")
    for value in (panel.Column("# Title"), holoviews.Curve([1, 2, 3])):
        media = as_media(value)
        assert isinstance(media, stepwell.Html)
        assert b"<!DOCTYPE html>" in taken(media)[1]


@pytest.mark.parametrize(
    ("media", "rule"),
    [
        (stepwell.Audio([0.0]), "sample_rate None"),
        (stepwell.Audio(np.zeros((2, 2, 2)), 8_000), r"shape \[2, 2, 2\]"),
        (stepwell.Audio(np.array(["a"]), 8_000), "<U1"),
        (stepwell.Audio(b""), "is empty"),
        (stepwell.Video(np.zeros((2, 2))), "shape"),
        (stepwell.Video(np.zeros((2, 3, 4, 4)), format="avi"), "format 'avi'"),
        (stepwell.Video(b"...."), "file_type="),
        (stepwell.Html(3), " int "),
        (stepwell.Object3D(np.zeros((2, 5))), r"shape \[2, 5\]"),
        (stepwell.Object3D({"type": "x"}), "type 'x'"),
        (stepwell.Object3D(b"..", file_type="doc"), "format 'doc'"),
        (stepwell.Molecule(b"..", file_type="doc"), "format 'doc'"),
        (
            stepwell.Audio(np.zeros((65, 100)), sample_rate=8),
            "65 samples of 100 channels, nor 100 samples of 65 channels",
        ),
        (stepwell.Histogram([1], num_bins=513), "num_bins 513: must be 1 … 512"),
        (stepwell.Histogram(), "np_histogram="),
        (stepwell.Histogram(["a"]), "<U1"),
        (stepwell.Histogram(np_histogram=([1], [1])), "1 counts need 2 edges"),
        (stepwell.Histogram(np_histogram=([1] * 513, [1] * 514)), "513 bins"),
        (stepwell.Plotly("{"), "JSON: .*line 1 column 2"),
        (stepwell.Plotly({"layout": {}}), "data and layout"),
    ],
)
def test_what_cannot_be_stored_is_found_when_it_is_logged(media: Media, rule: str) -> None:
    with pytest.raises(UnstorableError, match=rule):
        media.take(Kept())


def test_a_page_that_vanished_is_no_text() -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.html"):
        stepwell.Html("/nowhere/gone.html").take(Kept())


def test_the_summary_has_the_reference(tmp_path: Path) -> None:
    with stepwell.init(mode="offline", dir=tmp_path, settings={"quiet": True}) as run:
        run.log({"h": stepwell.Histogram([1, 2], num_bins=1), "loss": 1.0})
        assert run.summary["h"] == {"bins": [1.0, 2.0], "counts": [2]}
