"""Images: exact pixels, as of construction."""

from __future__ import annotations

import re
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import matplotlib as mpl
import ml_dtypes
import numpy as np
import pytest
from PIL import Image as PILImage
from PIL import ImageCms

import stepwell
from stepwell.errors import UnstorableError
from stepwell.media.arrays import image_pixels, to_uint8
from support.fakes.keeping import Kept, taken
from support.fakes.torch_like import Tensor

mpl.use("agg")

RGB = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)


def pixels(content: bytes) -> Any:
    """Return an image file's pixels."""
    with PILImage.open(BytesIO(content)) as image:
        return np.asarray(image)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ([0, 255], [0, 255]),
        (np.array([0, 1, 200], np.uint8), [0, 1, 200]),
        (np.array([-5, 300, 7]), [0, 255, 7]),
        (np.array([True, False]), [255, 0]),
        (np.array([0.0, 0.5, 1.0]), [0, 128, 255]),
        (np.array([-1.0, 0.0, 1.0]), [0, 128, 255]),
        (np.array([0.0, 127.4, 300.0]), [0, 127, 255]),
        (np.array([float("nan"), 1.0]), [0, 255]),
        (np.arange(256) / 255, list(range(256))),
        (np.array([0, 1.0000001], np.float32), [0, 255]),
        (np.array([-1e-7, 0.5, 1.03]), [0, 128, 255]),
        (np.array([-1.0000001, 0, 1], np.float32), [0, 128, 255]),
        (np.array([0.0, 1.5, 2.0]), [0, 2, 2]),
    ],
)
def test_pixels_are_taken_by_their_type_and_range(given: Any, shown: list[int]) -> None:
    assert to_uint8(np.asarray(given)).tolist() == shown


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (RGB, RGB),
        (np.moveaxis(RGB, 2, 0), RGB),
        (RGB[:, :, 0], RGB[:, :, 0]),
        (RGB[:, :, :1], RGB[:, :, 0]),
        (RGB[None], RGB),
        (np.dstack([RGB, RGB[:, :, 0]]), np.dstack([RGB, RGB[:, :, 0]])),
        (RGB.tolist(), RGB),
    ],
)
def test_arrays_become_the_same_pixels(array: Any, expected: Any) -> None:
    reference, content = taken(stepwell.Image(array))
    assert np.array_equal(pixels(content), expected)
    assert (reference["height"], reference["width"]) == (4, 5)
    assert (reference["format"], reference["content_type"]) == ("png", "image/png")


def test_a_tensor_has_its_channels_first() -> None:
    array = np.arange(3 * 4 * 3, dtype=np.uint8).reshape(3, 4, 3)
    for tensor in (Tensor(array), Tensor(array, device="cuda:0")):
        assert np.array_equal(image_pixels(tensor), np.moveaxis(array, 0, 2))
    assert np.array_equal(image_pixels(array), array)
    floats = Tensor(array / 255, ml_dtypes.bfloat16, device="cuda:0", requires_grad=True)
    assert np.abs(image_pixels(floats).astype(int) - np.moveaxis(array, 0, 2)).max() <= 1
    assert np.array_equal(image_pixels(jnp.array(array)), array)


def test_arrays_of_jax_s_types_are_images() -> None:
    ramp = np.linspace(0, 1, 16).reshape(4, 4)
    for kind in (jnp.bfloat16, jnp.float8_e4m3fn):
        assert np.abs(image_pixels(jnp.array(ramp, kind)).astype(int) - to_uint8(ramp)).max() <= 8
    assert image_pixels(np.array([[0, 7], [1, 2]], ml_dtypes.int4)).tolist() == [[0, 7], [1, 2]]


COLOR = PILImage.new("RGB", (16, 16), (200, 100, 50))
GREY = round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)


def lab(image: Any) -> Any:
    """Return an image in the mode LAB."""
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    return ImageCms.applyTransform(image, ImageCms.buildTransform(*profiles, "RGB", "LAB"))


