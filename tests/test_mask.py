"""understand/mask: where the mask comes from, which object is chosen, and how true its edge and colours are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from liftform.capture import Capture
from liftform.conventions import linear_to_srgb, srgb_to_linear
from liftform.errors import InputError, LiftformError, NothingFoundError, UsageError
from liftform.load import LoadOptions, load
from liftform.recipe import build
from liftform.runtime import Runtime
from liftform.understand.component import chosen_component
from liftform.understand.foreground import _by_colour
from liftform.understand.mask import MaskOptions, estimator, mask
from liftform.zoo import weights

RED, GREEN = np.float32([0.8, 0.1, 0.1]), np.float32([0.1, 0.5, 0.2])


def disc(size: int, x: float, y: float, radius: float, soft: float = 1.0) -> np.ndarray:
    """Alpha (size, size) of a disc; centre and radius as shares of the side, its edge ``soft`` pixels wide."""
    rows, columns = np.mgrid[:size, :size] + 0.5
    distance = radius * size - np.hypot(columns - x * size, rows - y * size)
    return np.clip(distance / soft + 0.5, 0, 1).astype(np.float32)


def over(alpha: np.ndarray, fore: np.ndarray = RED, back: np.ndarray = GREEN, noise: float = 0.02) -> np.ndarray:
    """The sRGB picture of a foreground over a background, mixed in linear light, with a little texture."""
    a = alpha[..., None]
    mixed = linear_to_srgb(a * srgb_to_linear(fore) + (1 - a) * srgb_to_linear(back))
    texture = np.random.default_rng(0).normal(0, noise, mixed.shape)
    return np.clip(mixed + texture, 0, 1).astype(np.float32)


def coarse(alpha: np.ndarray, side: int = 64) -> np.ndarray:
    """What a network of ``side`` pixels would say of ``alpha``."""
    return np.asarray(Image.fromarray(alpha).resize((side, side), Image.Resampling.BICUBIC)).clip(0, 1)


def found(image: np.ndarray, probability: np.ndarray, **options: object) -> Capture:
    """The capture after the estimator, with ``probability`` in the network's place."""
    return estimator(MaskOptions(**options), Runtime(), lambda *_: np.asarray(probability, np.float32))(load(image))


def never(*_: object) -> np.ndarray:
    raise AssertionError("the network was asked although the mask was known")


