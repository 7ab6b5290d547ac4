"""load: every format, orientation, colour and depth against pictures with known pixels; hostile files are typed."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

from liftform.capture import Capture
from liftform.conventions import linear_to_srgb, srgb_to_linear
from liftform.errors import InputError, InputNotFoundError, LiftformError, TooLargeError, UnreadableError, UsageError
from liftform.load import LoadOptions, load

WIDTH, HEIGHT = 60, 40


def colours() -> np.ndarray:
    """(40, 60, 3) uint8: four flat fields of different colours, so that lossy formats keep their middles."""
    a = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    a[:20, :30], a[:20, 30:] = (200, 40, 40), (40, 180, 60)
    a[20:, :30], a[20:, 30:] = (50, 60, 190), (220, 210, 90)
    return a


def with_alpha() -> np.ndarray:
    alpha = np.zeros((HEIGHT, WIDTH, 1), np.uint8)
    alpha[8:32, 10:50] = 255
    alpha[8:32, 10:14] = 128
    return np.concatenate([colours(), alpha], 2)


def encoded(array: np.ndarray, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(array).save(out, kind, **options)
    return out.getvalue()


def decision(capture: Capture, what: str) -> object:
    return next((d for d in capture.decisions if d.what == what), None)


FORMATS = {
    "JPEG": ("jpg", {"quality": 95, "subsampling": 0}, 6),
    "PNG": ("png", {}, 0),
    "WEBP": ("webp", {"lossless": True}, 0),
    "TIFF": ("tif", {}, 0),
    "BMP": ("bmp", {}, 0),
    "GIF": ("gif", {}, 0),
    "AVIF": ("avif", {"quality": 95}, 6),
}


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_its_pixels(kind: str, tmp_path: Path) -> None:
    suffix, options, tolerance = FORMATS[kind]
    path = tmp_path / f"picture.{suffix}"
    path.write_bytes(encoded(colours(), kind, **options))
    photo = load(path).photo
    assert photo.image.dtype == np.float32
    assert photo.image.shape == (HEIGHT, WIDTH, 3)
    assert photo.alpha is None
    assert photo.original_size == (WIDTH, HEIGHT)
    assert photo.source == str(path)
    difference = np.abs(photo.image * 255 - colours())[4:-4, 4:-4]
    inner = np.ones(difference.shape[:2], bool)
    inner[12:20, :] = inner[:, 22:30] = False
    assert difference[inner].max() <= tolerance + 1e-3


def test_heic_and_its_rotation_box() -> None:
    """Made once by libheif from the same four fields; the second lies on its side and carries a 26 mm equivalent."""
    folder = Path(__file__).parent / "data"
    plain = load(folder / "quadrants.heic").photo
    assert np.abs(plain.image[5::29, 5::49] * 255 - colours()[5::29, 5::49]).max() <= 2
    turned = load(folder / "quadrants_turned.heic").photo
    assert turned.size == turned.original_size == (HEIGHT, WIDTH)
    assert np.abs(turned.image[5, -5] * 255 - colours()[5, 5]).max() <= 2
    assert turned.focal_px == pytest.approx(26 / np.hypot(36, 24) * np.hypot(WIDTH, HEIGHT))


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "AVIF"])
def test_alpha_is_kept_and_straight(kind: str) -> None:
    options = {"WEBP": {"lossless": True, "exact": True}, "AVIF": {"quality": 95}}.get(kind, {})
    photo = load(encoded(with_alpha(), kind, **options)).photo
    assert np.abs(photo.alpha * 255 - with_alpha()[..., 3]).max() <= (8 if kind == "AVIF" else 1e-3)
    assert np.abs(photo.image[24, 44] * 255 - colours()[24, 44]).max() <= 6


def test_opaque_alpha_is_no_alpha() -> None:
    opaque = np.concatenate([colours(), np.full((HEIGHT, WIDTH, 1), 255, np.uint8)], 2)
    assert load(encoded(opaque, "PNG")).photo.alpha is None
    assert load(opaque).photo.alpha is None


def test_palette_with_transparency() -> None:
    picture = Image.fromarray(colours()).quantize(8)
    out = io.BytesIO()
    picture.save(out, "PNG", transparency=picture.getpixel((5, 5)))
    photo = load(out.getvalue()).photo
    assert photo.alpha[5, 5] == 0
    assert photo.alpha[30, 40] == 1
    assert np.abs(photo.image[30, 40] * 255 - colours()[30, 40]).max() <= 1


def test_grey_with_alpha_and_one_bit() -> None:
    grey = Image.fromarray(colours()).convert("L")
    with_a = Image.merge("LA", [grey, Image.fromarray(with_alpha()[..., 3])])
    photo = load(with_a).photo
    assert np.array_equal(np.rint(photo.image * 255), np.repeat(np.asarray(grey)[..., None], 3, 2))
    assert photo.alpha[8, 10] == np.float32(128 / 255)
    bits = load(grey.convert("1", dither=Image.Dither.NONE)).photo
    assert np.array_equal(bits.image[..., 0], np.asarray(grey) >= 128)


@pytest.mark.parametrize("mode", ["RGBa", "La"])
def test_premultiplied_pillow_modes(mode: str) -> None:
    straight = Image.fromarray(with_alpha()).convert("LA" if mode == "La" else "RGBA")
    photo, want = load(straight.convert(mode)).photo, load(straight).photo
    assert np.array_equal(photo.alpha, want.alpha)
    solid = want.alpha > 0
    assert np.abs(photo.image - want.image)[solid].max() <= 2.5 / 255


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_without_profile_is_the_plain_formula(kind: str) -> None:
    ink = Image.new("CMYK", (32, 32), (0, 255, 255, 51))
    out = io.BytesIO()
    ink.save(out, kind)
    capture = load(out.getvalue())
    assert np.abs(capture.photo.image[16, 16] * 255 - (204, 0, 0)).max() <= 4
    assert "plain formula" in decision(capture, "colour").note


def test_lab_tiff() -> None:
    out = io.BytesIO()
    lab = Image.merge("LAB", [Image.new("L", (32, 32), v) for v in (136, 209, 195)])  # L* 53.3, a* 81, b* 67
    lab.save(out, "TIFF")
    assert np.abs(load(out.getvalue()).photo.image[9, 9] * 255 - (255, 0, 0)).max() <= 12


# --- depth ---------------------------------------------------------------------------------------------------------


def ramp(dtype: str, channels: int = 1) -> np.ndarray:
    values = np.linspace(0, np.iinfo(dtype).max, HEIGHT * WIDTH * channels).astype(dtype)
    return values.reshape(HEIGHT, WIDTH, *([channels] if channels > 1 else []))


def test_sixteen_bit_grey_png_is_exact() -> None:
    image = load(encoded(ramp("uint16"), "PNG")).photo.image
    assert np.array_equal(np.rint(image[..., 0].astype(np.float64) * 65535), ramp("uint16"))


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"tile": (32, 32)}, {"planarconfig": "separate"}])
def test_sixteen_bit_rgb_tiff_is_exact(byteorder: str, options: dict, tmp_path: Path) -> None:
    deep = ramp("uint16", 3)
    data = np.moveaxis(deep, 2, 0) if "planarconfig" in options else deep
    tifffile.imwrite(tmp_path / "deep.tif", data, photometric="rgb", byteorder=byteorder, **options)
    image = load(tmp_path / "deep.tif").photo.image
    assert np.array_equal(np.rint(image.astype(np.float64) * 65535), deep)


def test_sixteen_bit_lzw_tiff_falls_back_to_eight(tmp_path: Path) -> None:
    """LZW needs a codec that is no dependency; Pillow reads such files coarsely."""
    grey = Image.fromarray(ramp("uint16"))
    grey.save(tmp_path / "deep.tif", compression="tiff_lzw")
    assert np.abs(load(tmp_path / "deep.tif").photo.image[..., 0] * 65535 - ramp("uint16")).max() < 1


def test_inverted_grey_and_premultiplied_tiffs(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "inverted.tif", ramp("uint16"), photometric="miniswhite")
    image = load(tmp_path / "inverted.tif").photo.image
    assert np.array_equal(np.rint(image[..., 0] * 65535.0), 65535 - ramp("uint16"))
    half = np.full((HEIGHT, WIDTH, 4), 20000, np.uint16)
    half[..., 3] = 40000
    tifffile.imwrite(tmp_path / "half.tif", half, photometric="rgb", extrasamples=["assocalpha"])
    photo = load(tmp_path / "half.tif").photo
    assert np.allclose(photo.image, 0.5, atol=1e-5)
    assert np.allclose(photo.alpha, 40000 / 65535, atol=1e-5)


def test_float_tiffs(tmp_path: Path) -> None:
    values = np.linspace(0, 1, HEIGHT * WIDTH * 3, dtype=np.float32).reshape(HEIGHT, WIDTH, 3)
    tifffile.imwrite(tmp_path / "unit.tif", values, photometric="rgb")
    assert np.array_equal(load(tmp_path / "unit.tif").photo.image, values)
    tifffile.imwrite(tmp_path / "bright.tif", values * 8, photometric="rgb")
    capture = load(tmp_path / "bright.tif")
    assert np.allclose(capture.photo.image, values, atol=1e-6)
    assert decision(capture, "range").value == 8


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("channels", [1, 3])
def test_not_finite_tiff_is_refused(bad: float, channels: int, tmp_path: Path) -> None:
    values = np.full((HEIGHT, WIDTH, channels), 0.5, np.float32)
    values[7, 7] = bad
    path = tmp_path / "bad.tif"
    tifffile.imwrite(path, np.squeeze(values), photometric="rgb" if channels == 3 else "minisblack")
    with pytest.raises(UnreadableError, match=r"bad\.tif: contains NaN or infinite"):
        load(path)


# --- orientation, focal length -------------------------------------------------------------------------------------


def exif(**tags: object) -> Image.Exif:
    """Tags by their names here: orientation, and those of the camera's own directory."""
    known = {"mm": 0x920A, "mm35": 0xA405, "width": 0xA002, "height": 0xA003, "plane": 0xA20E, "unit": 0xA210}
    result = Image.Exif()
    if "orientation" in tags:
        result[0x0112] = tags.pop("orientation")
    for name, value in tags.items():
        result.get_ifd(0x8769)[known[name]] = value
    return result


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_orientation(kind: str, turn: int) -> None:
    data = encoded(colours(), kind, exif=exif(orientation=turn), **FORMATS[kind][1])
    upright = Image.fromarray(colours())
    upright.getexif()[0x0112] = turn
    want = np.asarray(ImageOps.exif_transpose(upright))
    photo = load(data).photo
    assert photo.size == photo.original_size == (want.shape[1], want.shape[0])
    for at in ((5, 5), (5, -5), (-5, 5), (-5, -5)):
        assert np.abs(photo.image[at] * 255 - want[at]).max() <= 6


