"""The search: a tabulated problem, and strategies that all solve it."""

from xpert.search.problem import Choices, Problem, load_problem, problem_from_dict, problem_to_dict, save_problem
from xpert.search.solution import Solution
from xpert.search.strategies import STRATEGIES, solve

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
