"""Lengths, areas and scales as plans print them: metric, feet and inches with fractions, what OCR makes of them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction

INCH, FOOT = 0.0254, 0.3048
SQUARE_FOOT = FOOT * FOOT

_VULGAR = {"¼": "1/4", "½": "1/2", "¾": "3/4", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8", "⅞": "7/8", "⁄": "/"}
_FOOT_MARKS = str.maketrans({"′": "'", "’": "'", "‘": "'", "`": "'", "´": "'", "″": '"', "“": '"', "”": '"', "„": '"'})
_WIDE = str.maketrans("０１２３４５６７８９．，：／", "0123456789.,:/")
#: Letters that OCR reads for digits; only where a digit stands beside them.
_MISREAD = str.maketrans(
    {"O": "0", "o": "0", "Q": "0", "D": "0", "l": "1", "I": "1", "|": "1", "S": "5", "B": "8", "Z": "2"}
)
_METRIC = {"mm": 0.001, "cm": 0.01, "dm": 0.1, "m": 1.0, "mtr": 1.0, "mts": 1.0, "米": 1.0}

_NUMBER = r"\d{1,3}(?:[ \u00a0]\d{3})+|\d+(?:[.,]\d+)?|[.,]\d+"
_FRACTION = r"\d+\s*/\s*\d+"
_INCHES = rf"(?P<inches>\d+(?:\.\d+)?)?\s*(?:[- ]?\s*(?P<fraction>{_FRACTION}))?"
_FEET_INCHES = re.compile(
    rf"^(?P<feet>\d+)\s*(?:'|ft\.?|feet)\s*-?\s*(?:{_INCHES}\s*(?:\"|''|in\.?|inches)?)?$", re.IGNORECASE
)
_ONLY_INCHES = re.compile(rf"^{_INCHES}\s*(?:\"|''|in\.?|inches)$", re.IGNORECASE)
_METRES = re.compile(rf"^(?P<number>{_NUMBER})\s*(?P<unit>mm|cm|dm|mtr|mts|m|米)?\.?$", re.IGNORECASE)
_AREA_UNIT = (
    r"(?P<unit>m\s*²|m\s*2|m\^2|mq|qm|㎡|sq\.?\s*m(?:trs?|eters|etres)?\.?|sqm|平方米|平米|"
    r"sq\.?\s*f(?:ee)?t\.?|sqft|ft\s*²|ft\s*2|s\.?f\.?|sf)"
)
_AREA = re.compile(rf"(?<![\d.,])(?P<number>{_NUMBER})\s*{_AREA_UNIT}(?![a-z])", re.IGNORECASE)
_RATIO = re.compile(r"(?<![\d.,:/])1\s*[:/]\s*(\d{1,4}(?:[.,]\d)?)(?![\d\"':/])")
_SCALE_WORD = re.compile(
    r"scale|ma(?:ß|ss)stab|échelle|echelle|escala|scala|schaal|skala|mittakaava|比例|縮尺|\bM\b", re.IGNORECASE
)
_IMPERIAL_SCALE = re.compile(
    rf"(?P<paper>\d+\s+{_FRACTION}|{_FRACTION}|\d+(?:\.\d+)?)\s*(?:\"|''|in\.?)\s*=\s*(?P<real>\d+)\s*'(?:\s*-?\s*0*\s*(?:\"|''))?",
    re.IGNORECASE,
)
#: Printed ratios from a detail to a site.
_RATIOS = (5.0, 2500.0)


@dataclass(frozen=True)
class Length:
    """A length as read: metres if its unit is known, else the bare number; quantum: one unit of its last digit.

    unit: "m", "cm", "mm", "ftin", or "" for a bare number, whose decimals tell how it was written.
    sure: 1 as printed, less where it was repaired.
    """

    value: float
    unit: str
    quantum: float
    decimals: int = 0
    sure: float = 1.0


def plain(text: str) -> str:
    """Text with one spelling of foot and inch marks, fractions and digits."""
    for sign, spelled in _VULGAR.items():
        text = re.sub(rf"(?<=\d){sign}", f" {spelled}" if sign != "⁄" else "/", text).replace(sign, spelled)
    text = text.translate(_FOOT_MARKS).translate(_WIDE).replace("–", "-").replace("—", "-").replace("−", "-")
    return re.sub(r"\s+", " ", text).strip()


def length(text: str) -> Length | None:
    """The length that a text is, whole; None when it is none.

    Repairs what OCR often does (letters for digits, a lost inch mark, "51/2" for "5 1/2"), and says so in ``sure``.
    """
    cleaned = plain(text).strip("()[]~≈ ")
    cleaned = re.sub(r"^(?:b|h|l|br|ø)\s*[=:]\s*", "", cleaned, flags=re.IGNORECASE)
    direct = _exact(cleaned)
    if direct is not None:
        return direct
    repaired = _repaired(cleaned)
    found = _exact(repaired) if repaired != cleaned else None
    return None if found is None else Length(found.value, found.unit, found.quantum, found.decimals, 0.6 * found.sure)


def _exact(text: str) -> Length | None:
    return _feet_and_inches(text) or _metric(text)


def _feet_and_inches(text: str) -> Length | None:
    match = _FEET_INCHES.match(text) or _ONLY_INCHES.match(text)
    if match is None:
        return None
    feet = int(match.groupdict().get("feet") or 0)
    whole = match["inches"] or ""
    sure = 1.0
    part = Fraction(0)
    if match["fraction"]:
        above, below = (int(n) for n in re.split(r"\s*/\s*", match["fraction"]))
        if below not in (2, 4, 8, 16, 32):
            return None
        if not whole and above >= below and len(str(above)) > 1:  # "51/2" is 5 1/2, "111/4" is 11 1/4
            whole, above, sure = str(above)[:-1], int(str(above)[-1]), 0.8
        if above >= below:
            return None
        part = Fraction(above, below)
    inches = float(whole or 0) + float(part)
    if (feet and inches >= 12) or (not whole and not part and not feet):
        return None
    quantum = INCH / (part.denominator if part else 1)
    return Length(feet * FOOT + inches * INCH, "ftin", quantum, 0, sure)


def _metric(text: str) -> Length | None:
    match = _METRES.match(text)
    if match is None:
        return None
    number = re.sub(r"[ \u00a0]", "", match["number"]).replace(",", ".")
    decimals = len(number.partition(".")[2])
    unit = (match["unit"] or "").lower()
    factor = _METRIC.get(unit, 1.0)
    name = {"mtr": "m", "mts": "m", "米": "m"}.get(unit, unit)
    value = float(number) * factor
    return Length(value, name, factor * 10.0**-decimals, decimals) if value > 0 else None


def _repaired(text: str) -> str:
    """What OCR may have meant: digits for letters beside digits, marks for what stands in their place."""
    text = re.sub(r"(?<=[\d'\".,/ -])[OoQDlI|SBZ](?=[\d'\".,/ -]|$)|^[OolI|](?=[\d'\".,/])", _digit, text)
    text = re.sub(r"(?<=\d)\s*[;:](?=\d)", ".", text)
    text = re.sub(r"'{2,}|\"{2,}", '"', text)
    text = re.sub(r"^(\d+)\s*[\"*°]\s*-?\s*(?=\d)", r"\1'-", text)  # 8"-5 1/2" : the first mark is of feet
    text = re.sub(r"^(\d+)\s*-\s*(\d+(?: \d+/\d+)?|\d+/\d+)\s*[\"']?$", r"\1'-\2" + '"', text)  # 8-5 1/2
    text = re.sub(r"^(\d+)'\s*-?\s*(\d+)\s*'$", r"\1'-\2" + '"', text)
    return text.strip(" .,_")


def _digit(match: re.Match[str]) -> str:
    return match[0].translate(_MISREAD)


def sides(text: str) -> tuple[Length, Length] | None:
    """Both lengths of a room's "3.20 x 4.15 m", "13'-2\" x 9'-6\"", or None."""
    for candidate in re.split(r"\s*/\s*(?=\d+['.])|[()\n]", plain(text)):
        parts = re.split(r"\s*[x×X*]\s*", candidate.strip())
        if len(parts) == 2:
            a, b = length(parts[0]), length(parts[1])
            if a and b:
                if b.unit and not a.unit and b.unit != "ftin":
                    factor = _METRIC[b.unit]
                    a = Length(a.value * factor, b.unit, a.quantum * factor, a.decimals, a.sure)
                return (a, b) if a.unit == b.unit else None
    return None


def area(text: str) -> float | None:
    """Square metres that a text prints ("21.0 m²", "74 SQ FT"), or None."""
    match = _AREA.search(plain(text))
    if match is None:
        return None
    number = float(re.sub(r"[ \u00a0]", "", match["number"]).replace(",", "."))
    imperial = re.match(r"s\.?\s*q?\.?\s*f|ft", match["unit"], re.IGNORECASE)
    return number * (SQUARE_FOOT if imperial else 1.0) or None


def ratio(text: str, alone: bool = False) -> float | None:
    """N of a printed scale 1:N (also 1/N beside the word, and 1/4" = 1'-0"), or None.

    ``alone``: the text stands where a scale is expected, so that "1:50" is believed without the word.
    """
    cleaned = plain(text)
    imperial = _IMPERIAL_SCALE.search(cleaned)
    if imperial:
        paper = float(sum(Fraction(part.replace(" ", "")) for part in re.split(r"\s+(?=\d+\s*/)", imperial["paper"])))
        return int(imperial["real"]) * 12 / paper if paper > 0 and int(imperial["real"]) > 0 else None
    match = _RATIO.search(cleaned)
    if match is None or not (alone or _SCALE_WORD.search(cleaned) or re.fullmatch(r"1\s*:\s*\d+", cleaned)):
        return None
    value = float(match[1].replace(",", "."))
    return value if _RATIOS[0] <= value <= _RATIOS[1] else None


def unit_of_bare(numbers: list[Length]) -> str:
    """The unit that bare numbers of one sheet are written in, by what a building can measure.

    Decimals are metres. The largest whole number makes a part of a home of about 9 m: in mm, cm, m (or feet).
    """
    if not numbers:
        return "m"
    decimals = [n for n in numbers if n.decimals]
    if len(decimals) * 2 >= len(numbers):
        return "m"
    largest = max(n.value for n in numbers if not n.decimals)
    return min(("mm", "cm", "m"), key=lambda unit: abs(_order(largest * _METRIC[unit])))


def _order(metres: float) -> float:
    """How many times more or less than the 9 m of a typical overall dimension, as a logarithm."""
    return math.log(metres / 9.0)


def in_metres(found: Length, bare_unit: str) -> tuple[float, float]:
    """(metres, quantum in metres) of a length, a bare one in the sheet's unit."""
    factor = 1.0 if found.unit else _METRIC[bare_unit]
    return found.value * factor, found.quantum * factor