@pytest.mark.parametrize("turn", range(1, 9))
def test_orientation_of_deep_tiff(turn: int, tmp_path: Path) -> None:
    deep = colours().astype(np.uint16) * 257
    tifffile.imwrite(tmp_path / "t.tif", deep, photometric="rgb", extratags=[(274, "H", 1, turn, True)])
    upright = Image.fromarray(colours())
    upright.getexif()[0x0112] = turn
    want = np.asarray(ImageOps.exif_transpose(upright))
    assert np.array_equal(np.rint(load(tmp_path / "t.tif").photo.image * 255), want)


def focal(size: tuple[int, int] = (WIDTH, HEIGHT), max_side: int = 2048, **tags: object) -> float | None:
    picture = Image.new("RGB", size, (90, 90, 90))
    out = io.BytesIO()
    picture.save(out, "JPEG", exif=exif(**tags))
    return load(out.getvalue(), LoadOptions(max_side=max_side)).photo.focal_px


def test_focal_length_by_the_35mm_equivalent() -> None:
    """On a 3:2 picture the diagonal and the width say the same: f_px = f / 36 * width."""
    assert focal((600, 400), mm35=36) == pytest.approx(600)
    assert focal((600, 400), mm35=36, max_side=300) == pytest.approx(300)
    assert focal((400, 600), mm35=36, orientation=6) == pytest.approx(600)


