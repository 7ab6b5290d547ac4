"""PDF pages -> sheets: paths with pens, fills and dashes, text lines with boxes, layers, or the page as a picture."""

from __future__ import annotations

import contextlib
import ctypes
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, TooLargeError, UnreadableError, UsageError
from ..runtime import need
from . import lines
from .sheet import Colour, FloatArray, Sheet, Stroke, Text

#: Points an inch, so millimetres a point.
MM_PER_POINT = 25.4 / 72
#: Pages read when none is chosen, paths of a page, and points of all its paths, that are taken in.
MAX_PAGES, MAX_OBJECTS, MAX_POINTS = 12, 200_000, 2_000_000
#: A page with fewer lines than this and a picture on most of it is a scan.
_FEW_PATHS = 60
_SCAN_DPI, _SCAN_PIXELS = 200, 60_000_000
_MAX_DEPTH = 6
_CHORDS = 16
_PASSWORD_ERROR = 4


def read(path: Path, pages: Sequence[int] | None = None, password: str | None = None) -> list[Sheet]:
    """The chosen pages (counted from 1; None = all, at most MAX_PAGES) of a PDF file.

    Raises MissingExtraError, UnreadableError (broken, encrypted), UsageError (no such page, pages to be chosen),
    TooLargeError, InputError (an empty page).
    """
    pdfium = need("pypdfium2", extra="plans")
    with _opened(pdfium, path, password) as document:
        count = len(document)
        if count == 0:
            raise UnreadableError(f"{path}: a PDF without pages", "export the drawing again")
        return [_sheet(pdfium, document, path, number, count) for number in _chosen(path, count, pages)]


def _chosen(path: Path, count: int, pages: Sequence[int] | None) -> list[int]:
    if pages is None:
        if count > MAX_PAGES:
            raise UsageError(f"{path}: {count} pages", "choose those that show the plan, such as --page 3")
        return list(range(1, count + 1))
    for number in pages:
        if not 1 <= number <= count:
            raise UsageError(f"{path}: no page {number}", f"its pages are 1 to {count}")
    return list(pages)


@contextlib.contextmanager
def _opened(pdfium: Any, path: Path, password: str | None) -> Iterator[Any]:
    try:
        document = pdfium.PdfDocument(path, password=password)
    except pdfium.PdfiumError as error:
        if getattr(error, "err_code", None) == _PASSWORD_ERROR or "password" in str(error).lower():
            raise UnreadableError(f"{path}: encrypted with a password", "save a copy without one") from error
        raise UnreadableError(f"{path}: not a readable PDF", "open it in a viewer and print it to a new PDF") from error
    try:
        yield document
    finally:
        document.close()


def _sheet(pdfium: Any, document: Any, path: Path, number: int, count: int) -> Sheet:
    raw = pdfium.raw
    try:
        page = document[number - 1]
        width, height = page.get_size()
    except pdfium.PdfiumError as error:
        raise UnreadableError(f"{path}: page {number} is damaged", "print the page to a new PDF") from error
    if not (1 <= width <= 100_000 and 1 <= height <= 100_000):
        raise UnreadableError(f"{path}: page {number} has no usable size", "print the page to a new PDF")
    view = _view(page, width, height)
    found = _Found(raw, view, width * height, f"{path}: page {number}")
    found.walk(raw.FPDFPage_CountObjects(page), lambda i: raw.FPDFPage_GetObject(page, i), np.eye(3), "", 0)
    texts = _texts(raw, page, view)
    if found.picture_share > 0.4 and len(found.strokes) < _FEW_PATHS:
        return _scan(page, path, number, count, (width, height))
    if not found.strokes and not texts:
        raise InputError(f"{path}: page {number} is empty", "choose the page of the plan with --page")
    size = (float(width), float(height))
    return Sheet(str(path), number, count, "vector", size, tuple(found.strokes), texts, MM_PER_POINT)


