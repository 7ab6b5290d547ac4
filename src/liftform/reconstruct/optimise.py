"""Geometric constraints at inference: a smooth correction of the sampled field that fits what the picture fixes.

The field phi on a grid gets phi + u. u lives on a lattice of every second node and minimises

    E(u) = sum over terms  weight * mean(violation(phi + u)^2) / unit^2
           + smooth * mean|grad u|^2 + small * mean(u / unit)^2

so that nothing forces u to be rough, and phi keeps its detail: it is the correction that is smooth, not the surface.
A term says what must hold at points: the value is at most a limit (inside), at least one (outside), or the same at two
points (mirror). E is convex. It is minimised by conjugate gradients (Polak and Ribiere), preconditioned by the exact
inverse of the smoothness (a cosine transform), with a line search that never goes past the minimum: E only falls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from .surface import Grid, sealed

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

FloatArray = NDArray[np.float32]
Floats = NDArray[np.float64]

#: Length (view units) in which violations are counted: a violation of this much costs 1.
UNIT = 0.03
#: Cost of a correction that changes by one unit a unit of length, squared: what makes corrections reach far.
SMOOTH = 0.3
#: Cost of the correction itself.
SMALL = 0.02
#: Iterations end when one lowers E by less than this share of its first value.
ENOUGH = 1e-4
#: The correction lives on every STRIDE-th node of the grid.
STRIDE = 2


@dataclass(frozen=True)
class Term:
    """What must hold at points (N, 3) of the grid's frame.

    kind "inside": phi <= limit; "outside": phi >= limit; "same": phi(points) = phi(partners). limit (N,) or a number.
    doubt: weight (N,) in [0, 1] of each point, or 1. weight: of the whole term.
    """

    name: str
    kind: Literal["inside", "outside", "same"]
    points: NDArray[np.floating]
    limit: NDArray[np.floating] | float = 0.0
    partners: NDArray[np.floating] | None = None
    trust: NDArray[np.floating] | float = 1.0
    weight: float = 1.0


@dataclass(frozen=True)
class Fit:
    """The corrected grid; energies: E before the first iteration and after each; parts: name -> (before, after)."""

    grid: Grid
    energies: tuple[float, ...]
    parts: dict[str, tuple[float, float]]


def optimise(grid: Grid, terms: list[Term], iterations: int) -> Fit:
    """Fit the grid to the terms in at most ``iterations`` steps; none leaves it as it is, to the bit."""
    terms = [term for term in terms if len(term.points)]
    if iterations <= 0 or not terms:
        return Fit(grid, (), {})
    problem = _Problem.of(grid, terms)
    state = problem.start()
    memory: list[tuple[Floats, Floats, Floats]] = []
    before, energies = problem.parts(state), [problem.energy(state)]
    for _ in range(iterations):
        if energies[-1] <= 0:
            break
        moved = problem.step(state, memory)
        energy = problem.energy(moved)
        if energy >= energies[-1]:
            break
        state, energies = moved, [*energies, energy]
        if energies[-2] - energy < ENOUGH * energies[0]:
            break
    after = problem.parts(state)
    values = grid.values + _spread(state.u.astype(np.float32), grid.values.shape)
    parts = {name: (before[name], after[name]) for name in before}
    return Fit(sealed(Grid(values, grid.low, grid.step)), tuple(energies), parts)


@dataclass(frozen=True)
class _Row:
    """A term as ``value = base + matrix @ u``; base already less the limit."""

    term: Term
    matrix: csr_matrix
    transposed: csr_matrix
    base: Floats
    factor: Floats  # weight of each point, over the number of points and UNIT squared

    def active(self, value: Floats) -> Floats:
        """Factor (N,) of the points at which the term is violated, 0 at others."""
        if self.term.kind == "same":
            return self.factor
        return self.factor * (value > 0 if self.term.kind == "inside" else value < 0)

    def cost(self, value: Floats) -> float:
        """Half the weighted mean square of the violation."""
        return 0.5 * float((self.active(value) * value**2).sum())


@dataclass(frozen=True)
class _State:
    """A correction u (lattice), the values it gives every row, and its roughness operator K u."""

    u: Floats
    values: list[Floats]
    rough: Floats


@dataclass(frozen=True)
class _Problem:
    """E as a function of u; it is convex, once differentiable and quadratic in pieces."""

    rows: list[_Row]
    #: eigenvalues (lattice) of K in the basis of cosines: smoothness and size of u cost u . K u / 2.
    stiffness: Floats

    @classmethod
    def of(cls, grid: Grid, terms: list[Term]) -> _Problem:
        a, b, c = (-(-(n - 1) // STRIDE) + 1 for n in grid.values.shape)
        return cls([_row(grid, (a, b, c), term) for term in terms], _stiffness((a, b, c), grid.step * STRIDE))

    def start(self) -> _State:
        """No correction."""
        zero = np.zeros(self.stiffness.shape)
        return _State(zero, [row.base for row in self.rows], zero)

    def energy(self, state: _State) -> float:
        """E at a state."""
        terms = sum(row.cost(value) for row, value in zip(self.rows, state.values, strict=True))
        return terms + 0.5 * float((state.u * state.rough).sum())

    def parts(self, state: _State) -> dict[str, float]:
        """What each term costs."""
        return {row.term.name: row.cost(value) for row, value in zip(self.rows, state.values, strict=True)}

    def step(self, state: _State, memory: list[tuple[Floats, Floats, Floats]]) -> _State:
        """One step of conjugate gradients; memory holds the last gradient, the same preconditioned, and direction."""
        gradient = state.rough.copy()
        for row, value in zip(self.rows, state.values, strict=True):
            gradient += (row.transposed @ (row.active(value) * value)).reshape(gradient.shape)
        downhill = -self._through(gradient, 1 / self.stiffness)
        direction = downhill
        if memory:
            before, downhill_before, last = memory.pop()
            turn = float((gradient * (downhill_before - downhill)).sum())
            direction = downhill + max(turn / -float((before * downhill_before).sum()), 0.0) * last
            if float((gradient * direction).sum()) >= 0:
                direction = downhill
        memory.append((gradient, downhill, direction))
        ways = [row.matrix @ direction.ravel() for row in self.rows]
        rough = self._through(direction, self.stiffness)
        t = self._length(state, ways, float((direction * state.rough).sum()), float((direction * rough).sum()))
        values = [value + t * way for value, way in zip(state.values, ways, strict=True)]
        return _State(state.u + t * direction, values, state.rough + t * rough)

    def _length(self, state: _State, ways: list[Floats], slope: float, bend: float) -> float:
        """The step at which E is least along a direction that changes the rows' values by ``ways``, by Newton's method
        on its derivative, bracketed; slope and bend: of the cost of K there."""
        low, high, t, start = 0.0, np.inf, 0.0, 0.0
        for k in range(24):
            first, second = slope + t * bend, bend
            for row, value, way in zip(self.rows, state.values, ways, strict=True):
                now = value + t * way
                pull = row.active(now) * way
                first, second = first + float((pull * now).sum()), second + float((pull * way).sum())
            start = start if k else first
            if abs(first) <= 1e-6 * abs(start):
                return t
            low, high = (t, high) if first < 0 else (low, t)
            t = t - first / second
            if not low < t < high:
                t = (low + high) / 2 if np.isfinite(high) else 2 * low
        return low

    def _through(self, field: Floats, factor: Floats) -> Floats:
        """A lattice field with every cosine wave multiplied by its factor."""
        from scipy.fft import dctn, idctn

        return np.asarray(idctn(factor * dctn(field, norm="ortho"), norm="ortho"))


def _stiffness(shape: tuple[int, int, int], step: float) -> Floats:
    """Eigenvalues of K: the mean squared slope times SMOOTH, and the mean square times SMALL."""
    count = float(np.prod(shape))
    waves = [(2 - 2 * np.cos(np.pi * np.arange(n) / n)) / step**2 for n in shape]
    laplacian = waves[0][:, None, None] + waves[1][:, None] + waves[2]
    return (SMOOTH * laplacian + SMALL / UNIT**2) / count


def _row(grid: Grid, shape: tuple[int, int, int], term: Term) -> _Row:
    weights, base = _interpolation(grid, shape, term.points)
    if term.partners is not None:
        other, again = _interpolation(grid, shape, term.partners)
        weights, base = (weights - other).tocsr(), base - again
    count = len(term.points)
    factor = np.broadcast_to(np.asarray(term.trust, np.float64) * term.weight / (count * UNIT**2), (count,))
    return _Row(term, weights, weights.T.tocsr(), base - term.limit, factor)


def _interpolation(grid: Grid, shape: tuple[int, int, int], points: NDArray[np.floating]) -> tuple[csr_matrix, Floats]:
    """Trilinear weights (N, lattice) of points among the lattice's nodes, and phi at the points (N,)."""
    from scipy.ndimage import map_coordinates
    from scipy.sparse import csr_matrix

    at = (np.asarray(points, np.float64) - grid.low) / grid.step
    at = np.clip(at, 0, np.array(grid.values.shape) - 1.0)
    base = map_coordinates(grid.values, at.T, order=1, mode="nearest", output=np.float64)
    at /= STRIDE
    cell = np.minimum(at.astype(int), np.array(shape) - 2)
    part = at - cell
    columns, weights = [], []
    for i in (0, 1):
        for j in (0, 1):
            for k in (0, 1):
                corner = cell + np.array([i, j, k])
                columns.append((corner[:, 0] * shape[1] + corner[:, 1]) * shape[2] + corner[:, 2])
                weights.append(np.abs(1 - part - np.array([i, j, k])).prod(1))
    starts = np.arange(len(at) + 1) * 8
    data, indices = np.stack(weights, 1).ravel(), np.stack(columns, 1).ravel()
    return csr_matrix((data, indices, starts), (len(at), int(np.prod(shape)))), base


def _spread(lattice: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Trilinear interpolation of the lattice to all nodes of the grid."""
    for axis, n in enumerate(shape):
        v = np.moveaxis(lattice, axis, 0)
        at = np.arange(n) / STRIDE
        cell = np.minimum(at.astype(int), len(v) - 2)
        part = (at - cell).astype(np.float32).reshape(-1, 1, 1)
        lattice = np.moveaxis((1 - part) * v[cell] + part * v[cell + 1], 0, axis)
    return np.ascontiguousarray(lattice)
