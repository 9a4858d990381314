"""Gradient search: descend the expected cost of a random design.

The paper's idea is to relax the discrete choice in every layer to a softmax and to follow the gradient of the
hardware cost. The published code's gradient is zero (see docs/search.md); here it is the exact derivative of an exact
expectation.

A *policy* draws a design layer by layer: in state s (the width that feeds the layer) entry e, a (width, option) pair,
with probability softmax(logits[layer, s])[e]. The expected sum of every quantity is then a polynomial of the
probabilities that one forward pass computes,

    T = start + sum over layers, states, entries of  m[s] * p[s, e] * cost[s, e],      m[s]: probability of being in s,

and its derivative takes one backward pass, which is the policy gradient (Sutton et al. 2000) without sampling:

    dT / dlogits[s, e] = m[s] * p[s, e] * (Q[s, e] - V[s]),

with Q the expected cost from there on after entry e and V its mean over the entries. The objective is the sum of log
T over its factors; budgets enter by augmented Lagrangians, with a range of penalties over the restarts; an entropy
bonus is annealed away, so that the policy starts curious and ends with one design. Designs are drawn from the policy on
the way, because the best policy under a budget is a mixture: the expectation keeps the budget where few of its designs
do. The best designs drawn are polished by coordinate descent; the trace's last row says from what value (`unpolished`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xpert.solver.exact import relax
from xpert.solver.graph import Floats, Ints, Stages, build_stages, complete
from xpert.solver.neighbourhood import best_of, revise
from xpert.solver.polish import polish
from xpert.solver.problem import Problem
from xpert.solver.solution import Record

STEPS = 300
RESTARTS = 16
SAMPLES = 32
"""Designs drawn at once from every restart's policy."""

EVERY = 2
"""Steps between draws."""

RATE = 0.3
"""Adam's step size on the logits."""

POLISHED = 8
"""Restarts, the best ones, whose best design is polished."""

REVISED = 2
"""Of the polished designs, the best ones go on in large neighbourhoods."""

MOMENTUM = (0.9, 0.99)
"""Adam's decay of the first and second moment."""

PENALTIES = (1.0, 100.0)
"""Weight of the squared relative excess over a budget: first and last restart, the others in between."""

MULTIPLIER_RATE = 0.3
"""Growth of a multiplier per step and relative excess."""

TEMPERATURES = (1.0, 1e-3)
"""Weight of the entropy against the logarithm of the objective, at the first and the last step."""

SPREAD = 0.5
"""Standard deviation of the first logits."""


@dataclass(frozen=True)
class Grid:
    """The stages of a problem, padded to one shape, so that all layers' choices are one array.

    Attributes:
        costs: [layers, states, entries, dims].
        barred: Zero, or minus infinity in the padding, [layers, states, entries, 1].
        following: The state after an entry, [layers, states, entries].
        leads: One-hot form of `following`, [layers, states, entries, states].
        choices: Width and option index of an entry, [layers, states, entries, 2].
        start: [dims].
        layers: The problem's layers that have a choice: those of the arrays above.
        decided: A design [layers, 2] with the choices of all others.
    """

    costs: Floats
    barred: Floats
    following: Ints
    leads: Floats
    choices: Ints
    start: Floats
    layers: tuple[int, ...]
    decided: Ints


def make_grid(stages: Stages) -> Grid:
    """Pad the stages of a problem."""
    states = max(len(step.costs) for step in stages.steps)
    entries = max(step.costs.shape[1] for step in stages.steps)
    shape = (len(stages.steps), states, entries)
    costs, following = np.zeros((*shape, len(stages.limits))), np.zeros(shape, dtype=np.int64)
    choices = np.zeros((*shape, 2), dtype=np.int64)
    barred = np.full((*shape, 1), -np.inf)
    for layer, step in enumerate(stages.steps):
        rows, columns = step.barred.shape
        costs[layer, :rows, :columns] = step.costs
        following[layer, :rows, :columns] = step.following
        choices[layer, :rows, :columns] = step.choices
        barred[layer, :rows, :columns, 0] = -step.barred
    absent = np.isinf(barred).all(axis=2, keepdims=True)  # states that do not exist: any distribution will do
    barred = np.where(absent, 0.0, barred)
    leads = (following[..., None] == np.arange(states)).astype(float)
    return Grid(costs, barred, following, leads, choices, stages.start, stages.layers, stages.decided)


@dataclass(frozen=True)
class Policy:
    """Probabilities of a batch of policies and the expectations that follow from them.

    Attributes:
        chances: Probability of an entry in a state, [layers, states, entries, policies].
        logs: Their logarithms.
        moves: Probability of the state after, [layers, states, states, policies].
        visits: Probability of a state, [layers, states, policies].
        shares: Expected cost of a layer in a state, [layers, states, dims, policies].
        totals: Expected sums, [policies, dims].
    """

    chances: Floats
    logs: Floats
    moves: Floats
    visits: Floats
    shares: Floats
    totals: Floats


