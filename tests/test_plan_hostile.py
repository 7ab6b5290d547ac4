"""Files that are no plans, too large, shut, or lie the wrong way: clear lines, bounded work, nothing half-written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

pytest.importorskip("shapely")
pytest.importorskip("pypdfium2")

from liftform.cli import main
from liftform.drawing import load
from liftform.drawing.sheet import Sheet, Stroke
from liftform.errors import NothingFoundError, UnreadableError, UsageError
from liftform.understand.plan import script, upright
from liftform.understand.plan.read import plan


def pdf(objects: list[bytes], trailer: bytes) -> bytes:
    """A PDF of numbered objects."""
    out, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    count = len(objects) + 1
    out += b"xref\n0 %d\n0000000000 65535 f \n%s" % (count, table)
    return out + b"trailer\n<< /Size %d %s >>\nstartxref\n%d\n%%%%EOF" % (count, trailer, out.rindex(b"xref"))


PAGES = [b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>"]
PAGE = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] >>"


def test_a_shut_pdf_is_said_to_be_shut(tmp_path: Path):
    lock = b"<< /Filter /Standard /V 1 /R 2 /O <%s> /U <%s> /P -4 >>" % (b"41" * 32, b"42" * 32)
    data = pdf([*PAGES, PAGE, lock], b"/Root 1 0 R /Encrypt 4 0 R /ID [<00> <00>]")
    (tmp_path / "shut.pdf").write_bytes(data)
    with pytest.raises(UnreadableError, match="encrypted"):
        load.sheets(tmp_path / "shut.pdf")


def test_of_two_hundred_pages_some_must_be_chosen(tmp_path: Path):
    kids = b" ".join(b"%d 0 R" % (3 + k) for k in range(200))
    pages = b"<< /Type /Pages /Count 200 /Kids [%s] >>" % kids
    (tmp_path / "book.pdf").write_bytes(pdf([PAGES[0], pages, *[PAGE] * 200], b"/Root 1 0 R"))
    with pytest.raises(UsageError, match="200 pages"):
        load.sheets(tmp_path / "book.pdf")


def test_thirty_thousand_strokes_of_hatching_are_no_walls():
    lines = [np.array([[x, 10.0], [x + 380.0, 390.0]]) for x in np.linspace(0, 200, 30_000)]
    strokes = tuple(Stroke((line,), 0.1, (0, 0, 0)) for line in lines)
    with pytest.raises(NothingFoundError):
        plan([Sheet("hatch", 1, 1, "vector", (600.0, 400.0), strokes, (), 25.4 / 72)])


def test_a_huge_scan_is_worked_on_smaller(tmp_path: Path):
    Image.new("1", (20_000, 3_000), 1).save(tmp_path / "huge.png")
    sheet = load.sheets(tmp_path / "huge.png")[0]
    assert sheet.image is not None
    assert sheet.image.size <= 24_000_000
    assert "1/2" in sheet.notes[0]


def test_a_picture_without_a_plan_leaves_nothing_behind(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    Image.new("L", (300, 200), 230).save(tmp_path / "cat.png")
    assert main(["plan", str(tmp_path / "cat.png"), "-o", str(tmp_path / "cat.glb")]) != 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cat.png"]
    said = capsys.readouterr().err.strip()
    assert "cat.png" in said
    assert "plan" in said


@pytest.mark.parametrize(("turns", "mirrored"), [(0, False), (2, False), (0, True)])
def test_a_sheet_that_lies_wrong_is_turned_by_its_words(turns: int, mirrored: bool):
    pytest.importorskip("rapidocr_onnxruntime")
    picture = Image.new("L", (640, 420), 255)
    draw = ImageDraw.Draw(picture)
    boxes: list[script.Box] = []
    for k, word in enumerate(["Bedroom", "Kitchen", "Bathroom", "Living room", "Entrance", "GROUND FLOOR"]):
        at = (40 + 300 * (k % 2), 40 + 130 * (k // 2))
        font = ImageFont.load_default(30)
        draw.text(at, word, font=font, fill=0)
        x0, y0, x1, y1 = draw.textbbox(at, word, font=font)
        boxes.append((int(x0), int(y0), int(x1), int(y1)))
    flat = np.asarray(picture, np.float32) / 255
    seen = np.rot90(flat, -turns)
    seen = seen[:, ::-1] if mirrored else seen
    wide, high = picture.size
    if turns == 2:
        boxes = [(wide - x1, high - y1, wide - x0, high - y0) for x0, y0, x1, y1 in boxes]
    if mirrored:
        boxes = [(wide - x1, y0, wide - x0, y1) for x0, y0, x1, y1 in boxes]
    readable = 0 if (turns, mirrored) != (0, False) else len(boxes)
    assert upright.way(np.ascontiguousarray(seen), boxes, readable) == (turns, mirrored)