def test_focal_length_by_the_sensor() -> None:
    """24 mm on a sensor of 10 px/mm are 240 px, in inches too; a picture shrunk afterwards has less."""
    assert focal((240, 160), mm=24.0, plane=10.0, unit=4) == pytest.approx(240, rel=1e-3)
    assert focal((240, 160), mm=24.0, plane=254.0, unit=2) == pytest.approx(240, rel=1e-3)
    assert focal((240, 160), mm=24.0, plane=254.0, unit=2, width=480, height=320) == pytest.approx(120, rel=1e-3)


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {"mm": 24.0},
        {"mm35": 0},
        {"mm35": 65535},
        {"mm": 24.0, "plane": 1e9, "unit": 2},
        {"mm": 0.0, "plane": 100.0},
        {"mm35": 28, "width": 600, "height": 600},
    ],
)
def test_focal_lengths_that_are_not_believed(tags: dict) -> None:
    assert focal(**tags) is None


# --- colour --------------------------------------------------------------------------------------------------------

SRGB_D50 = np.array([[0.4361, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7141]])
P3_D50 = np.array([[0.51512, 0.29198, 0.1571], [0.2412, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])


def s15(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(v * 65536)) for v in values)


def icc_profile(space: bytes, connection: bytes, kind: bytes, tags: dict[bytes, bytes]) -> bytes:
    """A version 2 ICC profile with a description, a D50 white point and the given tags."""
    text = b"Test profile\0"
    tags = {b"desc": b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(78), **tags}
    tags[b"wtpt"] = b"XYZ " + bytes(4) + s15(0.9642, 1.0, 0.8249)
    body, table, at = b"", b"", 132 + 12 * len(tags)
    for name, data in tags.items():
        data += bytes(-len(data) % 4)
        table += name + struct.pack(">II", at + len(body), len(data))
        body += data
    head = struct.pack(">I4sI4s4s4s", at + len(body), b"lcms", 0x02400000, kind, space, connection)
    head += struct.pack(">6H", 2025, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + s15(0.9642, 1.0, 0.8249)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def gamma_curve(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))