def make_policy(grid: Grid, logits: Floats) -> Policy:
    """Evaluate policies exactly from their logits [layers, states, entries, policies]."""
    logs = logits + grid.barred
    logs = logs - logs.max(axis=2, keepdims=True)
    chances = np.exp(logs)
    mass = chances.sum(axis=2, keepdims=True)
    chances /= mass
    logs = np.where(np.isfinite(grid.barred), logs - np.log(mass), 0.0)
    # Entries are summed over: [layers, states, dims, policies], and [layers, states, states after, policies].
    shares = grid.costs.swapaxes(-1, -2) @ chances
    moves = grid.leads.swapaxes(-1, -2) @ chances
    visits = np.zeros((len(logits), logits.shape[1], logits.shape[3]))
    visits[0, 0] = 1.0
    for layer in range(len(logits) - 1):
        # [states, 1, policies] * [states, states after, policies] -> [states after, policies].
        visits[layer + 1] = (visits[layer][:, None] * moves[layer]).sum(axis=0)
    totals = grid.start + np.einsum("lsp,lsdp->pd", visits, shares)
    return Policy(chances, logs, moves, visits, shares, totals)


def slope(grid: Grid, policy: Policy, weights: Floats, temperature: float = 0.0) -> Floats:
    """Gradient of the policies' weighted expected sums, minus entropy.

    Args:
        grid: The problem.
        policy: The policies.
        weights: Derivative of the loss in every expected sum, [policies, dims].
        temperature: Weight of the entropy of every layer's choice, averaged over the states visited.

    Returns:
        Derivative in the logits, [layers, states, entries, policies].
    """
    priced = np.einsum("lsdp,pd->lsp", policy.shares, weights)
    ahead = np.zeros_like(policy.visits)  # expected weighted cost after the layer, by the state after it
    for layer in range(len(ahead) - 1, 0, -1):
        ahead[layer - 1] = priced[layer] + (policy.moves[layer] * ahead[layer]).sum(axis=1)
    here = priced + (policy.moves * ahead[:, None]).sum(axis=2)
    # [layers, states, entries, policies]: what an entry costs, here and further on, beyond the state's mean.
    gain = grid.costs @ weights.T + grid.leads @ ahead[:, None] - here[:, :, None]
    if temperature:
        gain += temperature * (policy.logs - (policy.chances * policy.logs).sum(axis=2, keepdims=True))
    return policy.visits[:, :, None] * policy.chances * gain


def gradient(problem: Problem, record: Record, seed: int) -> None:
    """Descend from many random starts at once, then polish the best designs drawn, and those to begin with.

    Args:
        problem: What to solve; its costs may have any sign unless the objective is a product.
        record: Where designs are kept.
        seed: Of the first logits and of the draws.
    """
    start = record.design
    relax(problem, record)
    stages = build_stages(problem)
    grid = make_grid(stages)
    generator = np.random.default_rng(seed)
    span = _span(stages)
    bounded, factors = stages.bounded, stages.factors
    limits = stages.limits[bounded]
    size = np.minimum(np.where(np.abs(limits) > 0, np.abs(limits), np.inf), span[bounded])
    penalty = np.geomspace(*PENALTIES, RESTARTS)[:, None]
    multipliers = np.zeros((RESTARTS, len(bounded)))
    logits = SPREAD * generator.standard_normal((*grid.following.shape, RESTARTS))
    first, second = np.zeros_like(logits), np.zeros_like(logits)
    best_drawn = BestDrawn(RESTARTS, len(problem.layers))
    for step, temperature in enumerate(np.geomspace(*TEMPERATURES, STEPS)):
        policy = make_policy(grid, logits)
        if step % EVERY == 0:
            designs = draw(grid, policy, SAMPLES, generator)
            totals, violation = record.price(designs)
            best_drawn.update(designs, violation, problem.objective(totals))
        record.count(RESTARTS)
        # [restarts, bounded]: by how much every restart's expected sums break the budgets, as shares.
        excess = (policy.totals[:, bounded] - limits) / size
        weights = np.zeros_like(policy.totals)
        weights[:, factors] = stages.powers[factors] / _scale(policy.totals[:, factors], span[factors])
        weights[:, bounded] += np.maximum(0.0, multipliers + penalty * excess) / size
        multipliers = np.maximum(0.0, multipliers + MULTIPLIER_RATE * excess)
        descent = slope(grid, policy, weights, temperature)
        first = MOMENTUM[0] * first + (1 - MOMENTUM[0]) * descent
        second = MOMENTUM[1] * second + (1 - MOMENTUM[1]) * descent**2
        corrections = [1 - decay ** (step + 1) for decay in MOMENTUM]
        logits -= RATE * (first / corrections[0]) / (np.sqrt(second / corrections[1]) + 1e-10)
        record.step(**_figures(stages, policy, excess))
    before = record.upper_bound
    chosen = best_drawn.designs[best_drawn.order()[:POLISHED]]
    known = [record.best] if start is None else [record.best, start]
    ends = [polish(problem, record, design) for design in [*known, *chosen]]
    revise(problem, record, best_of(problem, ends, REVISED), generator)
    record.step(unpolished=before if np.isfinite(before) else None)


