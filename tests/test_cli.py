"""The command line, through the real command: what it prints, its exit codes, and what it leaves behind."""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from conftest import FAKE_FLAGS, Command, environment
from PIL import Image

from liftform import cli
from liftform.cli import completion
from liftform.zoo import weights

SOFA = Path(__file__).parents[1] / "examples" / "pictures" / "sofa.png"


def fails(result: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """One clear line on stderr, this exit code, nothing else."""
    assert result.returncode == code, result.stderr
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("liftform: error: ")
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in lines[0]
    assert result.stdout == ""


# -- what works -----------------------------------------------------------------------------------------------------


def test_help_and_version(command: Command):
    assert "make" in command("--help").stdout
    assert command("--version").stdout.startswith("liftform 0.")
    assert command().stdout == command("--help").stdout
    text = command("make", "--help").stdout
    for flag in ("--height", "--faces", "--texture-size", "--mask", "--pick", "--fov", "--elevation", "--turntable"):
        assert flag in text


def test_a_picture_alone_is_made_beside_itself(command, picture):
    result = command(picture.name, *FAKE_FLAGS, cwd=picture.parent)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert {p.name for p in picture.parent.iterdir()} == {
        "thing.png",
        "thing.glb",
        "thing.report.json",
        "thing.preview.png",
    }
    assert "watertight" in result.stdout
    assert result.stdout.splitlines()[-3:] == ["thing.glb", "thing.preview.png", "thing.report.json"]


def test_a_folder_is_created_and_filled(command, picture, tmp_path):
    twin = tmp_path / "thing.webp"
    Image.open(picture).save(twin)
    out = tmp_path / "new" / "assets"
    result = command(
        "make", picture, twin, "-o", f"{out}/", "--format", "stl", "--no-preview", "--no-report", *FAKE_FLAGS
    )
    assert result.returncode == 0, result.stderr
    assert {p.name for p in out.iterdir()} == {"thing.stl", "thing-2.stl"}


def test_json_is_one_object_a_line(command, picture, tmp_path):
    result = command("make", picture, tmp_path / "no.png", "-o", f"{tmp_path / 'out'}/", "--json", *FAKE_FLAGS)
    (line,) = result.stdout.splitlines()
    facts = json.loads(line)
    assert facts["state"] == "made"
    assert facts["report"]["mesh"]["watertight"] is True
    assert all(Path(file).is_file() for file in facts["files"])
    assert result.returncode == 3


def test_quiet_prints_nothing(command, picture):
    result = command("make", "-q", picture, *FAKE_FLAGS)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_inspect_tells_of_a_mesh(command, picture, tmp_path):
    command("make", picture, "-o", tmp_path / "cube.glb", *FAKE_FLAGS)
    assert "watertight" in command("inspect", tmp_path / "cube.glb").stdout
    facts = json.loads(command("inspect", "--json", tmp_path / "cube.glb").stdout)
    assert (facts["faces"], facts["watertight"], facts["texture"]) == (12, True, [4, 4])
    assert facts["size"] == pytest.approx([0.8, 0.8, 0.8])


def test_make_writes_a_page_when_asked(command, picture, tmp_path):
    command("make", picture, "-o", tmp_path / "cube.glb", "--html", *FAKE_FLAGS)
    page = (tmp_path / "cube.report.html").read_text(encoding="utf-8")
    facts = json.loads((tmp_path / "cube.report.json").read_text(encoding="utf-8"))
    assert page.startswith("<!doctype html>")
    assert picture.name in page
    assert facts["measures"]["file_bytes"] == (tmp_path / "cube.glb").stat().st_size


def test_models_are_verified(command):
    rows = json.loads(command("models", "--json").stdout)
    assert rows
    assert {row["state"] for row in rows if row["kind"] == "embedded"} == {"verified"}
    assert "licence" in command("models").stdout


# -- what fails -----------------------------------------------------------------------------------------------------


def hostile(folder: Path) -> dict[str, Path]:
    """Every picture that cannot be used, by what is wrong with it."""
    good = Image.new("RGB", (64, 64), (250, 250, 250))
    paths = {name: folder / f"{name}.png" for name in ("missing", "truncated", "strip", "transparent", "blank", "bomb")}
    paths |= {name: folder / f"{name}.jpg" for name in ("empty", "text")}
    paths |= {"folder": folder / "folder.png", "nan": folder / "nan.tiff", "infinite": folder / "infinite.tiff"}
    paths["folder"].mkdir()
    paths["empty"].touch()
    paths["text"].write_text("this is no picture\n" * 50)
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(paths["truncated"])
    paths["truncated"].write_bytes(paths["truncated"].read_bytes()[:4000])
    Image.new("RGB", (1, 500)).save(paths["strip"])
    Image.new("RGBA", (64, 64), (200, 30, 30, 0)).save(paths["transparent"])
    good.save(paths["blank"])
    Image.new("1", (20_000, 20_000)).save(paths["bomb"])
    for name, value in (("nan", np.nan), ("infinite", np.inf)):
        tifffile.imwrite(paths[name], np.full((32, 32, 3), value, np.float32), photometric="rgb")
    return paths


@pytest.mark.parametrize(
    "what",
    ["missing", "folder", "empty", "truncated", "text", "bomb", "strip", "nan", "infinite", "transparent", "blank"],
)
def test_hostile_pictures(command, tmp_path, what):
    pictures = tmp_path / "in"
    pictures.mkdir()
    target = tmp_path / "out"
    target.mkdir()
    path = hostile(pictures)[what]
    fails(command("make", path, "-o", target / "x.glb"), 3, path.name)
    assert list(target.iterdir()) == []


def test_a_wrong_suffix_is_read_by_content(command, picture, tmp_path):
    """A PNG named .jpg is a PNG: what the bytes say wins, or it is refused by name; never a traceback."""
    path = tmp_path / "in.jpg"
    shutil.copy(picture, path)
    result = command("make", path, "-o", tmp_path / "x.glb", *FAKE_FLAGS)
    if result.returncode:
        fails(result, 3, "in.jpg")
    else:
        assert (tmp_path / "x.glb").is_file()


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["-o", "x.fbx"], 4, "known: .glb"),
        (["-o", "x"], 4, "no suffix"),
        (["-o", "nowhere/x.glb"], 4, "nowhere"),
        (["-o", "thing.png/x.glb"], 4, "not a folder"),
        (["-o", "thing.png/"], 4, "thing.png"),
        (["-o", "/proc/x.glb"], 4, "/proc"),
        (["-o", "thing.glb", "thing.png"], 2, "one file for 2 pictures"),
        (["--hight", "1"], 2, "did you mean '--height'"),
        (["--height", "tall"], 2, "height"),
        (["--height", "-1"], 2, "height"),
        (["--faces", "many"], 2, "faces"),
        (["--pick", "3"], 2, "pick"),
        (["--seed", "x"], 2, "--seed"),
        (["--format", "fbx"], 2, "--format"),
        (["--recipe", "none.toml"], 3, "none.toml"),
        (["--recipe", "wrong.toml"], 2, "did you mean 'faces'"),
        (["--backend", "mask"], 2, "task=name"),
        (["--backend", "mask=nobody"], 2, "nobody"),
        (["--backend", "mask=absent"], 5, "liftform[fields]"),
        (["--turntable", "x.avi"], 2, "webp"),
        (["--mask", "none.png"], 3, "none.png"),
    ],
)
def test_wrong_arguments(command, picture, words, code, says):
    folder = picture.parent
    (folder / "wrong.toml").write_text("[simplify]\nface = 100\n")
    before = set(folder.iterdir())
    backends = [] if "--backend" in words or "--mask" in words else FAKE_FLAGS
    fails(command("make", "thing.png", *backends, *words, cwd=folder), code, says)
    assert set(folder.iterdir()) == before


