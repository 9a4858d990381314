"""Formulas in part files: arithmetic on named quantities, and nothing else.

A formula is read by Python's parser after every token has been checked against a list, and is then computed node by
node in floating point: no name, attribute, call or type beyond those below can be reached, and no number can grow
without bound.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from xpert.design._base import shown
from xpert.errors import ConfigError

MAX_LENGTH = 400
"""Longest formula. [character]"""

MAX_DEPTH = 60
"""Deepest nesting; a sum of n terms is n deep."""

FUNCTIONS: dict[str, tuple[Callable[..., float], int]] = {
    "log2": (math.log2, 1),
    "sqrt": (math.sqrt, 1),
    "exp": (math.exp, 1),
    "min": (min, 2),
    "max": (max, 2),
}
"""Functions by name, and how many arguments they take."""

_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: math.pow,  # unlike **, never complex
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}

_TOKEN = re.compile(r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|(?P<name>[A-Za-z_]\w*)|\*\*|[-+*/(),]", re.ASCII)


def evaluate_formula(text: str, quantities: Mapping[str, float]) -> float:
    """The value of a formula.

    Args:
        text: Numbers, the quantities' names, `+ - * / ** ( )` and the functions of `FUNCTIONS`, as in Python.
        quantities: Values by name.

    Raises:
        ConfigError: If it is anything else, or gives no finite number.
    """
    tree = check_formula(text, tuple(quantities))
    try:
        value = _value(tree, quantities)
    except (ArithmeticError, ValueError) as error:
        # Overflow, division by zero, logarithm of a negative number.
        raise ConfigError(f"the formula {shown(text)} has no value {_where(quantities)}: {error}") from None
    if not math.isfinite(value):
        raise ConfigError(f"the formula {shown(text)} has no finite value {_where(quantities)}")
    return value


def _where(quantities: Mapping[str, float]) -> str:
    return "at " + ", ".join(f"{name} = {value:g}" for name, value in quantities.items())


@lru_cache(maxsize=1024)
def check_formula(text: str, names: tuple[str, ...]) -> ast.expr:
    """Parse a formula over quantities of these names; its value is another matter.

    Raises:
        ConfigError: If it is not one.
    """
    if len(text) > MAX_LENGTH:
        raise ConfigError(f"a formula has at most {MAX_LENGTH} characters, this one {len(text)}")
    tokens, position = [], 0
    while position < len(text):
        if text[position] in " \t\r\n":
            position += 1
            continue
        token = _TOKEN.match(text, position)
        if token is None:
            hint = "; powers are written **" if text[position] == "^" else ""
            raise ConfigError(
                f"a formula has numbers, names, + - * / ** and ( ), not {shown(text[position])} "
                f"(character {position + 1}){hint}"
            )
        name = token["name"]
        if name is not None and name not in names and name not in FUNCTIONS:
            raise ConfigError(
                f"unknown name {shown(name)} in a formula; known are {', '.join(names)} and the functions "
                f"{', '.join(FUNCTIONS)}"
            )
        tokens.append(token[0])
        position = token.end()
    try:
        tree = ast.parse(" ".join(tokens), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise ConfigError(f"{shown(text)} is not a formula") from None
    _check(tree, names, MAX_DEPTH)
    return tree


def _check(node: ast.AST, names: tuple[str, ...], depth: int) -> None:
    """Refuse everything that is not arithmetic."""
    if depth == 0:
        raise ConfigError(f"a formula is at most {MAX_DEPTH} levels deep")
    match node:
        case ast.Constant(value=int() | float()):
            operands = []
        case ast.Name(id=name) if name in names:
            operands = []
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _OPERATORS:
            operands = [operand]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            operands = [left, right]
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in FUNCTIONS:
            if len(args) != FUNCTIONS[name][1]:
                raise ConfigError(f"{name} takes {FUNCTIONS[name][1]} argument(s) in a formula, got {len(args)}")
            operands = args
        case ast.Name(id=name):
            raise ConfigError(f"{name} is a function and needs arguments in parentheses in a formula")
        case _:
            raise ConfigError("a formula is arithmetic on single numbers; commas separate the arguments of a function")
    for operand in operands:
        _check(operand, names, depth - 1)


def _value(node: ast.AST, quantities: Mapping[str, float]) -> float:
    match node:
        case ast.Constant(value=int() | float() as value):
            return float(value)
        case ast.Name(id=name):
            return float(quantities[name])
        case ast.UnaryOp(op=op, operand=operand):
            return _OPERATORS[type(op)](_value(operand, quantities))
        case ast.BinOp(left=left, op=op, right=right):
            return _OPERATORS[type(op)](_value(left, quantities), _value(right, quantities))
        case ast.Call(func=ast.Name(id=name), args=args):
            return FUNCTIONS[name][0](*(_value(argument, quantities) for argument in args))
    raise AssertionError(f"{type(node).__name__} passed the check")


__all__ = ["FUNCTIONS", "MAX_DEPTH", "MAX_LENGTH", "check_formula", "evaluate_formula"]