def matrix_profile(columns: np.ndarray, gamma: float) -> bytes:
    tags = {name + b"XYZ": b"XYZ " + bytes(4) + s15(*columns[:, i]) for i, name in enumerate((b"r", b"g", b"b"))}
    tags |= {name + b"TRC": gamma_curve(gamma) for name in (b"r", b"g", b"b")}
    return icc_profile(b"RGB ", b"XYZ ", b"mntr", tags)


def ink_profile() -> bytes:
    """CMYK where full cyan prints the red of sRGB, any black ink prints black, and everything else is white."""
    grid = np.zeros((2, 2, 2, 2, 3))
    grid[..., 0] = 1.0
    grid[..., 1:] = 128 / 255
    grid[1, :, :, 0] = (54.29 / 100, (80.8 + 128) / 255, (69.9 + 128) / 255)
    grid[..., 1, :] = (0, 128 / 255, 128 / 255)
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + s15(1, 0, 0, 0, 1, 0, 0, 0, 1)
    table += bytes(range(256)) * 4 + np.rint(grid * 255).astype(np.uint8).tobytes() + bytes(range(256)) * 3
    return icc_profile(b"CMYK", b"Lab ", b"prtr", {b"A2B0": table, b"A2B1": table})


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_wide_gamut_profile(kind: str) -> None:
    """Against the matrices: P3 -> XYZ -> sRGB, all in the D50 connection space."""
    capture = load(encoded(colours(), kind, icc_profile=matrix_profile(P3_D50, 2.2), **FORMATS[kind][1]))
    linear = (colours() / 255.0) ** 2.2 @ (np.linalg.inv(SRGB_D50) @ P3_D50).T
    want = linear_to_srgb(np.clip(linear, 0, 1))
    for at in ((5, 5), (5, -5), (-5, 5), (-5, -5)):
        assert np.abs(capture.photo.image[at] - want[at]).max() <= (2.5 if kind in ("PNG", "WEBP", "TIFF") else 8) / 255
    assert "Test profile" in decision(capture, "colour").note


