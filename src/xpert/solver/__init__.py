"""The solver: a tabulated problem, and strategies that all solve it. It knows no chip; `xpert solve` is its door."""

from xpert.solver.problem import Choices, Problem, load_problem, problem_from_dict, problem_to_dict, save_problem
from xpert.solver.solution import Solution
from xpert.solver.strategies import STRATEGIES, solve

__all__ = [
    "STRATEGIES",
    "Choices",
    "Problem",
    "Solution",
    "load_problem",
    "problem_from_dict",
    "problem_to_dict",
    "save_problem",
    "solve",
]
