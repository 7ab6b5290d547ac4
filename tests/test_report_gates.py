"""Verdicts: every use, level and cure from figures; the page of limits; inspect's exit codes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import synthetic

from liftform import errors, save
from liftform.assets import Material, Model
from liftform.cli import main
from liftform.report import judge, measure
from liftform.report.gates import LEVELS, chosen, page
from liftform.report.limits import LIMITS, SOURCES, USES
from liftform.report.measures import FIGURES

DOCS = Path(__file__).parents[1] / "docs" / "gates.md"


def verdicts(mesh, **known):
    return {verdict.use: verdict for verdict in judge(measure(mesh, **known))}


@pytest.fixture
def cube():
    """A box as a shop wants it: quads, stated size, all maps, on the floor."""
    box = synthetic.textured_box(512)
    texture, grey = np.full((2048, 2048, 3), 200, np.uint8), np.full((64, 64), 128, np.uint8)
    normal = np.full((64, 64, 3), 128, np.uint8)
    material = Material(texture, roughness_texture=grey, normal_texture=normal)
    vertices = box.vertices + np.float32([0, 0.5, 0])
    side, corner = np.arange(24) // 4, np.arange(24) % 4
    uv = np.stack([side % 3 + np.isin(corner, (1, 2)), side // 3 + (corner > 1)], 1) / np.float32([3, 2])
    metadata = {"scale": {"unit": "metre", "from": "given height"}}
    return box.with_(
        vertices=vertices, uv=uv.astype(np.float32), material=material, quads=6, seen=None, metadata=metadata
    )


def test_the_table_is_whole():
    keys = {use.key for use in USES}
    for limit in LIMITS:
        assert limit.use in keys
        assert limit.figure in FIGURES
        assert limit.source in SOURCES
        assert limit.care is not None or limit.refuse is not None
        limit.says.format(value="", limit="")
        if limit.care is not None and limit.refuse is not None:
            assert limit.refuse <= limit.care if limit.below else limit.refuse >= limit.care, limit
    assert keys - {"backdrop"} == {limit.use for limit in LIMITS}  # a backdrop is always fit


def test_docs_hold_the_table():
    """Draw it again with: liftform inspect --limits."""
    assert page() in DOCS.read_text(encoding="utf-8")


def test_a_good_cube_passes_what_can_be_passed(cube):
    model = Model(cube, (cube,))
    found = {verdict.use: verdict for verdict in judge(measure(model))}
    for use in ("concept", "web", "AR", "e-commerce", "game background", "game", "3D print"):
        assert (found[use].fit, found[use].by, found[use].why) == ("yes", "as it is", ""), found[use]
    assert found["animation"].fit == "with care"
    assert found["animation"].by == "finished by hand"
    assert (found["manufacturing"].fit, found["manufacturing"].by) == ("no", "by hand")


def test_every_reason_carries_its_figure(cube):
    opened = synthetic.box().with_(faces=synthetic.box().faces[:-1])
    printing = verdicts(opened)["3D print"]
    assert (printing.fit, printing.by) == ("no", "after fixing")
    first = printing.reasons[0]
    assert (first.level, first.figure, first.value, first.limit, first.cure) == ("no", "open_edges", 3, 0, "tool")
    assert "3 open edges" in printing.why
    assert any(reason.figure == "size_known" for reason in printing.reasons)


@pytest.mark.parametrize(
    ("changes", "use", "level", "words"),
    [
        ({"file_bytes": 4_000_000}, "web", "with care", "4 MB"),
        ({"file_bytes": 4_000_000}, "AR", "yes", ""),
        ({"file_bytes": 60_000_000}, "e-commerce", "no", "60 MB"),
        ({"scale": "guess"}, "AR", "with care", "real size guessed: give a height"),
        ({"scale": "unknown", "metres": None}, "e-commerce", "no", "real size unknown"),
        ({"scale": "unknown", "metres": None}, "game", "with care", "texels a metre unknown"),
        ({"levels": 1}, "game", "with care", "levels of detail"),
        ({"metres": 0.001}, "AR", "with care", "1 mm long"),
        ({"picture": True, "seen": 0.6}, "e-commerce", "no", "40% of the surface was invented"),
        ({"picture": True, "seen": 0.6}, "close-up", "with care", "from one picture"),
    ],
)
def test_one_figure_decides(cube, changes, use, level, words):
    found = {verdict.use: verdict for verdict in judge(replace(measure(Model(cube, (cube,))), **changes))}
    assert found[use].fit == level
    assert words in found[use].why


def test_thin_walls_in_millimetres(cube):
    small = cube.with_(vertices=cube.vertices * np.float32([0.0005, 1, 1]))
    thin = verdicts(small)["3D print"]
    assert "walls below 0.8 mm" in thin.why
    assert thin.fit == "no"


def test_scenes_are_judged_as_scenes():
    sheet = synthetic.textured_box().with_(metadata={"kind": "scene"})
    found = verdicts(sheet)
    assert set(found) == {use.title for use in USES if "scene" in use.kinds}
    assert found["printing"].fit == found["seen from behind"].fit == "no"


def test_uses_are_named_leniently_and_never_guessed():
    assert [use.key for use in chosen(["3D Print", "e-Commerce", "print", "AR"])] == ["print", "e-commerce", "ar"]
    with pytest.raises(errors.UsageError, match="print"):
        chosen(["prnt"])


def test_inspect_tells_judges_and_checks(cube, tmp_path, capsys):
    save(cube, tmp_path / "[bold] cube.glb")
    broken = synthetic.box().with_(faces=synthetic.box().faces[:-1])
    save(broken, tmp_path / "broken.stl")
    good, bad, missing = tmp_path / "[bold] cube.glb", tmp_path / "broken.stl", tmp_path / "none.glb"
    assert main(["inspect", str(good), str(bad), "--for", "print,web"]) == 0
    told = capsys.readouterr().out
    assert "[bold] cube.glb" in told
    assert "NOT watertight" in told
    assert "close the holes" in told
    assert main(["inspect", str(missing), str(good), "--json", "--unit", "cm"]) == 3
    out, err = capsys.readouterr()
    facts = json.loads(out)
    assert facts["measures"]["extent"] == [0.01, 0.01, 0.01]
    assert {row["use"]: row["fit"] for row in facts["fitness"]}["manufacturing"] == "no"
    assert set(LEVELS) >= {row["fit"] for row in facts["fitness"]}
    assert err.count("\n") == 1
    assert main(["inspect", "-q", str(bad), "--for", "print", "--check"]) == 9
    assert main(["inspect", "-q", str(bad), "--for", "concept", "--check"]) == 0
    assert main(["inspect"]) == main(["inspect", str(bad), "--unit", "parsec"]) == 2
    capsys.readouterr()
    assert main(["inspect", "--limits"]) == 0
    assert capsys.readouterr().out == page()
