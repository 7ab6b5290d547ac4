"""A round trip through Blender: what it finds in our files, and what comes back from it. Skipped without bpy.

bpy is GPL and no dependency: it runs in a process of its own, by this Python or by the one that BPY_PYTHON names.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from synthetic import family

from liftform.export import ExportOptions, save
from liftform.read_mesh import read_mesh
from liftform.topology import health

SCRIPT = """
import json, sys
import bpy
source, target = sys.argv[1:]
bpy.ops.wm.read_factory_settings(use_empty=True)
kind = source.rsplit(".", 1)[1]
importers = {"glb": bpy.ops.import_scene.gltf, "obj": bpy.ops.wm.obj_import, "ply": bpy.ops.wm.ply_import}
importers |= {"stl": bpy.ops.wm.stl_import, "usda": bpy.ops.wm.usd_import, "usdz": bpy.ops.wm.usd_import}
importers[kind](filepath=source)
meshes = [thing for thing in bpy.data.objects if thing.type == "MESH"]
found = {thing.name: [len(thing.data.polygons), sum(len(p.vertices) == 4 for p in thing.data.polygons),
         [m.name for m in thing.data.materials if m], list(thing.dimensions)] for thing in meshes}
bpy.ops.export_scene.gltf(filepath=target)
print("FOUND " + json.dumps([found, sorted(image.name for image in bpy.data.images)]))
"""


@pytest.fixture(scope="module")
def python():
    found = sys.executable if find_spec("bpy") else os.environ.get("BPY_PYTHON")
    if not found:
        pytest.skip("Blender is not here: pip install bpy, or set BPY_PYTHON to a Python that has it")
    return found


@pytest.mark.parametrize(
    "kind", ["plain.glb", "quantise.glb", "draco.glb", "a.obj", "a.ply", "a.stl", "a.usda", "a.usdz"]
)
def test_there_and_back(tmp_path, python, kind):
    if "usd" in kind:
        pytest.importorskip("pxr", reason="usd-core is not installed")
    compress = kind[:-4] if kind in ("quantise.glb", "draco.glb") else "none"
    if compress == "draco":
        pytest.importorskip("DracoPy", reason="DracoPy is not installed")
    source = save(family(), tmp_path / kind, ExportOptions(compress=compress))[0]
    command = [python, "-c", SCRIPT, str(source), str(tmp_path / "back.glb")]
    run = subprocess.run(command, capture_output=True, text=True)
    told = next((line[6:] for line in run.stdout.splitlines() if line.startswith("FOUND ")), None)
    assert told is not None, run.stdout + run.stderr
    found, images = json.loads(told)
    polygons, quads, materials, size = next(iter(found.values()))
    true_quads = kind.split(".")[1] in ("obj", "ply", "usda", "usdz")
    assert (polygons, quads) == ((6, 6) if true_quads else (12, 0))
    assert size == pytest.approx([1, 1, 1], abs=1e-4)
    if kind not in ("a.ply", "a.stl"):
        assert [name.replace("_", " ") for name in materials] == ["skin", "red paint"]
        assert sum("normal" in name or "color" in name for name in images) >= 2
    back = read_mesh(tmp_path / "back.glb", flatten=False)
    assert health(back).volume == pytest.approx(2 if "glb" in kind else 1, rel=1e-3)  # it shows all levels of detail
    if kind == "plain.glb":
        assert {"box", "box_LOD1"} == set(found)
        skin = next(material for material in back.materials if material.name == "skin")
        assert np.array_equal(skin.roughness_texture, family().mesh.materials[0].roughness_texture)
