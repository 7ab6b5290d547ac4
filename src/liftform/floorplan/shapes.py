"""Small plane geometry of plans, in plain Python: arcs, strips, areas, what is wrong with a polygon."""

from __future__ import annotations

import math

Point = tuple[float, float]
Ring = tuple[Point, ...]


def signed_area(ring: Ring) -> float:
    """Area by the shoelace formula, > 0 counter-clockwise."""
    return sum(p[0] * q[1] - q[0] * p[1] for p, q in zip(ring, (*ring[1:], ring[0]), strict=True)) / 2 if ring else 0.0


def arc(a: Point, b: Point, bulge: float) -> Ring:
    """Points from a to b along the arc of a bulge (tangent of a quarter of its angle), at most 5 degrees apart."""
    if bulge == 0.0:
        return a, b
    angle = 4 * math.atan(bulge)
    count = max(2, math.ceil(abs(math.degrees(angle)) / 5))
    off = (1 / bulge - bulge) / 4  # of the centre from the chord's middle, in chords, to the left of a -> b
    dx, dy = b[0] - a[0], b[1] - a[1]
    cx, cy = (a[0] + b[0]) / 2 - dy * off, (a[1] + b[1]) / 2 + dx * off
    turned = []
    for k in range(1, count):
        c, s = math.cos(angle * k / count), math.sin(angle * k / count)
        x, y = a[0] - cx, a[1] - cy
        turned.append((cx + c * x - s * y, cy + s * x + c * y))
    return a, *turned, b


def strip(line: Ring, thickness: float) -> Ring:
    """Outline, counter-clockwise, of a line of some thickness with flat ends and mitred corners."""
    left, right = [], []
    for k, (x, y) in enumerate(line):
        before, after = _direction(line, max(k - 1, 0)), _direction(line, min(k, len(line) - 2))
        nx, ny = -(before[1] + after[1]), before[0] + after[0]
        half = thickness / max(nx * nx + ny * ny, 1e-9)
        left.append((x + nx * half, y + ny * half))
        right.append((x - nx * half, y - ny * half))
    return *right, *reversed(left)


def _direction(line: Ring, k: int) -> Point:
    dx, dy = line[k + 1][0] - line[k][0], line[k + 1][1] - line[k][1]
    length = max(math.hypot(dx, dy), 1e-12)
    return dx / length, dy / length


def nearest_on(line: Ring, point: Point) -> tuple[float, float]:
    """(distance of a point from a line, metres along the line to its nearest place)."""
    best, gone = (math.inf, 0.0), 0.0
    for k in range(len(line) - 1):
        length, (ux, uy) = math.dist(line[k], line[k + 1]), _direction(line, k)
        along = (point[0] - line[k][0]) * ux + (point[1] - line[k][1]) * uy
        held = min(max(along, 0.0), length)
        away = math.dist(point, (line[k][0] + ux * held, line[k][1] + uy * held))
        best, gone = min(best, (away, gone + held)), gone + length
    return best


def fault_of_ring(ring: Ring) -> str:
    """What is wrong with a closed polygon without its repeated end, or "": too few points, crosses itself, no area."""
    if len(ring) < 3:
        return "has fewer than three corners"
    if abs(signed_area(ring)) < 1e-6:
        return "has no area"
    if len(ring) > 2000:
        return ""
    edges = list(zip(ring, (*ring[1:], ring[0]), strict=True))
    for i, (p, q) in enumerate(edges):
        for r, s in edges[i + 2 :]:
            if _cross(p, q, r, s):
                return f"crosses itself near ({p[0]:.2f}, {p[1]:.2f})"
    return ""


def _cross(p: Point, q: Point, r: Point, s: Point) -> bool:
    """Whether two segments cross in a point inside both, and by more than rounding."""
    if max(p[0], q[0]) < min(r[0], s[0]) or max(r[0], s[0]) < min(p[0], q[0]):
        return False

    def side(a: Point, b: Point, c: Point) -> float:
        area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        return 0.0 if abs(area) <= 1e-4 * math.dist(a, b) else area

    return side(p, q, r) * side(p, q, s) < 0 and side(r, s, p) * side(r, s, q) < 0


def near_ring(ring: Ring, point: Point, reach: float) -> bool:
    """Whether a point lies in a polygon or within ``reach`` metres of its edge."""
    inside = False
    for p, q in zip(ring, (*ring[1:], ring[0]), strict=True):
        if (p[1] > point[1]) != (q[1] > point[1]):
            inside ^= point[0] < p[0] + (point[1] - p[1]) / (q[1] - p[1]) * (q[0] - p[0])
    return inside or nearest_on((*ring, ring[0]), point)[0] <= reach
