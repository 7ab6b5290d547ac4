"""A mesh from elsewhere (here one with a hole torn into it): mended, reduced, its detail kept in maps, for a game."""

from pathlib import Path

import numpy as np

import liftform

whole = liftform.make(Path(__file__).parent / "pictures" / "sofa.png", faces=8000, texture_size=512).mesh
hole = np.linalg.norm(whole.vertices[whole.faces].mean(1) - whole.bounds[1], axis=1) < 0.2  # around a corner
liftform.save(whole.with_(faces=whole.faces[~hole]), "sofa_torn.glb")

result = liftform.fix(
    "sofa_torn.glb",
    faces=2000,
    normal_map=True,
    ao=True,
    texture_size=512,
    lod="800,300",
    collision="hulls",
    longest="2.1m",
)
result.save("sofa_fixed.glb", html=True)  # and its report, a picture of before and after, sofa_fixed_collision.glb
print(f"watertight: {result.measures_before.health.watertight} -> {result.measures.health.watertight}")
print(f"maps: {', '.join(result.mesh.material.textures)}; levels: {[len(mesh.faces) for mesh in result.model.levels]}")