def _scan(page: Any, path: Path, number: int, count: int, size: tuple[float, float]) -> Sheet:
    """A page that is a picture, drawn at 200 dpi or what fits into bounded memory."""
    dpi = min(_SCAN_DPI, math.sqrt(_SCAN_PIXELS / (size[0] * size[1])) * 72)
    bitmap = page.render(scale=dpi / 72, grayscale=True)
    image = np.asarray(bitmap.to_numpy(), np.float32).squeeze() / np.float32(255)
    rows, columns = image.shape
    return Sheet(str(path), number, count, "raster", (columns, rows), (), (), 25.4 / dpi, None, image)


def _view(page: Any, width: float, height: float) -> FloatArray:
    """3x3 that takes user space to the page as it is shown: crop box at the origin, turned by /Rotate."""
    left, bottom, *_ = page.get_cropbox()
    turns = {0: (1, 0, 0, 1, 0, 0), 90: (0, -1, 1, 0, 0, height), 180: (-1, 0, 0, -1, width, height)}
    a, b, c, d, e, f = turns.get(page.get_rotation(), (0, 1, -1, 0, width, 0))
    turn = np.array([[a, c, e], [b, d, f], [0, 0, 1]], float)
    return turn @ np.array([[1, 0, -left], [0, 1, -bottom], [0, 0, 1]], float)