# --- the edge ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [128, 512, 1024])
def test_the_edge_follows_the_photo(size: int) -> None:
    truth = disc(size, 0.5, 0.45, 0.3)
    photo = found(over(truth), coarse(truth)).photo
    error = np.abs(photo.mask.alpha - truth)
    blocky = np.abs(np.asarray(Image.fromarray(coarse(truth)).resize((size, size), Image.Resampling.BILINEAR)) - truth)
    solid, wanted = photo.mask.alpha > 0.5, truth > 0.5
    assert photo.mask.alpha.shape == (size, size)
    assert photo.mask.alpha.dtype == np.float32
    assert (solid & wanted).sum() / (solid | wanted).sum() > 0.99
    assert error.sum() < 0.5 * blocky.sum()
    assert photo.mask.alpha[0, 0] == 0
    assert photo.mask.alpha[size // 2, size // 2] == 1


def test_the_edge_takes_on_the_objects_colour() -> None:
    truth = disc(512, 0.5, 0.5, 0.3, soft=8)
    capture = load(over(truth, noise=0.0))
    path_free = estimator(MaskOptions(), Runtime(), never)
    photo = replace(capture.photo, alpha=truth)
    assert path_free(Capture((photo,))).photo.mask.foreground is photo.image  # straight alpha needs no cleaning

    from liftform.understand import matting

    cleaned = matting.decontaminated(photo.image, matting.reduced(photo.image), truth)
    edge = (truth > 0.2) & (truth < 1)
    assert np.abs(cleaned[edge] - RED).mean() < 0.2 * np.abs(photo.image[edge] - RED).mean()
    assert np.array_equal(cleaned[truth == 1], photo.image[truth == 1])


def test_constant_picture_keeps_the_coarse_shape() -> None:
    """Without any edge in the photo the filter must not invent one."""
    truth = disc(256, 0.5, 0.5, 0.3)
    grey = np.full((256, 256, 3), 0.5, np.float32)
    alpha = found(grey, coarse(truth)).photo.mask.alpha
    assert ((alpha > 0.5) == (truth > 0.5)).mean() > 0.99


# --- which object --------------------------------------------------------------------------------------------------


def test_the_salient_object_is_chosen_and_pick_takes_the_other() -> None:
    """A smaller disc in the middle beats a slightly larger one in the corner."""
    middle, corner = disc(200, 0.5, 0.5, 0.15), disc(200, 0.83, 0.17, 0.16)
    both = np.maximum(middle, corner)
    chosen = found(over(both), coarse(both, 100)).photo.mask.alpha
    assert chosen[100, 100] == 1
    assert chosen[34, 166] == 0
    picked = found(over(both), coarse(both, 100), pick=(166.0, 34.0)).photo.mask.alpha
    assert picked[34, 166] == 1
    assert picked[100, 100] == 0


def test_pick_is_in_pixels_of_the_original() -> None:
    left, right = disc(800, 0.25, 0.5, 0.15), disc(800, 0.75, 0.5, 0.15)
    capture = load(over(np.maximum(left, right)), LoadOptions(max_side=200))
    predict = lambda *_: coarse(np.maximum(left, right))  # noqa: E731
    alpha = estimator(MaskOptions(pick=(600.0, 400.0)), Runtime(), predict)(capture).photo.mask.alpha
    assert alpha.shape == (200, 200)
    assert alpha[100, 150] == 1
    assert alpha[100, 50] == 0


def test_parts_that_nearly_touch_are_one_object_and_crumbs_go() -> None:
    probability = np.zeros((100, 100), np.float32)
    probability[30:70, 30:49] = 1
    probability[30:70, 50:70] = 1  # one column away: the stem of a lamp that the network missed
    probability[71, 50] = 1  # a crumb close by
    probability[5:8, 5:8] = 1  # a crumb far off
    alone, _ = chosen_component(probability, None, "test", "")
    assert alone[50, 40] == alone[50, 60] == 1
    assert alone[6, 6] == 0
    assert alone[71, 50] == 0


def test_pinholes_are_filled_and_handles_stay_open() -> None:
    probability = np.zeros((100, 100), np.float32)
    probability[20:80, 20:80] = 1
    probability[30, 30] = 0
    probability[50:65, 50:65] = 0
    probability[40:48, 25:33] = 0.45  # the network did not believe in this hole either
    alone, _ = chosen_component(probability, None, "test", "")
    assert alone[30, 30] == 1
    assert alone[44, 29] == 1
    assert alone[57, 57] == 0


def test_confidence_falls_with_doubt() -> None:
    truth = disc(100, 0.5, 0.5, 0.3)
    sure = found(over(truth), coarse(truth, 100))
    doubtful = found(over(truth), 0.5 + (coarse(truth, 100) - 0.45) * 0.2)
    assert sure.photo.mask.confidence > 0.85
    assert doubtful.photo.mask.confidence < 0.5
    assert "uncertain" in doubtful.decisions[-1].note
    assert "uncertain" not in sure.decisions[-1].note


def test_a_faint_but_only_object_is_still_found() -> None:
    truth = disc(200, 0.5, 0.5, 0.3)
    capture = found(over(truth), coarse(truth, 100) * 0.4)
    assert ((capture.photo.mask.alpha > 0.5) == (truth > 0.5)).mean() > 0.98
    assert capture.photo.mask.confidence < 0.5


def test_cropped_objects_are_noted() -> None:
    truth = disc(200, 0.5, 0.95, 0.3)
    decision = found(over(truth), coarse(truth, 100)).decisions[-1]
    assert decision.value["touches"] == ["bottom"]
    assert "cut off at the bottom" in decision.note
    assert decision.origin == "estimated"


# --- nothing -------------------------------------------------------------------------------------------------------


def test_nothing_found_says_what_to_do() -> None:
    grey = np.full((64, 64, 3), 0.5, np.float32)
    for probability in (np.zeros((50, 50)), np.full((50, 50), 0.2), np.eye(50) * (np.arange(50) == 3)):
        with pytest.raises(NothingFoundError, match=r"^array: no object.*--mask .*--pick"):
            found(grey, probability)
    with pytest.raises(NothingFoundError, match="under the picked pixel"):
        found(grey, disc(50, 0.5, 0.5, 0.2), pick=(2.0, 2.0))
    with pytest.raises(NothingFoundError, match="fully transparent"):
        estimator(MaskOptions(), Runtime(), never)(load(np.zeros((64, 64, 4), np.uint8)))


@pytest.mark.parametrize("pick", [(-1.0, 5.0), (64.0, 5.0), (5.0, 1e9)])
def test_a_pick_outside_is_a_wrong_use(pick: tuple[float, float]) -> None:
    with pytest.raises(UsageError, match=r"outside the picture .*64 x 64"):
        found(np.full((64, 64, 3), 0.5, np.float32), disc(50, 0.5, 0.5, 0.2), pick=pick)


# --- given masks ---------------------------------------------------------------------------------------------------


def test_the_files_alpha_is_taken_as_it_is() -> None:
    truth = np.maximum(disc(128, 0.3, 0.5, 0.15), disc(128, 0.7, 0.5, 0.15))
    rgba = np.concatenate([over(truth), truth[..., None]], 2)
    capture = estimator(MaskOptions(), Runtime(), never)(load(rgba))
    assert np.abs(capture.photo.mask.alpha - truth).max() <= 0.02
    assert capture.photo.mask.confidence == 1
    assert capture.decisions[-1].origin == "file"
    one = estimator(MaskOptions(pick=(90.0, 64.0)), Runtime(), never)(load(rgba)).photo.mask.alpha
    assert one[64, 90] == 1
    assert one[64, 38] == 0


@pytest.mark.parametrize("kind", ["grey", "alpha", "small", "sixteen"])
def test_a_mask_file_wins(kind: str, tmp_path: Path) -> None:
    truth = disc(256, 0.4, 0.5, 0.2)
    stored = np.rint(truth * 255).astype(np.uint8)
    path = tmp_path / "mask.png"
    {
        "grey": lambda: Image.fromarray(stored),
        "alpha": lambda: Image.fromarray(np.dstack([np.zeros((256, 256, 3), np.uint8), stored])),
        "small": lambda: Image.fromarray(stored).resize((128, 128)),
        "sixteen": lambda: Image.fromarray(stored.astype(np.uint16) * 257),
    }[kind]().save(path)
    rgba = np.concatenate([over(truth), disc(256, 0.7, 0.7, 0.1)[..., None]], 2)
    capture = estimator(MaskOptions(path=path), Runtime(), never)(load(rgba))
    assert np.abs(capture.photo.mask.alpha - truth).max() < (0.5 if kind == "small" else 0.03)
    assert ((capture.photo.mask.alpha > 0.5) == (truth > 0.5)).mean() > 0.999
    assert capture.decisions[-1].origin == "given"


def test_mask_files_that_do_not_fit(tmp_path: Path) -> None:
    picture = load(np.full((64, 96, 3), 0.5, np.float32))

    def error(name: str) -> LiftformError:
        with pytest.raises(LiftformError) as caught:
            estimator(MaskOptions(path=tmp_path / name), Runtime(), never)(picture)
        assert str(tmp_path / name) in str(caught.value)
        return caught.value

    Image.new("L", (64, 64), 255).save(tmp_path / "square.png")
    Image.new("L", (96, 64), 0).save(tmp_path / "black.png")
    (tmp_path / "text.png").write_text("no mask")
    assert isinstance(error("square.png"), InputError)
    assert isinstance(error("black.png"), NothingFoundError)
    assert isinstance(error("text.png"), InputError)
    assert isinstance(error("none.png"), InputError)


def test_options_from_plain_values() -> None:
    options = build(MaskOptions, {"path": "m.png", "pick": [3, 4]}, "mask")
    assert options == MaskOptions(Path("m.png"), (3.0, 4.0))


# --- the network ---------------------------------------------------------------------------------------------------


@pytest.fixture
def brightness(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """In place of the embedded network, one that answers how red each pixel is; the list holds what it was asked."""
    asked: list[np.ndarray] = []

    def run(outputs: list[str], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        assert outputs == ["logits"]
        asked.append(inputs["image"])
        return [(inputs["image"][:, :1] - 0.65) * 60]

    fake = SimpleNamespace(run=run, get_inputs=lambda: [SimpleNamespace(shape=[1, 3, 96, 96])])
    monkeypatch.setattr(weights, "session", lambda name, threads: fake if name == "mask" else None)
    return asked


@pytest.mark.parametrize("turn", [lambda a: a, lambda a: a.swapaxes(0, 1)], ids=["wide", "high"])
def test_the_network_sees_the_picture_stretched_mirrored_and_closer(
    brightness: list[np.ndarray], turn: Callable
) -> None:
    truth = np.zeros((128, 256), np.float32)
    truth[20:90, 150:220] = 1
    image = np.ascontiguousarray(turn(over(truth)))
    capture = mask(MaskOptions(), Runtime())(load(image))
    assert all(asked.shape == (1, 3, 96, 96) and asked.dtype == np.float32 for asked in brightness)
    whole, mirrored, closer = ((asked[0, 0] > 0.65) for asked in brightness)
    assert whole.mean() == pytest.approx((turn(truth) > 0.5).mean(), rel=0.1)
    assert (mirrored[:, ::-1] == whole).mean() > 0.98
    assert closer.mean() > 2 * whole.mean()
    solid, wanted = capture.photo.mask.alpha > 0.5, turn(truth) > 0.5
    assert (solid & wanted).sum() / (solid | wanted).sum() > 0.97


def test_what_fills_the_picture_is_looked_at_twice_only(brightness: list[np.ndarray]) -> None:
    mask(MaskOptions(), Runtime())(load(over(disc(160, 0.5, 0.5, 0.45))))
    assert len(brightness) == 2


def test_the_closer_look_follows_the_pick(brightness: list[np.ndarray]) -> None:
    left, right = disc(160, 0.2, 0.5, 0.1), disc(160, 0.75, 0.5, 0.2)
    mask(MaskOptions(pick=(32.0, 80.0)), Runtime())(load(over(np.maximum(left, right))))
    assert (brightness[2][0, 0] > 0.65).mean() == pytest.approx(np.pi / 4 / 1.5**2, rel=0.15)


def test_colours_of_the_object_mend_what_the_network_missed() -> None:
    """The network saw half of a red disc surely and doubts the rest: its colour says that it is one disc."""
    truth = disc(96, 0.5, 0.5, 0.35)
    logits = np.where(truth > 0.5, 5.0, -5.0).astype(np.float32)
    logits[48:][truth[48:] > 0.5] = -0.8
    mended = _by_colour(over(truth), logits)
    assert ((mended > 0.5) == (truth > 0.5)).mean() > 0.98
    assert ((logits > 0) == (truth > 0.5)).mean() < 0.9


def test_same_picture_same_mask(brightness: list[np.ndarray]) -> None:
    image = over(disc(160, 0.5, 0.5, 0.3))
    first, second = (mask(MaskOptions(), Runtime())(load(image)).photo.mask for _ in range(2))
    assert np.array_equal(first.alpha, second.alpha)
    assert np.array_equal(first.foreground, second.foreground)


def test_progress_is_told(brightness: list[np.ndarray]) -> None:
    heard: list[tuple[str, float]] = []
    runtime = Runtime(progress=lambda stage, fraction: heard.append((stage, fraction)))
    mask(MaskOptions(), runtime)(load(over(disc(64, 0.5, 0.5, 0.3))))
    assert heard[0] == ("mask", 0.0)
    assert heard[-1] == ("mask", 1.0)
