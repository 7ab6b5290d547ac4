"""batch: every picture its own target, failures do not spread, finished work is not done again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from conftest import FAKES
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from liftform import batch
from liftform.errors import InputNotFoundError, LiftformError
from liftform.pipeline import Recipe


@pytest.fixture(scope="module")
def fake() -> Recipe:
    """The road with stand-ins."""
    return Recipe.from_options(backends=FAKES, as_="object")


@pytest.fixture
def pictures(tmp_path) -> list[Path]:
    """Two pictures of one stem, in different formats, and one in another folder."""
    (tmp_path / "more").mkdir()
    paths = [tmp_path / "chair.png", tmp_path / "chair.jpg", tmp_path / "more" / "chair.png"]
    for shade, path in enumerate(paths):
        Image.new("RGB", (40, 40), (200, 60 * shade, 30)).save(path)
    return paths


names = st.lists(st.sampled_from(["a.png", "A.jpg", "a-2.png", "a-2-2.jpg", "x/a.png", "y/a-2.jpg", "b.png"]))


@given(names, st.booleans())
def test_no_two_targets_are_alike(sources, together):
    jobs = batch.plan(sources, "out" if together else None)
    assert [str(job.source) for job in jobs] == sources
    targets = [str(job.target).casefold() for job in jobs]
    assert len(set(targets)) == len(targets)


def test_a_name_of_its_own_stays():
    jobs = batch.plan(["a.png", "a.jpg", "a-2.png"], "out")
    assert [job.target.name for job in jobs] == ["a.glb", "a-3.glb", "a-2.glb"]


@pytest.mark.parametrize("workers", [1, 2])
def test_the_same_stem_does_not_overwrite(pictures, fake, tmp_path, workers):
    out = tmp_path / "out"
    out.mkdir()
    outcomes = list(batch.run(batch.plan(pictures, out), fake, workers=workers))
    assert [o.state for o in outcomes] == ["made"] * 3
    assert {p.name for p in out.glob("*.glb")} == {"chair.glb", "chair-2.glb", "chair-3.glb"}
    assert len({p.read_bytes() for p in out.glob("*.glb")}) == 3
    assert outcomes[1].report["input"]["name"] == "chair.jpg"


def test_a_failing_picture_does_not_stop_the_others(pictures, fake, tmp_path):
    jobs = batch.plan([pictures[0], tmp_path / "missing.png", pictures[2]], tmp_path)
    outcomes = list(batch.run(jobs, fake))
    assert [o.state for o in outcomes] == ["made", "failed", "made"]
    assert isinstance(outcomes[1].error, InputNotFoundError)


def test_a_fault_of_ours_is_an_error_of_one_picture(pictures, fake, tmp_path):
    broken = fake.with_options(backends={"object": "broken"})
    outcome = next(iter(batch.run(batch.plan(pictures[:1], tmp_path), broken)))
    assert isinstance(outcome.error, LiftformError)
    assert "unexpected ZeroDivisionError" in str(outcome.error)
    assert outcome.error.exit_code == 1


def test_errors_come_back_from_workers_whole(fake, tmp_path):
    jobs = batch.plan([tmp_path / "x.png", tmp_path / "y.png"])
    errors = [outcome.error for outcome in batch.run(jobs, fake, workers=2)]
    assert all(isinstance(error, InputNotFoundError) and error.hint for error in errors)


def test_resume_skips_what_is_done_and_redoes_what_changed(pictures, fake, tmp_path):
    jobs = batch.plan(pictures)

    def states(recipe: Recipe) -> list[str]:
        return [outcome.state for outcome in batch.run(jobs, recipe, resume=True)]

    assert states(fake) == ["made"] * 3
    assert states(fake) == ["skipped"] * 3
    later = jobs[1].target.stat().st_mtime + 10
    os.utime(jobs[1].source, (later, later))
    jobs[2].target.unlink()
    assert states(fake) == ["skipped", "made", "made"]
    assert states(fake.with_options(cube_size=0.3)) == ["made"] * 3


@pytest.mark.parametrize(("wanted", "name"), [("webp", "chair.turntable.webp"), ("turn/a.gif", "a.gif")])
def test_turntables_lie_where_they_were_wanted(pictures, fake, tmp_path, monkeypatch, wanted, name):
    (tmp_path / "turn").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("liftform.preview.turntable", lambda mesh, path: Path(path).touch())
    (outcome,) = batch.run(batch.plan(pictures[:1]), fake, batch.Extras(turntable=wanted))
    assert outcome.error is None
    assert name in {path.name for path in outcome.written}
    assert all(path.is_file() for path in outcome.written)