def test_srgb_profile_changes_nothing() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    capture = load(encoded(colours(), "PNG", icc_profile=profile))
    assert np.array_equal(np.rint(capture.photo.image * 255), colours())
    assert "already" in decision(capture, "colour").note


def test_grey_profile() -> None:
    profile = icc_profile(b"GRAY", b"XYZ ", b"mntr", {b"kTRC": gamma_curve(1.0)})
    linear = np.repeat(np.arange(20, 255, 4, dtype=np.uint8)[None], 20, 0)
    image = load(encoded(linear, "PNG", icc_profile=profile)).photo.image
    assert np.abs(image[..., 0] - linear_to_srgb(linear / 255)).max() <= 2 / 255
    assert np.array_equal(image[..., 0], image[..., 2])


def test_cmyk_profile() -> None:
    for ink, colour in (((255, 0, 0, 0), (255, 0, 0)), ((0, 90, 90, 0), (255, 255, 255)), ((0, 0, 0, 255), (0, 0, 0))):
        out = io.BytesIO()
        Image.new("CMYK", (32, 32), ink).save(out, "TIFF", icc_profile=ink_profile())
        capture = load(out.getvalue())
        assert np.abs(capture.photo.image[9, 9] * 255 - colour).max() <= 12
        assert decision(capture, "colour").origin == "file"


@pytest.mark.parametrize("profile", [b"nonsense" * 40, ink_profile()])
def test_unusable_profile_is_ignored_aloud(profile: bytes) -> None:
    capture = load(encoded(colours(), "PNG", icc_profile=profile))
    assert np.array_equal(np.rint(capture.photo.image * 255), colours())
    assert "ignored" in decision(capture, "colour").note


# --- size ----------------------------------------------------------------------------------------------------------


def test_resizing_keeps_the_light() -> None:
    """Half the pixels white and half black send half the light of white, not the grey in the middle of the code."""
    checks = (np.indices((256, 256)).sum(0) % 2 * 255).astype(np.uint8)
    image = load(encoded(checks, "PNG"), LoadOptions(max_side=64)).photo.image
    assert image.shape == (64, 64, 3)
    assert np.abs(image[8:-8, 8:-8] - linear_to_srgb(np.float32(0.5))).max() < 0.004


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_resizing_alike_at_every_depth_and_without_seams(dtype: str) -> None:
    rng = np.random.default_rng(1)
    coarse = Image.fromarray(rng.integers(0, 256, (20, 16, 3), np.uint8))
    fine = np.asarray(coarse.resize((480, 600), Image.Resampling.BILINEAR))
    scaled = {"uint8": fine, "uint16": fine.astype(np.uint16) * 257, "float32": fine / np.float32(255)}[dtype]
    image = load(scaled, LoadOptions(max_side=300)).photo.image
    pairs = srgb_to_linear(fine / np.float32(255)).reshape(300, 2, 240, 2, 3).mean((1, 3))
    assert image.shape == (300, 240, 3)
    assert np.abs(image - linear_to_srgb(pairs)).max() < 0.03  # the filter is a little wider than two pixels


def test_transparent_pixels_lend_no_colour() -> None:
    rgba = np.zeros((200, 200, 4), np.uint8)
    rgba[...] = (0, 255, 0, 0)
    rgba[51:149, 51:149] = (200, 30, 30, 255)
    photo = load(rgba, LoadOptions(max_side=64)).photo
    edge = (photo.alpha > 0.05) & (photo.alpha < 0.95)
    assert edge.any()
    assert np.abs(photo.image[edge] * 255 - (200, 30, 30)).max() < 1
    assert photo.alpha.sum() * (200 / 64) ** 2 == pytest.approx(98**2, rel=0.01)