@pytest.mark.parametrize("file_type", ["png", "jpg", "bmp", "gif", "webp"])
@pytest.mark.parametrize(
    ("image", "color"),
    [
        (COLOR.convert("CMYK"), (200, 100, 50)),
        (COLOR.convert("YCbCr"), (200, 100, 50)),
        (COLOR.convert("HSV"), (200, 100, 50)),
        (lab(COLOR), (200, 100, 50)),
        (COLOR.convert("RGBA").convert("RGBa"), (200, 100, 50)),
        (COLOR.convert("RGBX"), (200, 100, 50)),
        (COLOR.convert("P").convert("PA"), (204, 102, 51)),
        (COLOR.convert("LA").convert("La"), (GREY,) * 3),
        (COLOR.convert("I"), (GREY,) * 3),
        (COLOR.convert("F"), (GREY,) * 3),
        (PILImage.fromarray(np.full((16, 16), 0.5, np.float32)), (128,) * 3),
        (PILImage.fromarray(np.full((16, 16), 100 * 257, np.uint16)), (100,) * 3),
        (PILImage.fromarray(np.full((16, 16), 100 * 257, np.int32)), (100,) * 3),
        (PILImage.fromarray(np.full((16, 16), 90_000, np.int32)), (255,) * 3),
        (COLOR.convert("1", dither=PILImage.Dither.NONE), (0,) * 3),
    ],
)
def test_each_mode_is_stored_in_each_format(image: Any, color: tuple[int, ...], file_type: str) -> None:
    reference, content = taken(stepwell.Image(image, file_type=file_type))
    assert (reference["width"], reference["height"]) == image.size
    with PILImage.open(BytesIO(content)) as opened:
        stored = np.asarray(opened) // 257 if opened.mode.startswith("I") else np.asarray(opened.convert("RGB"))
    assert np.abs(stored[0, 0].astype(int) - np.array(color[: stored[0, 0].size])).max() <= 6


def test_sixteen_bits_of_grey_stay_in_a_png() -> None:
    values = np.array([[0, 1], [256, 65_535]], np.uint16)
    assert np.array_equal(pixels(taken(stepwell.Image(PILImage.fromarray(values)))[1]), values)


def test_an_image_can_be_looked_at(tmp_path: Path) -> None:
    PILImage.fromarray(RGB).save(tmp_path / "a.png")
    for image in (stepwell.Image(RGB), stepwell.Image(tmp_path / "a.png")):
        assert np.array_equal(np.asarray(image.image), RGB)


def test_what_is_changed_afterwards_never_shows(tmp_path: Path) -> None:
    array, drawn = RGB.copy(), PILImage.fromarray(RGB)
    of_array, of_image = stepwell.Image(array), stepwell.Image(drawn)
    array[:] = 0
    drawn.putpixel((0, 0), (9, 9, 9))
    for image in (of_array, of_image):
        assert np.array_equal(pixels(taken(image)[1]), RGB)


def test_figures_are_drawn_when_they_are_given() -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(2, 1), dpi=50)
    axes.plot([1, 2], [3, 4])
    images = [stepwell.Image(figure), stepwell.Image(axes), stepwell.Image(pyplot)]
    pyplot.close(figure)
    contents = {taken(image)[1] for image in images}
    assert len(contents) == 1
    assert pixels(contents.pop()).shape == (50, 100, 4)


@pytest.mark.parametrize(
    ("file_type", "content_type"), [("jpg", "image/jpeg"), ("bmp", "image/bmp"), ("webp", "image/webp")]
)
def test_pixels_are_written_as_asked(file_type: str, content_type: str) -> None:
    reference, content = taken(stepwell.Image(np.dstack([RGB, RGB[:, :, 0]]), file_type=file_type))
    assert reference["content_type"] == content_type
    assert pixels(content).shape[:2] == (4, 5)


def test_a_mode_is_pil_s() -> None:
    assert pixels(taken(stepwell.Image(RGB, mode="L"))[1]).shape == (4, 5)