class BestDrawn:
    """The best design that every restart has drawn.

    Attributes:
        designs: [restarts, layers, 2].
        violation: [restarts].
        values: [restarts].
    """

    def __init__(self, restarts: int, layers: int) -> None:
        self.designs = np.zeros((restarts, layers, 2), dtype=np.int64)
        self.violation = np.full(restarts, np.inf)
        self.values = np.full(restarts, np.inf)

    def update(self, designs: Ints, violation: Floats, values: Floats) -> None:
        """Take in new draws, [restarts * n, ...]: n from every restart, one restart after the other."""
        rows = np.arange(len(self.values))
        violation, values = violation.reshape(len(rows), -1), values.reshape(len(rows), -1)
        best = np.lexsort((values, violation), axis=-1)[:, 0]
        # [restarts]: the best of every restart's own draws.
        least, value = violation[rows, best], values[rows, best]
        better = (least < self.violation) | ((least == self.violation) & (value < self.values))
        self.designs[better] = designs.reshape(len(rows), -1, *designs.shape[1:])[rows, best][better]
        self.violation[better], self.values[better] = least[better], value[better]

    def order(self) -> Ints:
        """The restarts, best first."""
        return np.lexsort((self.values, self.violation))


def draw(grid: Grid, policy: Policy, count: int, generator: np.random.Generator) -> Ints:
    """Draw designs [policies * count, layers, 2] from every policy."""
    layers, states, entries, policies = policy.chances.shape
    # One increasing sequence per layer: row r holds the cumulated chances of a state and policy, raised by r.
    # [layers, states, policies, entries], then states and policies become one axis of rows.
    ladders = policy.chances.transpose(0, 1, 3, 2).cumsum(axis=-1)
    ladders /= ladders[..., -1:]
    ladders = ladders.reshape(layers, -1, entries) + np.arange(states * policies)[:, None]
    owner = np.repeat(np.arange(policies), count)
    state = np.zeros(len(owner), dtype=np.int64)
    designs = np.tile(grid.decided, (len(owner), 1, 1))
    for layer in range(layers):
        row = state * policies + owner
        found = np.searchsorted(ladders[layer].ravel(), row + generator.random(len(owner)), side="right")
        entry = np.minimum(found - row * entries, entries - 1)
        # Rounding of row + chance can point past the last entry that has a chance: there, take the likeliest.
        off = np.flatnonzero(policy.chances[layer, state, entry, owner] == 0.0)
        entry[off] = policy.chances[layer, state[off], :, owner[off]].argmax(axis=1)
        designs[:, grid.layers[layer]] = grid.choices[layer, state, entry]
        state = grid.following[layer, state, entry]
    return designs


def _span(stages: Stages) -> Floats:
    """Largest minus smallest sum that designs reach in every dimension, budgets aside; 1 where all are the same."""
    units = np.eye(len(stages.limits))
    # Before the first layer, in the only state and bin: [directions], one for each dimension.
    least = complete(stages, units, stages.unlimited)[0][0, 0]
    most = -complete(stages, -units, stages.unlimited)[0][0, 0]
    return np.where(most > least, most - least, 1.0)


def _scale(totals: Floats, span: Floats) -> Floats:
    """What changes of a factor are relative to: itself, as in a logarithm; its span where it is not positive."""
    return np.where(totals > 1e-3 * span, totals, span)


def _figures(stages: Stages, policy: Policy, excess: Floats) -> dict[str, float]:
    """For the trace: the expected objective of the restart that breaks the budgets least, and how decided it is."""
    broken = np.maximum(excess, 0.0).sum(axis=1)
    products = (policy.totals[:, stages.factors] ** stages.powers[stages.factors]).prod(axis=1)
    best = int(np.lexsort((products, np.round(broken, 2)))[0])
    sure = policy.chances[..., best].max(axis=2)  # [layers, states]
    return {
        "expected": float(products[best]),
        "excess": float(broken[best]),
        "sureness": float((policy.visits[..., best] * sure).sum() / len(sure)),
    }
