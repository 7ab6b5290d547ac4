"""Lengths with units: what people write, in metres; what they mistype, in one clear line."""

from __future__ import annotations

from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liftform.cli.make import parser
from liftform.errors import UsageError
from liftform.lengths import UNITS, metres, shown
from liftform.pipeline import Recipe
from liftform.recipe import build
from liftform.refine.scale import ScaleOptions


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("45cm", 0.45), ("18in", 0.4572), ("1.2m", 1.2), ("450mm", 0.45), ("1ft6in", 0.4572), ("1'6\"", 0.4572),
        ("5’11”", 1.8034), (" 1 m 80 cm ", 1.8), ("2", 2.0), (".5 m", 0.5), ("1e-1m", 0.1), ("3 Feet", 0.9144),
        ("12 inches", 0.3048), ("2 metres", 2.0), ("20µm", 2e-5), ("6''", 0.1524), ("1yd", 0.9144),
    ],
)  # fmt: skip
def test_what_people_write(text: str, length: float) -> None:
    assert metres(text) == pytest.approx(length, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("45xx", "'45xx': unknown unit 'xx', known: um mm cm"), ("1ft6", "a unit is missing"), ("1,2m", "'1,2m'"),
        ("6in1ft", "units must fall"), ("cm", "is not a length"), ("", "must not be empty"), ("-5cm", "not a length"),
        ("1m1m", "units must fall"), ("1.2.3m", "1.2.3m"),
    ],
)  # fmt: skip
def test_what_they_mistype(text: str, says: str) -> None:
    with pytest.raises(UsageError) as error:
        metres(text)
    assert says in error.value.message


@given(st.floats(1e-5, 1e5), st.sampled_from(sorted(UNITS)))
def test_every_unit_is_its_factor(number: float, unit: str) -> None:
    assert metres(f"{number!r}{unit}") == pytest.approx(number * UNITS[unit], rel=1e-12)


def test_shown_reads_back() -> None:
    for length in (0.0042, 0.45, 1.8, 12.0, 0.0099):
        assert metres(shown(length)) == pytest.approx(length, rel=5e-3)


class TestOptions:
    """The dataclass alone says that an option is a length; recipe, TOML and command line follow."""

    SAME: ClassVar = ["18in", 0.4572, "45.72cm"]

    @pytest.mark.parametrize("value", SAME)
    def test_python_and_toml(self, value, tmp_path) -> None:
        assert Recipe.from_options(height=value).sections["scale"].options.height_m == pytest.approx(0.4572)
        path = tmp_path / "r.toml"
        path.write_text(f"[scale]\nheight_m = {value!r}\n")
        assert Recipe.from_toml(path).sections["scale"].options.height_m == pytest.approx(0.4572)

    def test_command_line(self) -> None:
        args = parser().parse_args(["a.jpg", "--height", "1'6\"", "--width", "0.3"])
        options = build(ScaleOptions, {"height_m": args.height, "width_m": args.width}, "[scale]")
        assert (options.height_m, options.width_m) == pytest.approx((0.4572, 0.3))

    @pytest.mark.parametrize("value", ["0cm", "45xx", "nan", [1], True])
    def test_refused_with_the_options_name(self, value) -> None:
        with pytest.raises(UsageError, match="height_m"):
            Recipe.from_options(height=value)