def test_large_jpeg_is_halved_by_its_decoder() -> None:
    big = Image.fromarray(colours()).resize((1000, 700), Image.Resampling.NEAREST)
    out = io.BytesIO()
    big.save(out, "JPEG", quality=95, exif=exif(mm35=36))
    capture = load(out.getvalue(), LoadOptions(max_side=520))
    assert capture.photo.size == (500, 350)
    assert capture.photo.original_size == (1000, 700)
    assert np.abs(capture.photo.image[50, 50] * 255 - (200, 40, 40)).max() <= 6
    assert capture.photo.focal_px == pytest.approx(36 / np.hypot(36, 24) * np.hypot(500, 350))


# --- what else can be given ----------------------------------------------------------------------------------------


def test_arrays_and_pictures() -> None:
    assert np.array_equal(load(colours()).photo.image, load(Image.fromarray(colours())).photo.image)
    deep = (colours().astype(np.uint16)) * 257
    assert np.allclose(load(deep).photo.image, load(colours()).photo.image, atol=1e-7)
    assert np.allclose(load(colours() / 255.0).photo.image, load(colours()).photo.image, atol=1e-7)
    assert load(colours()[..., 0]).photo.image.shape == (HEIGHT, WIDTH, 3)
    assert load(with_alpha()).photo.alpha is not None
    assert load(colours()).photo.source == "array"


def test_what_is_loaded_already_passes_through() -> None:
    capture = load(colours())
    assert load(capture) is capture
    assert load(capture.photo).photo is capture.photo


def test_the_callers_picture_stays_as_it_was() -> None:
    data = io.BytesIO(encoded(np.tile(colours(), (30, 30, 1)), "JPEG"))
    picture = Image.open(data)
    load(picture, LoadOptions(max_side=64))
    assert picture.size == (WIDTH * 30, HEIGHT * 30)


def test_a_callers_picture_that_does_not_decode() -> None:
    with pytest.raises(UnreadableError, match="cannot be decoded"):
        load(Image.open(io.BytesIO(encoded(colours(), "BMP")[:-900])))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((40, 40, 2), np.uint8),
        np.zeros((4, 40, 40, 3), np.uint8),
        np.zeros(40, np.uint8),
        np.zeros((40, 40), np.int64),
        np.full((40, 40), 7.0),
        np.full((40, 40), np.nan),
        np.zeros((0, 40, 3), np.uint8),
        np.zeros((40, 40), "U3"),
    ],
)
def test_arrays_that_are_no_pictures(array: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"^array"):
        load(array)


def test_other_types_are_a_wrong_use() -> None:
    with pytest.raises(UsageError, match="cannot load a dict"):
        load({})  # type: ignore[arg-type]