def test_misspelt_commands_are_guessed(command, tmp_path):
    fails(command("inspct", "x.glb", cwd=tmp_path), 2, "did you mean 'inspect'")
    fails(command("--verson", cwd=tmp_path), 2, "--verson")
    fails(command("inspect", "none.glb", cwd=tmp_path), 3, "none.glb")
    fails(command("inspect", __file__, cwd=tmp_path), 3, "test_cli.py")


def test_the_input_is_never_overwritten(command, tmp_path):
    path = tmp_path / "thing_color.png"
    Image.new("RGB", (40, 40), (200, 30, 30)).save(path)
    fails(command("make", path, "-o", tmp_path / "thing.obj", *FAKE_FLAGS), 4, "input picture")
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_nothing(picture, tmp_path):
    """A file-size limit stands in for a full disk: the write itself fails half-way."""
    target = tmp_path / "out"
    target.mkdir()
    words = [sys.executable, "-m", "liftform", "make", str(picture), "-o", str(target / "x.glb"), *FAKE_FLAGS]
    script = 'ulimit -f 4; exec "$@"'
    result = subprocess.run(["bash", "-c", script, "-", *words], capture_output=True, text=True, env=environment())
    fails(result, 4, "x.glb")
    assert list(target.iterdir()) == []


def test_several_pictures_go_on_after_a_failure(command, picture, tmp_path):
    other = tmp_path / "other.png"
    shutil.copy(picture, other)
    empty = tmp_path / "empty.png"
    empty.touch()
    result = command("make", empty, picture, tmp_path / "none.png", other, "-o", f"{tmp_path / 'out'}/", *FAKE_FLAGS)
    assert result.returncode == 3
    lines = result.stderr.splitlines()
    assert len(lines) == 3
    assert lines[-1].startswith("liftform: 2 of 4 pictures failed: ")
    assert (tmp_path / "out" / "thing.glb").is_file()
    assert (tmp_path / "out" / "other.glb").is_file()


