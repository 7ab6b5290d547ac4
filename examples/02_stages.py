"""The stages of the road one by one, to look at or replace what lies between them."""

from pathlib import Path

import liftform
from liftform.reconstruct.object import ObjectOptions, object_
from liftform.refine.clean import CleanOptions, clean
from liftform.refine.simplify import SimplifyOptions, simplify
from liftform.runtime import Runtime
from liftform.understand.camera import CameraOptions, camera
from liftform.understand.mask import MaskOptions, mask

runtime = Runtime(seed=0)
capture = liftform.load(Path(__file__).parent / "pictures" / "sofa.png")
capture = mask(MaskOptions(), runtime)(capture)  # the picture's own alpha: nothing to guess
capture = camera(CameraOptions(), runtime)(capture)
dense = object_(ObjectOptions(), runtime)(capture)  # vertex colours as the network imagines them
print(f"the network's surface has {len(dense.faces)} faces")

mesh = clean(CleanOptions(), runtime)(dense)
mesh = simplify(SimplifyOptions(faces=2000), runtime)(mesh)
print(f"cleaned and simplified: {len(mesh.faces)} faces")
liftform.save(mesh, "sofa_untextured.ply")