def test_wrong_suffix_is_believed_by_content(tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    path.write_bytes(encoded(colours(), "PNG"))
    capture = load(path)
    assert decision(capture, "file type").value == "PNG"
    assert decision(load(encoded(colours(), "PNG")), "file type") is None


def test_animations_give_their_first_frame() -> None:
    first, second = Image.new("RGB", (32, 32), (250, 0, 0)), Image.new("RGB", (32, 32), (0, 0, 250))
    for kind in ("GIF", "WEBP", "PNG", "TIFF", "AVIF"):
        out = io.BytesIO()
        first.save(out, kind, save_all=True, append_images=[second])
        capture = load(out.getvalue())
        assert capture.photo.image[9, 9, 0] > 0.9, kind
        assert decision(capture, "frames").value == "first"


# --- hostile files -------------------------------------------------------------------------------------------------


def png(width: int, height: int, body: bytes = b"") -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")


def with_bytes(data: bytes, marker: bytes, offset: int, new: bytes) -> bytes:
    """``data`` with ``new`` written ``offset`` bytes after the first ``marker``."""
    at = data.index(marker) + offset
    return data[:at] + new + data[at + len(new) :]


def bombs() -> dict[str, bytes]:
    heic = (Path(__file__).parent / "data" / "quadrants.heic").read_bytes()
    tiff = io.BytesIO()
    tifffile.imwrite(tiff, np.zeros((32, 32, 3), np.uint16), photometric="rgb")
    wide = {256: 40000, 257: 40000}
    deep = tiff.getvalue()
    for tag, value in wide.items():
        at = next(i for i in range(8, len(deep)) if deep[i : i + 4] == struct.pack("<HH", tag, 4))
        deep = deep[: at + 8] + struct.pack("<I", value) + deep[at + 12 :]
    return {
        "png": png(60000, 60000),
        "png_just_above": png(10001, 10000),
        "jpg": with_bytes(encoded(colours(), "JPEG"), b"\xff\xc0", 5, struct.pack(">HH", 65000, 65000)),
        "gif": with_bytes(encoded(colours(), "GIF"), b"GIF8", 6, struct.pack("<HH", 65000, 65000)),
        "bmp": with_bytes(encoded(colours(), "BMP"), b"BM", 18, struct.pack("<ii", 50000, 50000)),
        "webp": with_bytes(encoded(with_alpha(), "WEBP"), b"VP8X", 12, b"\xff\xff\x00\xff\xff\x00"),
        "heic": with_bytes(heic, b"ispe", 8, struct.pack(">II", 30000, 30000)),
        "avif": with_bytes(encoded(colours(), "AVIF"), b"ispe", 8, struct.pack(">II", 30000, 30000)),
        "tif": deep,
    }


@pytest.mark.parametrize("name", bombs())
def test_decompression_bombs_are_refused_by_their_header(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"bomb.{name[:4].strip('_')}"
    path.write_bytes(bombs()[name])
    with pytest.raises(TooLargeError if name not in ("heic", "avif") else InputError, match=r"^\S+bomb\.") as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_a_bomb_is_refused_whatever_pillow_would_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with pytest.raises(TooLargeError, match="3600 megapixels"):
        load(png(60000, 60000))


HOSTILE = [
    (b"", UnreadableError, "empty"),
    (b"Dear reader, this is a letter and no picture.\n" * 9, UnreadableError, "it is text"),
    ("Ä letter with ümlauts. ".encode() * 60, UnreadableError, "it is text"),
    (b"<!DOCTYPE html><html><body>404</body></html>", UnreadableError, "a web page"),
    (b"<svg xmlns='http://www.w3.org/2000/svg'/>", UnreadableError, "an SVG drawing"),
    (b"%PDF-1.7 ...", UnreadableError, "a PDF document"),
    (b"\0\0\0\x20ftypisom\0\0\0\0mp41" + bytes(40), UnreadableError, "a video"),
    (bytes(5000), UnreadableError, "only zero bytes"),
    (bytes(range(200, 256)) * 4, UnreadableError, "of an unknown kind"),
    (encoded(colours(), "PNG")[:120], UnreadableError, "PNG file is cut short"),
    (encoded(colours(), "JPEG")[:-300], UnreadableError, "JPEG file is cut short"),
    (encoded(colours(), "WEBP")[:-20], UnreadableError, "WebP file is cut short"),
    (encoded(colours(), "GIF")[:-20], UnreadableError, "GIF file is cut short"),
    (encoded(colours(), "BMP")[:-900], UnreadableError, "BMP file is cut short"),
    (encoded(colours(), "TIFF")[:-900], UnreadableError, "TIFF file is"),
    (encoded(colours(), "AVIF")[:-10], UnreadableError, "AVIF file is cut short"),
    (png(40, 40, bytes(9)), UnreadableError, "PNG file is"),
    (png(1, 500), InputError, "1 x 500 pixels are too few"),
    (png(15, 15), InputError, "15 x 15 pixels are too few"),
    (png(0, 9), LiftformError, "picture.jpg"),
    (encoded(np.zeros((16, 4000, 3), np.uint8), "PNG"), InputError, "too narrow"),
]


@pytest.mark.parametrize(("data", "error", "words"), HOSTILE, ids=[words for _, _, words in HOSTILE])
def test_hostile_files(data: bytes, error: type[LiftformError], words: str, tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    path.write_bytes(data)
    with pytest.raises(error, match=words) as caught:
        load(path)
    assert str(caught.value).startswith(str(path))
    assert caught.value.hint
    assert "\n" not in str(caught.value)


def test_places_without_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place, words in ((tmp_path / "none.jpg", "no such file"), (tmp_path, "a folder"), ("a\0b", "no such file")):
        with pytest.raises(InputNotFoundError, match=words):
            load(place)
    with pytest.raises(InputNotFoundError, match="does not fetch"):
        load("https://example.com/chair.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(UnreadableError, match="not a regular file"):
        load(tmp_path / "pipe.jpg")
    with pytest.raises(LiftformError):
        load("x" * 5000)
    (tmp_path / "raw.dng").write_bytes(encoded(colours(), "TIFF"))
    with pytest.raises(UnreadableError, match="raw"):
        load(tmp_path / "raw.dng")


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(encoded(colours(), "PNG"))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # root, whom tests often run as, may read everything
    with pytest.raises(UnreadableError, match="no permission"):
        load(path)


# --- fuzz ----------------------------------------------------------------------------------------------------------


def _tiff(**options: object) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, ramp("uint16", 3), photometric="rgb", **options)
    return out.getvalue()


def _float_tiff() -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, np.linspace(0, 1, 3600, dtype=np.float32).reshape(60, 60), tile=(16, 16))
    return out.getvalue()


SEEDS: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: encoded(
        colours(), "JPEG", exif=exif(orientation=6, mm35=28), icc_profile=matrix_profile(P3_D50, 2)
    ),
    "png": lambda: encoded(with_alpha(), "PNG", icc_profile=matrix_profile(P3_D50, 2)),
    "png16": lambda: encoded(ramp("uint16"), "PNG"),
    "webp": lambda: encoded(with_alpha(), "WEBP", exif=exif(orientation=3)),
    "tiff": lambda: encoded(colours(), "TIFF", compression="tiff_lzw"),
    "tiff16": lambda: _tiff(),
    "tiff16z": lambda: _tiff(compression="zlib", predictor=True),
    "tiff32f": _float_tiff,
    "bmp": lambda: encoded(colours(), "BMP"),
    "gif": lambda: encoded(colours(), "GIF"),
    "avif": lambda: encoded(colours(), "AVIF"),
    "heic": lambda: (Path(__file__).parent / "data" / "quadrants_turned.heic").read_bytes(),
    "cmyk": lambda: _cmyk(),
}


def _cmyk() -> bytes:
    out = io.BytesIO()
    Image.new("CMYK", (32, 32), (9, 90, 30, 5)).save(out, "JPEG", icc_profile=ink_profile())
    return out.getvalue()


@pytest.fixture(scope="module", params=SEEDS)
def seed_file(request: pytest.FixtureRequest) -> bytes:
    return SEEDS[request.param]()


def damaged(data: bytes, cut: float, flips: list[tuple[float, int]]) -> bytes:
    """The first ``cut`` of ``data``, with a byte changed at each place of ``flips``, places near the head first."""
    changed = bytearray(data[: max(1, round(len(data) * cut))])
    for place, value in flips:
        changed[int(place**3 * (len(changed) - 1))] ^= value
    return bytes(changed)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(
    cut=st.one_of(st.just(1.0), st.floats(0, 1)),
    flips=st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), max_size=6),
)
def test_damaged_files_never_crash(seed_file: bytes, cut: float, flips: list[tuple[float, int]]) -> None:
    with warnings.catch_warnings(), contextlib.suppress(LiftformError):
        warnings.simplefilter("error")
        photo = load(damaged(seed_file, cut, flips)).photo
        assert np.isfinite(photo.image).all()
        assert photo.image.min() >= 0
        assert photo.image.max() <= 1