@pytest.mark.parametrize("given", ["path", "text", "bytes", "open", "buffer"])
def test_files_are_stored_byte_for_byte(tmp_path: Path, given: str) -> None:
    path = tmp_path / "some.gif"
    PILImage.fromarray(RGB[:, :, 0]).save(path)
    content = path.read_bytes()
    opened = path.open("rb")
    values: dict[str, Any] = {
        "path": path, "text": str(path), "bytes": content, "open": opened, "buffer": BytesIO(content)
    }  # fmt: skip
    reference, stored = taken(stepwell.Image(values[given], caption="c", grouping=2))
    opened.close()
    assert stored == content
    described = {"width": 5, "height": 4, "format": "gif", "content_type": "image/gif", "caption": "c", "grouping": 2}
    assert described.items() <= reference.items()


def test_drawings_need_no_library() -> None:
    reference, _ = taken(stepwell.Image(b"<svg xmlns='http://www.w3.org/2000/svg'/>"))
    assert (reference["content_type"], reference["format"]) == ("image/svg+xml", "svg")


def test_an_image_of_an_image_is_the_same_pixels() -> None:
    first = stepwell.Image(RGB, caption="first")
    assert taken(stepwell.Image(first))[0] == taken(first)[0]
    assert taken(stepwell.Image(first, caption="second"))[0] == {**taken(first)[0], "caption": "second"}


def test_boxes_masks_and_classes_are_kept() -> None:
    mask = np.array([[0, 1], [2, 255]])
    box = {
        "position": {"minX": 0.1, "minY": 0.2, "maxX": np.float32(0.5), "maxY": 1},
        "class_id": 1,
        "scores": {"p": 0.5},
    }
    image = stepwell.Image(
        RGB,
        classes=[{"id": 1, "name": "cat"}],
        boxes={"truth": {"box_data": [box]}, "guess": {"box_data": [], "class_labels": {1: "cat"}}},
        masks={"truth": {"mask_data": mask, "class_labels": {2: "dog"}}},
    )
    mask[:] = 0
    kept = Kept()
    reference = image.take(kept)
    assert reference["classes"] == {"1": "cat"}
    assert reference["boxes"]["truth"]["class_labels"] == {"1": "class_1"}
    assert reference["boxes"]["truth"]["box_data"][0]["position"]["maxX"] == 0.5
    assert reference["boxes"]["guess"] == {"box_data": [], "class_labels": {"1": "cat"}}
    stored = reference["masks"]["truth"]
    assert stored["class_labels"] == {"2": "dog"}
    assert pixels(kept.content(stored)).tolist() == [[0, 1], [2, 255]]