class _Found:
    """Strokes of a page, gathered through its nested forms."""

    def __init__(self, raw: Any, view: FloatArray, page_area: float, what: str) -> None:
        self.raw, self.view, self.page_area, self.what = raw, view, page_area, what
        self.strokes: list[Stroke] = []
        self.picture_share = 0.0
        self._objects = self._points = 0

    def walk(self, count: int, get: Any, matrix: FloatArray, layer: str, depth: int) -> None:
        """Take the objects get(0 .. count - 1), whose space ``matrix`` takes to user space."""
        raw = self.raw
        for index in range(count):
            item = get(index)
            kind = raw.FPDFPageObj_GetType(item)
            self._objects += 1
            if self._objects > MAX_OBJECTS or self._points > MAX_POINTS:
                limit = f"more than {MAX_OBJECTS} objects or {MAX_POINTS} points"
                raise TooLargeError(f"{self.what} has {limit}", "print it to a new PDF as an image, or cut it out")
            own = matrix @ self._matrix(item)
            on = self._layer(item) or layer
            if kind == raw.FPDF_PAGEOBJ_PATH:
                self._take(item, own, on)
            elif kind == raw.FPDF_PAGEOBJ_IMAGE:
                self._picture(own)
            elif kind == raw.FPDF_PAGEOBJ_FORM and depth < _MAX_DEPTH:
                inside = raw.FPDFFormObj_CountObjects(item)
                self.walk(inside, lambda i, form=item: raw.FPDFFormObj_GetObject(form, i), own, on, depth + 1)

    def _matrix(self, item: Any) -> FloatArray:
        m = self.raw.FS_MATRIX()
        if not self.raw.FPDFPageObj_GetMatrix(item, m):
            return np.eye(3)
        return np.array([[m.a, m.c, m.e], [m.b, m.d, m.f], [0, 0, 1]], float)

    def _layer(self, item: Any) -> str:
        raw = self.raw
        for index in range(raw.FPDFPageObj_CountMarks(item)):
            mark = raw.FPDFPageObj_GetMark(item, index)
            length = ctypes.c_ulong()
            name = ctypes.create_string_buffer(512)
            if raw.FPDFPageObjMark_GetParamStringValue(
                mark, b"Name", ctypes.cast(name, ctypes.POINTER(ctypes.c_ushort)), 512, length
            ):
                return name.raw[: max(0, length.value - 2)].decode("utf-16-le", "replace")
        return ""

    def _picture(self, matrix: FloatArray) -> None:
        self.picture_share += abs(float(np.linalg.det((self.view @ matrix)[:2, :2]))) / self.page_area

    def _take(self, item: Any, matrix: FloatArray, layer: str) -> None:
        raw = self.raw
        fill_mode, stroked = ctypes.c_int(), ctypes.c_int()
        raw.FPDFPath_GetDrawMode(item, fill_mode, stroked)
        if not fill_mode.value and not stroked.value:
            return
        whole = self.view @ matrix
        rings = self._rings(item, whole)
        if not rings:
            return
        width = ctypes.c_float()
        raw.FPDFPageObj_GetStrokeWidth(item, width)
        self.strokes.append(
            Stroke(
                rings,
                width.value * math.sqrt(abs(np.linalg.det(whole[:2, :2]))) if stroked.value else 0.0,
                self._colour(raw.FPDFPageObj_GetStrokeColor, item) if stroked.value else None,
                self._colour(raw.FPDFPageObj_GetFillColor, item) if fill_mode.value else None,
                fill_mode.value == raw.FPDF_FILLMODE_ALTERNATE,
                raw.FPDFPageObj_GetDashCount(item) > 0,
                layer,
            )
        )

    def _colour(self, get: Any, item: Any) -> Colour | None:
        """Colour over white paper; None where it is transparent."""
        r, g, b, a = (ctypes.c_uint() for _ in range(4))
        if not get(item, r, g, b, a) or a.value < 8:
            return None
        share = a.value / 255
        mixed = [1 - share + share * value.value / 255 for value in (r, g, b)]
        return mixed[0], mixed[1], mixed[2]

    def _rings(self, item: Any, matrix: FloatArray) -> tuple[FloatArray, ...]:
        raw = self.raw
        rings: list[list[tuple[float, float]]] = []
        curve: list[tuple[float, float]] = []
        x, y = ctypes.c_float(), ctypes.c_float()
        for index in range(raw.FPDFPath_CountSegments(item)):
            segment = raw.FPDFPath_GetPathSegment(item, index)
            raw.FPDFPathSegment_GetPoint(segment, x, y)
            point = (x.value, y.value)
            kind = raw.FPDFPathSegment_GetType(segment)
            if kind == raw.FPDF_SEGMENT_MOVETO or not rings:
                rings.append([point])
                curve = []
            elif kind == raw.FPDF_SEGMENT_BEZIERTO:
                curve.append(point)
                if len(curve) == 3:
                    rings[-1] += lines.bezier(rings[-1][-1], curve[0], curve[1], curve[2], _CHORDS)
                    curve = []
            else:
                rings[-1].append(point)
            if raw.FPDFPathSegment_GetClose(segment) and rings[-1][0] != rings[-1][-1]:
                rings[-1].append(rings[-1][0])
        self._points += sum(map(len, rings))
        return tuple(lines.moved(np.array(ring), matrix) for ring in rings if len(ring) > 1)


def _texts(raw: Any, page: Any, view: FloatArray) -> tuple[Text, ...]:
    """Lines of text as they are read: characters that follow each other on one base line."""
    text_page = page.get_textpage()
    turn = math.atan2(view[1, 0], view[0, 0])
    spans: list[lines.Span] = []
    box = [ctypes.c_double() for _ in range(4)]
    for index in range(min(raw.FPDFText_CountChars(text_page), MAX_OBJECTS)):
        code = raw.FPDFText_GetUnicode(text_page, index)
        if code < 32 or code >= 0xFFFE or not raw.FPDFText_GetCharBox(text_page, index, *box):
            continue
        left, right, bottom, top = (value.value for value in box)
        corners = lines.moved(np.array([[left, bottom], [right, bottom], [right, top], [left, top]]), view)
        # pdfium's angles run clockwise
        angle = -raw.FPDFText_GetCharAngle(text_page, index) + turn
        size = raw.FPDFText_GetFontSize(text_page, index)
        lines.add_character(spans, chr(code), corners, angle, size)
    text_page.close()
    return tuple(span.text() for span in spans if span.characters.strip())
