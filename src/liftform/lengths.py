"""Lengths as people write them ("45cm", "1.2 m", "18in", "1ft6in", 1'6") -> metres; a bare number is metres."""

from __future__ import annotations

import re

from .errors import UsageError

#: Unit -> metres (the international yard and pound agreement of 1959 for the last four).
UNITS = {
    "um": 1e-6, "mm": 1e-3, "cm": 1e-2, "dm": 0.1, "m": 1.0, "km": 1e3,
    "in": 0.0254, "ft": 0.3048, "yd": 0.9144, "mi": 1609.344,
}  # fmt: skip
#: Other spellings.
_SAME = {
    "µm": "um", "μm": "um", "micron": "um", "microns": "um",
    "millimetre": "mm", "centimetre": "cm", "decimetre": "dm", "metre": "m", "kilometre": "km",
    "millimeter": "mm", "centimeter": "cm", "decimeter": "dm", "meter": "m", "kilometer": "km",
    '"': "in", "''": "in", "″": "in", "”": "in", "inch": "in", "inches": "in",
    "'": "ft", "′": "ft", "’": "ft", "foot": "ft", "feet": "ft",
    "yard": "yd", "yards": "yd", "mile": "mi", "miles": "mi",
}  # fmt: skip
_NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?"
_PIECE = re.compile(rf"\s*({_NUMBER})\s*([^\d\s.,+-]*)")
_EXAMPLES = "write 45cm, 1.2m, 450mm, 18in or 1ft6in; a bare number is metres"


def metres(text: str) -> float:
    """The length in metres; pieces of falling units add up: 1ft6in, 1m 80cm, 5'11".

    Raises UsageError for an unknown unit, a missing one after the first piece, or no length at all. A length of 0 or
    below is for the option's range to refuse.
    """
    words = text.strip()
    if re.fullmatch(rf"[+-]?{_NUMBER}|[+-]?(?:nan|inf)", words, re.IGNORECASE):
        return float(words)
    total, at, last = 0.0, 0, float("inf")
    while at < len(words):
        found = _PIECE.match(words, at)
        if not found:
            raise UsageError(f"{text!r} is not a length", _EXAMPLES)
        factor = unit(found[2], text)
        if factor >= last:
            raise UsageError(f"{text!r}: units must fall, as in 1ft6in", _EXAMPLES)
        total, at, last = total + float(found[1]) * factor, found.end(), factor
    if not words:
        raise UsageError("a length must not be empty", _EXAMPLES)
    return total


def unit(name: str, text: str = "") -> float:
    """Metres in one unit; raises UsageError naming the known ones. text: what it was found in, for the message."""
    plain = name.strip().lower()
    plain = _SAME.get(plain) or _SAME.get(plain.removesuffix("s")) or plain
    if plain not in UNITS:
        where = f"{text!r}: " if text else ""
        what = f"unknown unit {name!r}" if name else "a unit is missing"
        raise UsageError(f"{where}{what}, known: {' '.join(UNITS)}", _EXAMPLES)
    return UNITS[plain]


def shown(length: float) -> str:
    """A length in metres as people read it: "4.2 mm", "45 cm", "1.8 m"."""
    name = "mm" if length < 0.0095 else "cm" if length < 0.995 else "m"
    return f"{length / UNITS[name]:.3g} {name}"
