"""Money and quantities: strict doors, exact integers, half-even rounding, costs against us."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from algotrade.domain.costs import CostModel
from algotrade.domain.money import (
    divide_half_even,
    format_quantity,
    format_usd,
    notional,
    parse_quantity,
    parse_usd,
    shares,
    usd,
)
from algotrade.errors import InputError
from builders import DOLLAR, SHARE

FREE = CostModel(
    commission_per_share=0,
    commission_per_trade=0,
    commission_bps=0,
    commission_minimum=0,
    slippage_bps=0,
)


@given(st.integers(-(10**30), 10**30), st.integers(1, 10**12))
@settings(max_examples=100, deadline=None)
def test_division_rounds_as_a_fraction_does(numerator: int, denominator: int) -> None:
    assert divide_half_even(numerator, denominator) == round(Fraction(numerator, denominator))


@pytest.mark.parametrize(
    ("numerator", "rounded"), [(5, 2), (7, 4), (-5, -2), (-7, -4), (6, 3), (0, 0), (-1, 0), (1, 0)]
)
def test_ties_go_to_the_even_neighbour_on_both_sides(numerator: int, rounded: int) -> None:
    assert divide_half_even(numerator, 2) == rounded


@pytest.mark.parametrize(
    ("text", "nanos"),
    [
        ("10", 10_000_000_000),
        ("0.5", 500_000_000),
        ("0.000000001", 1),
        ("999999999.999999999", 999_999_999_999_999_999),
        ("007", 7_000_000_000),
    ],
)
def test_quantities_are_read_exactly(text: str, nanos: int) -> None:
    assert parse_quantity(text) == nanos


BAD = [
    "",
    " 1",
    "1 ",
    "+1",
    "-1",
    "1e3",
    "nan",
    "inf",
    "1,000",
    "1_000",
    ".5",
    "5.",
    "0x10",
    "\u0663",
]


@pytest.mark.parametrize("text", [*BAD, "0", "0.0", "1.0000000001", "1234567890", "1\n"])
def test_anything_else_is_no_quantity(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_quantity(text)
    assert caught.value.exit_code == 2
    assert "--qty" in caught.value.message


@pytest.mark.parametrize(
    ("text", "micros"),
    [("19.99", 19_990_000), ("0.000001", 1), ("999999999999.999999", 999_999_999_999_999_999)],
)
def test_dollars_are_read_exactly(text: str, micros: int) -> None:
    assert parse_usd(text, field="--cash") == micros


@pytest.mark.parametrize("text", [*BAD, "0", "0.000000", "0.0000001", "1234567890123", "$5"])
def test_anything_else_is_no_amount(text: str) -> None:
    with pytest.raises(InputError, match="--cash"):
        parse_usd(text, field="--cash")


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (0, "0.00"),
        (1, "0.000001"),
        (-1_500_000, "-1.50"),
        (1_234_567_890_000, "1,234,567.89"),
        (1_005_000, "1.005"),
        (-100, "-0.0001"),
    ],
)
def test_dollars_as_text(micros: int, text: str) -> None:
    assert format_usd(micros) == text


@pytest.mark.parametrize(
    ("nanos", "text"),
    [
        (0, "0"),
        (10 * SHARE, "10"),
        (500_000_000, "0.5"),
        (-1, "-0.000000001"),
        (10**15, "1,000,000"),
    ],
)
def test_quantities_as_text(nanos: int, text: str) -> None:
    assert format_quantity(nanos) == text


def test_json_numbers_come_back_exact() -> None:
    for micros in (1, 8_499_999_999_999_999, 8_499_999_999_999_998):
        assert f"{usd(micros):.6f}" == f"{micros // DOLLAR}.{micros % DOLLAR:06d}"
    assert shares(1_500_000_000) == 1.5


def test_value_of_a_short_position_is_negative() -> None:
    assert notional(-2_500_000_000, 40 * DOLLAR) == -100 * DOLLAR


@pytest.mark.parametrize(
    ("price", "bps", "buying", "filled"),
    [
        (100_000_000, 5, True, 100_050_000),
        (100_000_000, 5, False, 99_950_000),
        (1_000_001, 5, True, 1_000_502),  # 1,000,501.0005 rounds up for a buyer
        (1_000_001, 5, False, 999_500),  # 999,500.9995 rounds down for a seller
        (100_000_000, 0, True, 100_000_000),
        (1, 5, True, 2),
        (1, 5, False, 1),  # never free
        (7, 10_000, False, 1),
    ],
)
def test_slippage_is_against_the_trader_to_the_micro(
    price: int, bps: int, *, buying: bool, filled: int
) -> None:
    assert CostModel(slippage_bps=bps).fill_price(price, buying=buying) == filled


@pytest.mark.parametrize(
    ("costs", "quantity", "charged"),
    [
        ({"commission_per_share": 5_000, "commission_minimum": 1_000_000}, 10, 1_000_000),
        ({"commission_per_share": 5_000, "commission_minimum": 1_000_000}, 200, 1_000_000),
        ({"commission_per_share": 5_000, "commission_minimum": 1_000_000}, 201, 1_005_000),
        ({"commission_bps": 10}, 10, 1_000_000),  # 10 * 100 * 0.1 % = 1.00
        ({"commission_per_trade": 4_950_000}, 10, 4_950_000),
        (
            {"commission_per_share": 5_000, "commission_bps": 10, "commission_per_trade": 30},
            10,
            1_050_030,
        ),
    ],
)
def test_commission_adds_its_parts_up_to_at_least_the_minimum(
    costs: dict[str, int], quantity: int, charged: int
) -> None:
    model = CostModel(**{"commission_per_share": 0, "commission_minimum": 0, **costs})
    assert model.commission(quantity * SHARE, 100 * DOLLAR) == charged
    assert model.commission(-quantity * SHARE, 100 * DOLLAR) == charged


def test_no_costs_are_no_costs() -> None:
    assert FREE.commission(10 * SHARE, DOLLAR) == 0
    assert FREE.fill_price(DOLLAR, buying=True) == FREE.fill_price(DOLLAR, buying=False) == DOLLAR