MIDDLE = {"middle": [1, 2], "width": 1, "height": 1}


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({"data_or_path": np.zeros((5, 5, 7))}, r"shape \[5, 5, 7\]"),
        ({"data_or_path": np.zeros((0, 2))}, r"shape \[0, 2\]"),
        ({"data_or_path": np.array([["a"]])}, "<U1"),
        ({"data_or_path": b""}, "is empty"),
        ({"data_or_path": b"no image"}, "cannot identify image file"),
        ({"data_or_path": RGB, "file_type": "tiff"}, "file_type 'tiff'"),
    ],
)
def test_what_is_no_image_is_found_when_it_is_logged(given: dict[str, Any], rule: str) -> None:
    image = stepwell.Image(**{"data_or_path": RGB, **given})
    with pytest.raises(UnstorableError, match=rule):
        image.take(Kept())


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({"boxes": {"b": {"box_data": [{"position": {"minX": 1}, "class_id": 1}]}}}, "'b', box 0: position must have"),
        ({"boxes": {"b": {"box_data": [{"position": MIDDLE, "class_id": "x"}]}}}, "class_id must be an integer"),
        ({"boxes": {"b": {"box_data": [{"position": MIDDLE, "class_id": 1, "domain": "x"}]}}}, "domain"),
        ({"boxes": {"b": {"box_data": [{"position": MIDDLE, "class_id": 1, "scores": {"p": "x"}}]}}}, "scores"),
        ({"boxes": {"b": {"box_data": [{"position": {**MIDDLE, "width": "x"}, "class_id": 1}]}}}, "must be numbers"),
        ({"boxes": {"b": {}}}, "'b'.*'box_data'"),
        ({"masks": {"m": {"mask_data": np.full((2, 2), 0.5)}}}, "mask 'm': must be H×W integers"),
        ({"masks": {"m": {"mask_data": np.array([[256]])}}}, "class ids must be 0 … 255"),
        ({"masks": {"m": {"path": "/nowhere/mask.png"}}}, r"mask\.png"),
        ({"classes": [{"id": 1}]}, "must have id and name"),
    ],
)  # fmt: skip
def test_an_overlay_that_cannot_be_stored_is_reported_and_the_picture_kept(given: dict[str, Any], rule: str) -> None:
    kept = Kept()
    reference = stepwell.Image(RGB, **given).take(kept)
    assert np.array_equal(pixels(kept.content(reference)), RGB)
    assert not (reference.get("boxes") or {}).get("b", {}).get("box_data")
    assert not {"masks", "classes"} & reference.keys()
    (reported,) = kept.reported
    assert re.search(rule, reported)


def test_the_other_boxes_and_scores_that_are_not_finite_are_kept() -> None:
    good = {"position": MIDDLE, "class_id": 1, "scores": {"p": float("nan"), "q": np.float32("inf"), "r": 0.5}}
    kept = Kept()
    boxes = {"b": {"box_data": [{"class_id": 1}, good, {"position": {**MIDDLE, "width": float("nan")}, "class_id": 2}]}}
    stored = stepwell.Image(RGB, boxes=boxes).take(kept)["boxes"]["b"]["box_data"]
    assert [box["class_id"] for box in stored] == [1, 2]
    assert stored[0]["scores"] == {"p": "NaN", "q": "Infinity", "r": 0.5}
    assert len(kept.reported) == 1


def test_a_mask_of_whole_floats_is_one_of_integers() -> None:
    mask = np.array([[0.0, 1.0], [2.0, 255.0]], np.float32)
    kept = Kept()
    stored = stepwell.Image(RGB, masks={"m": {"mask_data": Tensor(mask)}}).take(kept)["masks"]["m"]
    assert pixels(kept.content(stored)).tolist() == mask.astype(int).tolist()


def test_a_part_that_is_not_stored_is_counted(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with stepwell.init(mode="offline", dir=tmp_path, settings={"quiet": True}) as run:
        for _ in range(3):
            run.log({"i": stepwell.Image(RGB, masks={"m": {"mask_data": np.array([[256]])}})})
        run.log({"table": stepwell.Table(columns=["i"], data=[[stepwell.Image(RGB, masks={"m": {}})]])})
        assert run.finish().rejected == 4
    lines = [line.partition(": mask 'm'")[0] for line in capfd.readouterr().err.splitlines()]
    assert [line.partition(": ")[2].partition("is not")[0] for line in lines] == [
        f"{run.id}: a part of 'i' ", f"{run.id}: a part of 'table' "
    ]  # fmt: skip


def test_a_vanished_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.png"):
        stepwell.Image(tmp_path / "gone.png").take(Kept())


def test_a_file_over_the_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    with path.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(UnstorableError, match=r"large\.png .* 1,099,511,627,776 .* 16,777,216"):
        stepwell.Image(path).take(Kept())


def test_without_pillow_pixels_are_refused_and_files_stored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "some.png"
    PILImage.fromarray(RGB).save(path)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(UnstorableError, match=r"pip install 'stepwell\[media\]'"):
        stepwell.Image(RGB).take(Kept())
    reference, content = taken(stepwell.Image(path))
    assert (reference["content_type"], content) == ("image/png", path.read_bytes())
