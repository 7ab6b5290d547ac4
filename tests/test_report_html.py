"""The page: self-contained, escaped, accessible, repeatable; and its pictures show what they say."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import synthetic
from PIL import Image

from liftform import save
from liftform.assets import Model
from liftform.capture import Decision, Mask, Photo
from liftform.cli import main
from liftform.report import judge, measure, pictures
from liftform.report.defects import MARKS, defects
from liftform.report.html import Content, page

NASTY = "\"><script>alert('1')</script>\x00\ud800‮&amp;<img src=http://evil/x>"


class Reader(HTMLParser):
    """Tags in order, each with its attributes; and whether every opened one was closed."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.words = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def of(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(pictures, "SIDE", 96)
    monkeypatch.setattr(pictures, "_LAYOUT_SIDE", 96)


@pytest.fixture
def content():
    mesh = synthetic.textured_box().with_(name=NASTY, metadata={"repair": {NASTY: [1, NASTY], "holes": 2.0}})
    broken = mesh.with_(faces=mesh.faces[:-1])
    image, alpha = np.full((20, 30, 3), 0.25, np.float32), np.zeros((20, 30), np.float32)
    alpha[5:15, 10:20] = 1
    return Content(
        title=NASTY,
        mesh=mesh,
        measures=measure(Model(mesh.with_(metadata={"model": "a network"}), (mesh,), (mesh,))),
        fitness=judge(measure(mesh)),
        before=broken,
        before_measures=measure(broken),
        photo=Photo(image, source=NASTY, mask=Mask(alpha, image, 0.9)),
        decisions=(Decision(NASTY, {"a": NASTY}, "guessed", NASTY),),
        warnings=(NASTY,),
        trust=NASTY,
        model=Model(mesh, (mesh,), (mesh,)),
        files={NASTY: 12},
    )


def test_nothing_comes_from_outside_and_nothing_runs(content):
    read = Reader(page(content).decode())
    assert read.open == []
    assert not {"script", "iframe", "object", "link", "base", "form"} & {tag for tag, _ in read.tags}
    assert all(image["src"].startswith("data:image/webp;base64,") for image in read.of("img"))
    for _, attributes in read.tags:
        assert not any(name.startswith("on") or name == "href" for name in attributes)
    style = "".join(read.words[: read.words.index(next(w for w in read.words if "body" in w)) + 1])
    assert "url(" not in style
    assert "@import" not in style
    policy = next(meta["content"] for meta in read.of("meta") if meta.get("http-equiv"))
    assert "default-src 'none'" in policy
    text = " ".join(read.words)
    assert text.count("<script>alert('1')</script>") >= 6  # as words, in every place that a name can reach
    assert "\x00" not in text


def test_the_page_can_be_read_without_eyes(content):
    read = Reader(page(content).decode())
    assert [a["lang"] for a in read.of("html")] == ["en"]
    assert len(read.of("h1")) == 1
    assert all(image["alt"] and image["width"] and image["height"] for image in read.of("img"))
    assert all(cell.get("scope") in ("col", "row") for cell in read.of("th"))
    assert len(read.of("table")) == len(read.of("thead"))
    words = " ".join(read.words)
    for heading in (
        "What it is fit for",
        "Before",
        "Defects before",
        "Seen and invented",
        "Levels of detail",
        "Figures",
    ):
        assert heading in words
    assert "borders of holes: 3" in words
    assert "None: no holes" in words
    assert "before" in words
    assert "AI or by hand" in words


def test_the_page_repeats(content):
    assert page(content) == page(content)


def test_defects_have_their_colours(content):
    studio = pictures.Studio(content.before)
    shown = [np.asarray(Image.open(io.BytesIO(_bytes(p))), int) for p in studio.marked(defects(content.before))]
    red = np.array(MARKS["borders"][1]) * 255
    assert max((np.abs(picture - red).max(-1) < 60).sum() for picture in shown) > 20
    whole = pictures.Studio(content.mesh)
    sound = [np.asarray(Image.open(io.BytesIO(_bytes(p))), int) for p in whole.marked(defects(content.mesh))]
    assert max((np.abs(picture - red).max(-1) < 60).sum() for picture in sound) == 0


def test_walls_are_coloured_by_their_thickness():
    plate = synthetic.box((1, 0.05, 1))
    studio = pictures.Studio(plate)
    for thin, good, kind in ((0.06, 0.1, 0), (0.01, 0.1, 1), (0.01, 0.02, 2)):
        picture = np.asarray(Image.open(io.BytesIO(_bytes(studio.walls(thin, good)[0]))), int)
        middle = picture[picture.shape[0] // 2, picture.shape[1] // 2]
        wanted = np.array(pictures.WALL_COLORS[kind]) * middle.max() / max(pictures.WALL_COLORS[kind])
        assert np.abs(middle - wanted).max() < 40


def test_inspect_writes_pages(tmp_path, capsys):
    meshes = [tmp_path / "a.ply", tmp_path / "b" / "a.ply"]
    meshes[1].parent.mkdir()
    for path in meshes:
        save(synthetic.box(), path)
    assert main(["inspect", "-q", *map(str, meshes), "--html", f"{tmp_path}/pages/"]) == 0
    assert sorted(p.name for p in (tmp_path / "pages").iterdir()) == ["a-2.html", "a.html"]
    assert re.search(r"<h1><bdi>a\.ply</bdi></h1>", (tmp_path / "pages" / "a.html").read_text())
    assert main(["inspect", "-q", *map(str, meshes), "--html", f"{tmp_path}/one.html"]) == 2
    assert main(["inspect", "-q", str(meshes[0]), "--html", f"{tmp_path}/no/where.html"]) == 4
    assert "cannot write" in capsys.readouterr().err


def _bytes(picture):
    return base64.b64decode(picture.uri.partition(",")[2])
