"""Sky in the depths of a set: what one picture's network calls sky is not measured; masked pictures are left alone."""

from dataclasses import replace

import numpy as np

from liftform.capture import Capture, Depth, Mask, Photo
from liftform.photoset.sky import without_sky


def above(capture):
    """An estimator that calls the upper quarter sky, at half the size of the depths."""
    sky = np.zeros((4, 6), bool)
    sky[0] = True
    return capture.learned(replace(capture.photo, depth=Depth(np.ones((4, 6), np.float32), sky=sky)))


def photo(mask=None):
    image = np.full((16, 24, 3), 0.5, np.float32)
    return Photo(image, mask=mask, depth=Depth(np.full((8, 12), 2.0, np.float32), "metric"))


def test_sky_is_not_measured_and_told():
    out = without_sky(Capture((photo(), photo())), above)
    depth = out.photos[1].depth
    assert np.isnan(depth.z[:2]).all()
    assert (depth.z[2:] == 2.0).all()
    assert depth.sky[:2].all()
    assert not depth.sky[2:].any()
    assert depth.scale == "metric"
    assert [(d.what, d.value) for d in out.decisions] == [("sky", 0.25)]


def test_masked_pictures_know_better():
    mask = Mask(np.ones((16, 24), np.float32), np.zeros((16, 24, 3), np.float32), 1.0)
    given = Capture((photo(mask),))
    assert without_sky(given, above) == given
