"""Formulas: arithmetic as in Python, and whatever else stands there is answered with one clear line."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpert.design.formula import FUNCTIONS, MAX_DEPTH, MAX_LENGTH, check_formula, evaluate_formula
from xpert.errors import ConfigError

AT = {"bits": 6.0, "node_nm": 32.0}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2", 2.0),
        ("1e3", 1000.0),
        (".5 + 1.", 1.5),
        ("bits", 6.0),
        ("-bits**2", -36.0),
        ("2**-bits", 1 / 64),
        ("2**3**2", 512.0),
        ("(2**3)**2", 64.0),
        ("7 / 2 * 2 - 1", 6.0),
        ("+-+1", -1.0),
        ("log2(bits * 8) + sqrt(node_nm * 2)", math.log2(48) + 8),
        ("exp(0)", 1.0),
        ("min(bits, 4) + max(bits, 4)", 10.0),
        ("max(0.27, 1.4e-7 * 4**bits)", 0.27),
        (" 2\n  *\t3 ", 6.0),
    ],
)
def test_arithmetic(text: str, value: float) -> None:
    assert evaluate_formula(text, AT) == value


FORMULAS = st.recursive(
    st.sampled_from(["bits", "node_nm"]) | st.integers(0, 99).map(str) | st.floats(0.001, 1e3).map("{:.3f}".format),
    lambda inner: (
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/"]), inner).map(lambda parts: f"({' '.join(parts)})")
        | inner.map(lambda part: f"-({part})")
        | st.tuples(st.sampled_from(["min", "max"]), inner, inner).map("{0[0]}({0[1]}, {0[2]})".format)
    ),
    max_leaves=8,
)


@given(FORMULAS)
def test_the_value_is_pythons(text: str) -> None:
    try:
        expected = eval(text, {"min": min, "max": max, **AT})  # noqa: S307 - made of the pieces above
    except ZeroDivisionError:
        with pytest.raises(ConfigError, match="has no value at bits = 6, node_nm = 32"):
            evaluate_formula(text, AT)
    else:
        assert math.isclose(evaluate_formula(text, AT), expected, rel_tol=1e-9, abs_tol=1e-9)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is not a formula"),
        ("2 +", "'2 +' is not a formula"),
        ("2 2", "'2 2' is not a formula"),
        ("(2", "'(2' is not a formula"),
        ("2^bits", "not '^' (character 2); powers are written **"),
        ("2 ** bit", "unknown name 'bit' in a formula; known are bits, node_nm and the functions log2, sqrt, exp"),
        ("__import__('os')", "unknown name '__import__'"),
        ("bits.real", "not '.' (character 5)"),
        ("'text'", 'not "\'"'),
        ("bits[0]", "not '['"),
        ("bits == 6", "not '='"),
        ("1 if bits else 2", "unknown name 'if'"),
        ("lambda: 1", "unknown name 'lambda'"),
        ("(lambda)()", "unknown name 'lambda'"),
        ("True", "unknown name 'True'"),
        ("1_000", "unknown name '_000'"),
        ("0x10", "unknown name 'x10'"),
        ("3j", "unknown name 'j'"),
        ("ｂits", "a formula has numbers, names"),
        ("bits(2)", "arithmetic on single numbers"),
        ("2(3)", "arithmetic on single numbers"),
        ("1, 2", "arithmetic on single numbers"),
        ("()", "arithmetic on single numbers"),
        ("max(*bits, *bits)", "arithmetic on single numbers"),
        ("max(**bits)", "arithmetic on single numbers"),
        ("5 // 2", "is not a formula"),
        ("log2", "log2 is a function"),
        ("log2()", "log2 takes 1 argument(s) in a formula, got 0"),
        ("max(1)", "max takes 2 argument(s)"),
        ("1 / (bits - 6)", "has no value at bits = 6, node_nm = 32: float division by zero"),
        ("log2(0)", "has no value"),
        ("sqrt(-1)", "has no value"),
        ("(-8)**0.5", "has no value"),
        ("exp(1000)", "has no value"),
        ("9**9**9", "has no value"),
        ("9**9**9**9**9**9", "has no value"),
        ("1e999", "no finite value"),
        ("1e308 * 10", "no finite value"),
        ("9" * 390, "has no value"),
        ("1" + "+1" * MAX_DEPTH, f"at most {MAX_DEPTH} levels deep"),
        ("-" * 300 + "1", f"at most {MAX_DEPTH} levels deep"),
        ("(" * 190 + "1" + ")" * 190, None),
        ("(" * 400, "is not a formula"),
        ("1" * (MAX_LENGTH + 1), f"at most {MAX_LENGTH} characters, this one {MAX_LENGTH + 1}"),
    ],
)
def test_what_is_no_formula_is_one_line(text: str, message: str | None) -> None:
    started = time.perf_counter()
    if message is None:  # parentheses that group nothing cost nothing
        assert evaluate_formula(text, AT) == 1
    else:
        with pytest.raises(ConfigError) as caught:
            evaluate_formula(text, AT)
        assert message in str(caught.value)
        assert str(caught.value).isprintable()
    assert time.perf_counter() - started < 1


PIECES = ["bits", "node_nm", *FUNCTIONS, "9", "1e300", "0.5", "**", *"*/-+(), ['.", "os"]


def number_or_message(text: str) -> float | str:
    """What a text gives: a number, or the line that says why not."""
    try:
        return evaluate_formula(text, AT)
    except ConfigError as error:
        return str(error)


@given(st.text(max_size=60) | st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_any_text_gives_a_number_or_a_message(text: str) -> None:
    started = time.perf_counter()
    found = number_or_message(text)
    assert time.perf_counter() - started < 1
    assert found.isprintable() if isinstance(found, str) else math.isfinite(found)


def test_a_formula_is_checked_before_its_value_is_wanted() -> None:
    check_formula("1 / (bits - 6)", ("bits",))
    with pytest.raises(ConfigError, match="unknown name 'node_nm'"):
        check_formula("node_nm", ("bits",))
