"""One picture in, one asset out, with its report and preview beside it."""

from pathlib import Path

import liftform

picture = Path(__file__).parent / "pictures" / "sofa.jpg"
result = liftform.make(picture, height=0.80)
for path in result.save("sofa.glb"):
    print(path)
print(f"{result.report.health.faces} faces, {result.report.seen:.0%} of the surface was seen")
