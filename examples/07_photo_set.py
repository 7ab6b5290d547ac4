"""A photo set as a textured mesh: measured, not guessed; the report says by what method, why, and what is sure."""

from pathlib import Path

import liftform

photos = Path(__file__).parent / "photos"  # or a film, a zip archive, "photos/*.jpg"
found = liftform.make(photos, faces=20_000, method="stereo", height="75cm")
found.save("pot.glb", points=True)  # and pot.points.ply, its report, and the photos beside the asset

facts = found.report.to_dict()["pictures"]
print(f"{facts['used']} of {facts['pictures']} pictures, by {found.method}: {facts['why']}")
print(f"{facts['seen_by']['2']:.0%} of the surface is seen by two pictures or more")
for photo in found.capture.photos:
    print(photo.source, "not placed" if photo.camera is None else photo.camera.position.round(2))
