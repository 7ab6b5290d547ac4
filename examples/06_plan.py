"""A floor plan as a building: walls, doors and windows at true size, furnished; a drawing and IFC of the same plan."""

import json
from pathlib import Path

import liftform

source = Path(__file__).parent / "plans" / "cabin.json"  # or a drawing: "flat.pdf", "scan.png", "flat.dxf"
home = liftform.plan(source, furnish=True, seed=2)
home.save("cabin.glb", "cabin.svg")  # and cabin.plan.json to edit, its report, a picture

for room in home.to_dict()["rooms"]:
    print(f"{room['label']}: {room['area_m2']} m²")

edited = json.loads(Path("cabin.plan.json").read_text(encoding="utf-8"))
edited["storey"]["height"] = 3.0
Path("cabin_high.plan.json").write_text(json.dumps(edited), encoding="utf-8")
liftform.plan("cabin_high.plan.json", ceilings=True).save("cabin_high.glb")
