"""A mask of your own: one function, its options, and a row that names both. A package offers it to every liftform by

    [project.entry-points."liftform.backends"]
    "mask.border" = "your_package.border:ROW"

in its pyproject.toml, and from then on `liftform make photo.jpg --mask-model border --tolerance 0.2` knows it.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import liftform
from liftform.capture import Decision, Mask
from liftform.recipe import option
from liftform.zoo import registry


@dataclass(frozen=True)
class BorderOptions:
    """Each field is also a flag, a keyword in Python and a key of recipes, and its range is checked."""

    tolerance: float = option(0.15, "how far a colour may be from the border's", keyword="tolerance", low=0, high=1)


def border(options, runtime):
    """Estimator: what has not the colour of the picture's border is the object."""

    def estimate(capture):
        photo = capture.photo  # image: (H, W, 3) sRGB in [0, 1]
        plain = np.median(np.concatenate([photo.image[0], photo.image[-1]]), axis=0)
        far = np.linalg.norm(photo.image - plain, axis=2) > options.tolerance
        found = Mask(far.astype(np.float32), photo.image, confidence=0.9)
        return capture.learned(replace(photo, mask=found), Decision("mask", float(far.mean()), "estimated", "border"))

    return estimate


ROW = registry.Backend(f"{__name__}:border", f"{__name__}:BorderOptions")

if __name__ == "__main__":
    registry.add("mask", "border", ROW)  # for this process only, to try it before it is a package
    picture = Path(__file__).parent / "pictures" / "sofa.jpg"
    liftform.make(picture, mask_model="border", as_="object", faces=2000, texture_size=256).save("sofa_border.glb")
