"""A recipe file decides once what all the furniture of a scene shall be like; single options still win over it."""

from pathlib import Path

from liftform import Recipe, make

here = Path(__file__).parent
recipe = Recipe.from_toml(here / "03_recipe.toml")
result = make(here / "pictures" / "sofa.png", recipe, faces=3000)
result.save("sofa_small.glb")
print(f"recipe {recipe.digest}: {result.report.health.faces} faces, {result.mesh.bounds[1, 1]:.2f} m high")
