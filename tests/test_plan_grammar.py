"""Lengths, areas, scales and room names as plans print them."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liftform.understand.plan import grammar, labels


@given(
    feet=st.integers(1, 99),
    inches=st.integers(0, 11),
    part=st.sampled_from([0, Fraction(1, 2), Fraction(3, 4), Fraction(5, 8), Fraction(7, 16)]),
    joint=st.sampled_from(["-", " ", " - ", ""]),
    marks=st.sampled_from(["'\"", "′″", "’”"]),
)
def test_feet_and_inches_come_back(feet: int, inches: int, part: Fraction, joint: str, marks: str) -> None:
    text = f"{feet}{marks[0]}{joint}{inches}{f' {part}' if part else ''}{marks[1]}"
    found = grammar.length(text)
    assert found is not None
    assert found.unit == "ftin"
    assert found.value == pytest.approx((feet * 12 + inches + float(part)) * 0.0254)


@given(metres=st.integers(5, 9999), comma=st.booleans(), unit=st.sampled_from(["", " m", "m"]))
def test_metric_lengths_come_back(metres: int, comma: bool, unit: str) -> None:
    text = f"{metres / 100:.2f}{unit}".replace(".", "," if comma else ".")
    found = grammar.length(text)
    assert found is not None
    assert found.value == pytest.approx(metres / 100)
    assert found.quantum == pytest.approx(0.01)


@given(st.text(max_size=30))
def test_no_text_breaks_the_grammar(text: str) -> None:
    for read in (grammar.length, grammar.area, grammar.ratio, grammar.sides, labels.room_type):
        read(text)


def test_what_ocr_makes_of_lengths_is_repaired_and_said() -> None:
    for text, metres in (("8-5 1/2", 2.5781), ("12'-O\"", 3.6576), ('8"-5"', 2.5654), ("1l.50", 11.5)):
        found = grammar.length(text)
        assert found is not None
        assert found.value == pytest.approx(metres)
        assert found.sure < 1
    assert grammar.length("8'-51/2\"").value == pytest.approx(2.5781)  # type: ignore[union-attr]
    assert grammar.length("D10") is None
    assert grammar.length("3'-14\"") is None  # no length has fourteen inches beside its feet


def test_scales_and_areas() -> None:
    cases = {"1:75": 75, "Maßstab 1/100": 100, 'SCALE 1/4" = 1\'-0"': 48, '3/16" = 1\'-0"': 64, "1\" = 10'": 120}
    for text, ratio in cases.items():
        assert grammar.ratio(text) == pytest.approx(ratio)
    assert grammar.ratio("2026-11-22") is None
    assert grammar.area("74 SQ FT") == pytest.approx(74 * 0.3048**2)
    assert grammar.area("13,07 m²") == pytest.approx(13.07)


def test_bare_numbers_take_the_unit_that_makes_a_home() -> None:
    def unit(*texts: str) -> str:
        return grammar.unit_of_bare([found for text in texts if (found := grammar.length(text))])

    assert unit("2510", "1600", "8800") == "mm"
    assert unit("198", "1135", "61") == "cm"
    assert unit("1.65", "10.01") == "m"


def test_rooms_in_many_languages() -> None:
    names = {
        "BEDROOM 2": "bedroom", "Schlafen": "bedroom", "Séjour": "living_room", "Küche": "kitchen", "baño": "bathroom",
        "Soggiorno": "living_room", "Casa de banho": "bathroom", "Slaapkamer": "bedroom", "Vardagsrum": "living_room",
        "MH 12": "bedroom", "洋室6帖": "bedroom", "客厅": "living_room", "Hall closet": "closet",
        "Terrasse couverte": "terrace",
    }  # fmt: skip
    for text, kind in names.items():
        found = labels.room_type(text)
        assert found is not None, text
        assert found[0] == kind, text
    assert labels.room_type("GROUND FLOOR PLAN") is None
