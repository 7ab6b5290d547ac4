"""The final place: on the floor, centred, of the asked height; and the matrix that says how it got there."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic import box

from liftform.errors import UsageError
from liftform.recipe import build
from liftform.refine.scale import ResizeOptions, ScaleOptions, resize, scale
from liftform.refine.typical import TABLE, typical
from liftform.runtime import Runtime

MESH = box((0.2, 0.5, 0.3), centre=(0.1, -0.2, 0.4))


def test_without_a_height_the_longest_side_is_one_unit() -> None:
    mesh = scale(ScaleOptions(), Runtime())(MESH)
    assert np.allclose(mesh.bounds, [[-0.2, 0, -0.3], [0.2, 1, 0.3]], atol=1e-6)
    assert mesh.metadata["scale"]["unit"] == "unknown"
    assert np.allclose(mesh.metadata["scale"]["size"], [0.4, 1, 0.6])


def test_with_a_height_it_is_in_metres() -> None:
    mesh = scale(ScaleOptions(0.45), Runtime())(MESH)
    assert np.ptp(mesh.vertices[:, 1]) == pytest.approx(0.45)
    assert mesh.vertices[:, 1].min() == 0
    assert mesh.metadata["scale"]["unit"] == "metre"


def test_the_matrix_moves_the_same_way() -> None:
    mesh = scale(ScaleOptions(2.0), Runtime())(MESH)
    m = np.array(mesh.metadata["asset_from_view"])
    assert np.allclose(MESH.vertices @ m[:3, :3].T + m[:3, 3], mesh.vertices, atol=1e-6)


def test_doubled_vertices_stay_together() -> None:
    doubled = MESH.with_(vertices=np.concatenate([MESH.vertices, MESH.vertices]))
    moved = scale(ScaleOptions(1.7), Runtime())(doubled).vertices
    assert np.array_equal(moved[:8], moved[8:])


@pytest.mark.parametrize("height", [0, -1.0, float("nan")])
def test_a_height_must_be_positive(height: float) -> None:
    with pytest.raises(UsageError):
        build(ScaleOptions, {"height_m": height}, "scale")


def test_width_and_longest_decide_too() -> None:
    assert scale(ScaleOptions(width_m=0.4), Runtime())(MESH).metadata["scale"]["factor"] == pytest.approx(2)
    longest = scale(ScaleOptions(longest_m=0.4), Runtime())(MESH)
    assert np.ptp(longest.vertices[:, 1]) == pytest.approx(0.4)
    assert longest.metadata["scale"]["from"] == "given longest side"


def test_several_sizes_must_agree() -> None:
    agreed = scale(ScaleOptions(height_m=1.0, width_m=0.4), Runtime())(MESH)
    assert agreed.metadata["scale"]["from"] == "given height and width"
    with pytest.raises(UsageError, match=r"--height 1 m and --width 80 cm do not agree: .* width 40 cm"):
        scale(ScaleOptions(height_m=1.0, width_m=0.8), Runtime())(MESH)
    with pytest.raises(UsageError, match="flat"):
        scale(ScaleOptions(height_m=1.0), Runtime())(MESH.with_(vertices=MESH.vertices * np.float32([1, 0, 1])))


def test_a_usual_size_is_a_guess_and_yields_to_a_given_one() -> None:
    guess = scale(ScaleOptions(like="Chairs"), Runtime())(MESH)
    assert guess.metadata["scale"]["unit"] == "guessed metre"
    assert guess.metadata["scale"]["from"] == "category guess: chair"
    assert np.ptp(guess.vertices[:, 1]) == pytest.approx(TABLE["chair"].size_m)
    given = scale(ScaleOptions(height_m=45.0, like="chair"), Runtime())(MESH).metadata["scale"]
    assert given["unit"] == "metre"
    assert "far from usual" in given["note"]
    with pytest.raises(UsageError, match="did you mean 'chair'"):
        scale(ScaleOptions(like="chiar"), Runtime())


def test_a_reference_beats_a_guess_and_yields_to_a_given_size() -> None:
    marked = MESH.with_(metadata={"reference": {"kind": "card", "factor": 0.3, "error": 0.02}})
    measured = scale(ScaleOptions(like="chair"), Runtime())(marked).metadata["scale"]
    assert (measured["unit"], measured["from"], measured["error"]) == ("metre", "card", 0.02)
    given = scale(ScaleOptions(height_m=0.6), Runtime())(marked).metadata["scale"]
    assert given["from"] == "given height"
    assert "the card in the picture says 0.25 times that" in given["note"]


class TestResize:
    """Meshes from files: nothing happens unless it was asked for."""

    def test_untouched(self) -> None:
        assert resize(ResizeOptions(), Runtime())(MESH) is MESH

    def test_the_files_unit(self) -> None:
        mesh = resize(ResizeOptions(unit="mm"), Runtime())(MESH)
        assert np.allclose(mesh.vertices, MESH.vertices / 1000, rtol=1e-6)
        assert (mesh.metadata["scale"]["unit"], mesh.metadata["scale"]["from"]) == ("metre", "given unit")
        read = MESH.with_(metadata={"file": {"format": "STL"}, "scale": {"unit": "unknown", "factor": 0.001}})
        again = resize(ResizeOptions(unit="cm"), Runtime())(read)  # its reader took the figures for millimetres
        assert np.allclose(again.vertices, MESH.vertices * 10, rtol=1e-6)
        with pytest.raises(UsageError, match="unknown unit 'xx'"):
            resize(ResizeOptions(unit="xx"), Runtime())

    def test_our_own_files_keep_their_unit(self) -> None:
        again = resize(ResizeOptions(like="chair"), Runtime())(scale(ScaleOptions(0.45), Runtime())(MESH))
        assert again.metadata["scale"]["from"] == "file"
        assert np.ptp(again.vertices[:, 1]) == pytest.approx(0.45)

    def test_a_format_that_counts_in_metres_proves_nothing(self) -> None:
        gltf = MESH.with_(metadata={"file": {"format": "glTF"}, "scale": {"unit": "metre"}})
        assert resize(ResizeOptions(like="chair"), Runtime())(gltf).metadata["scale"]["unit"] == "guessed metre"

    def test_a_given_size(self) -> None:
        mesh = resize(ResizeOptions(longest_m=3.0), Runtime())(MESH)
        assert np.ptp(mesh.vertices[:, 1]) == pytest.approx(3.0)


def test_every_usual_size_is_plausible() -> None:
    assert len(TABLE) >= 80
    assert all(0.05 < row.size_m < 40 and 0 < row.spread < 1 for row in TABLE.values())
    assert {typical(word).name for word in ("couch", "Office-Chair", "glasses", "boxes")} == {
        "sofa",
        "chair",
        "cup",
        "box",
    }
