"""Pictures kept back: as the set says, else every eighth; nothing of the truth goes along."""

import json

import numpy as np

from liftform.capture import Capture, Photo, Sparse
from liftform.evaluate.held_out import parted


def a_set(count):
    photos = tuple(Photo(np.zeros((2, 2, 3), np.float32), source=f"{k:02}.jpg") for k in range(count))
    none = np.zeros(0, np.int32)
    points = Sparse(
        np.ones((1, 3)), np.ones((1, 3), np.float32), np.zeros(1, np.float32), none, none, np.zeros((0, 2), np.float32)
    )
    return Capture(photos, sparse=points)


def test_every_eighth_is_kept_back_and_points_are_dropped(tmp_path):
    rest, held = parted(tmp_path, a_set(17))
    assert [photo.source for photo in held] == ["00.jpg", "08.jpg", "16.jpg"]
    assert len(rest.photos) == 14
    assert rest.sparse is None


def test_a_set_may_say_which(tmp_path):
    frames = [{"file_path": f"images/{k:02}.png", "split": "test" if k in (3, 5) else "train"} for k in range(8)]
    (tmp_path / "transforms.json").write_text(json.dumps({"frames": frames}))
    rest, held = parted(tmp_path, a_set(8))
    assert [photo.source for photo in held] == ["03.jpg", "05.jpg"]
    assert len(rest.photos) == 6