def test_a_created_folder_goes_when_nothing_came(command, tmp_path):
    fails(command("make", tmp_path / "none.png", "-o", f"{tmp_path / 'out'}/", *FAKE_FLAGS), 3)
    assert list(tmp_path.iterdir()) == []


def test_faults_of_ours_are_one_line_unless_verbose(command, picture):
    words = ["make", picture, *FAKE_FLAGS, "--backend", "object=broken"]
    fails(command(*words), 1, "ZeroDivisionError", "a fault over two lines")
    assert "Traceback" in command(*words, "--verbose").stderr


def test_corrupt_weights_are_named(tmp_path):
    """A copy of the package in which one network has a flipped byte."""
    shutil.copytree(
        Path(cli.__file__).parents[1], tmp_path / "liftform", ignore=shutil.ignore_patterns("train", "*.pyc")
    )
    row = weights.table()["object_encoder"]
    file = tmp_path / "liftform" / "weights" / row.file
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    line = [sys.executable, "-m", "liftform", "make", str(SOFA), "-o", str(tmp_path / "x.glb")]
    result = subprocess.run(line, capture_output=True, text=True, env=env, cwd=tmp_path)
    fails(result, 6, row.file, "sha256")
    assert not (tmp_path / "x.glb").exists()
    line = [sys.executable, "-m", "liftform", "models"]
    result = subprocess.run(line, capture_output=True, text=True, env=env, cwd=tmp_path)
    assert result.returncode == 6
    assert "damaged" in result.stdout


@pytest.mark.parametrize("jobs", [1, 2])
def test_interrupting_leaves_nothing(picture, tmp_path, jobs):
    target = tmp_path / "out"
    target.mkdir()
    words = ["make", picture, "-o", f"{target}/", "--jobs", jobs, *FAKE_FLAGS, "--backend", "object=slow", "--verbose"]
    line = [sys.executable, "-X", "faulthandler", "-m", "liftform", *map(str, words)]
    env = {**environment(), "LIFTFORM_FAKE_SIGN": str(tmp_path / "asleep")}
    # Jobs that a shell puts in the background ignore Ctrl-C, and so would what they start: heed it here.
    heed = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(
        line, stdout=-1, stderr=-1, text=True, env=env, start_new_session=True, preexec_fn=heed
    ) as process:
        deadline = time.monotonic() + 60
        while not (tmp_path / "asleep").exists():
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        out, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.splitlines() == ["liftform: interrupted"]
    assert out == ""
    assert list(target.iterdir()) == []


def test_a_closed_pipe_is_quiet(picture):
    line = f"{sys.executable} -m liftform make --help | true; echo ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=environment())
    assert result.stderr == ""
    assert result.stdout.strip() in ("0", "141")


# -- completion -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_commands_and_flags(shell):
    text = completion.script(shell)
    for command in cli.COMMANDS:
        assert command in text
    for flag in ("height", "texture-size", "no-preview", "recipe"):
        assert flag in text


def test_bash_completes(tmp_path):
    script = tmp_path / "completion.sh"
    script.write_text(completion.script("bash"))
    line = (
        f"source {script}; COMP_WORDS=(liftform make --hei); COMP_CWORD=2; _liftform; echo ${{COMPREPLY[@]}};"
        "COMP_WORDS=(liftform ins); COMP_CWORD=1; _liftform; echo ${COMPREPLY[@]}"
    )
    result = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["--height", "inspect"]
    assert result.stderr == ""
