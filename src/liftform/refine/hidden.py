"""What unseen parts of a surface show: colours guessed by the network, or texture carried there from the photo.

"plain": the network's soft colours in the photo's light. "mirror": the photo's mirror image across a plane of symmetry
that shape and colours confirm (``symmetry``), plain elsewhere. "synthesise": also texture continued from the photo
(``synthesis``), but never print (``visible.unique``): what is drawn once stays where it was seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..assets import FloatArray, Mesh
from ..conventions import srgb_to_linear
from ..render import sample_bilinear
from . import blend
from .observe import Observer
from .symmetry import Plane, judged, plane_of
from .synthesis import CONTINUED, MIRRORED, PLAIN, Kind, Maps, Samples, Search, found
from .texels import Blocks
from .visible import Sheet

Ints = NDArray[np.integer]
Bools = NDArray[np.bool_]

#: Blocks seen less than this are filled.
_SEEN = 0.9
#: Share of the diagonal over which the light of carried texture goes over to the guess's.
_REACH = 0.04
#: Shares of print that are worth a word.
_SOME, _ALL = 0.005, 0.99
#: Links weaker than this are not levelled; maps that differ by this many pixels of the sheet are torn.
_LOOSE, _TORN_PX = 0.05, 0.7
#: Difference (logarithmic) from which a seam is cross-faded.
_VISIBLE = 0.1
#: Differences (logarithmic) of hue and of brightness that are another material's rather than the light's.
_OTHER_HUE, _OTHER_LIGHT = 0.2, 0.9


@dataclass(frozen=True)
class Hidden:
    """Colours for what was not seen.

    base (B, 3): linear colours guessed by the network, in the photo's light; maps: where blocks take texture from the
    photo instead; torn (B,): where pieces meet; field (B, 3): logarithmic correction that makes all pieces and the seen
    colours meet without a seam. gain (3,): logarithmic correction that brought the network's colours to the photo's.
    planes: of symmetry, judged; drawn: share of the visible surface that is print;
    grain: its fine contrast.
    """

    blocks: Blocks
    observer: Observer
    base: FloatArray
    maps: Maps
    torn: Bools
    field: FloatArray
    gain: NDArray[np.float64]
    kind: Kind
    planes: tuple[Plane, ...] = ()
    drawn: float = 0.0
    grain: float = 0.0

    @classmethod
    def of(cls, blocks: Blocks, dense: Mesh, observer: Observer, kind: Kind) -> Hidden:
        """What to show where the photo saw nothing; see the module's first lines."""
        from scipy.spatial import cKDTree

        tree = cKDTree(dense.vertices, balanced_tree=False, compact_nodes=False)
        links = blend.Links.of(blocks.points, blocks.normals)
        if kind == "plain" or not (blocks.known < _SEEN).any():
            base, gain = _network_colors(blocks, blocks.points[:0], dense, tree)
            difference = blend.encode(blocks.shown) - blend.encode(base)
            field = blend.membrane(links, difference, blocks.known, observer.size)
            return cls(blocks, observer, base, Maps.none(len(base)), np.zeros(len(base), bool), field, gain, kind)
        sheet = Sheet.of(observer)
        colors, gain = _network_colors(blocks, sheet.point[sheet.known], dense, tree)
        base, guess = colors[: len(blocks.points)], blend.encode(colors).astype(np.float32)
        samples = Samples(blocks.points, blocks.normals, guess[: len(base)])
        source = np.zeros((sheet.known.size, 3), np.float32)
        source[sheet.known.ravel()] = guess[len(base) :]
        search = Search(sheet, source, samples, blocks.known < _SEEN, links)
        given = plane_of(dense)
        planes = () if given is None else (judged(*given, dense, tree, sheet),)
        maps = found(search, [plane for plane in planes if not plane.refuted], kind)
        shown = _colors(sheet, maps, np.arange(len(base)), blocks.points, base)
        seams = _Seams.of(sheet, maps, base, links, blocks.points)
        # how light continued texture is, the guess says; a mirror image brings its own light
        continued = maps.kind == CONTINUED
        light = (blend.encode(base) - shown).mean(1, keepdims=True).repeat(3, 1) * continued[:, None]
        reach = np.where(continued, _REACH, blend.REACH).astype(np.float32)
        difference = blend.encode(blocks.shown) - shown
        field = blend.membrane(links, difference, blocks.known, observer.size, seams.jumps(links), light, reach)
        drawn = float(sheet.unique[sheet.known].mean()) if sheet.known.any() else 0.0
        return cls(blocks, observer, base, maps, seams.visible(field), field, gain, kind, planes, drawn, sheet.grain())

    def at(self, chosen: Ints) -> FloatArray:
        """Linear colours (n, 3) of some texels."""
        both = self.blocks.interpolated(np.concatenate([self.base, self.field], 1), chosen)
        soft, correction = both[:, :3], both[:, 3:]
        own = self.blocks.of_texel[chosen]
        torn = self.torn[own]
        whole = np.flatnonzero((self.maps.kind[own] != PLAIN) & ~torn)
        soft[whole] = self._mapped(own[whole], self.blocks.texels.surface(chosen[whole])[0])
        mixed = np.flatnonzero(torn)
        soft[mixed] = self._mixed(chosen[mixed], self.blocks.texels.surface(chosen[mixed])[0], soft[mixed])
        return blend.applied(soft, correction)

    def facts(self, weight: FloatArray) -> dict[str, Any]:
        """What was decided: how (the option), shares of the whole surface mirrored, continued and guessed (with the
        share seen, by the texels' weight (N,), they make 1), print (share of the visible surface that is drawn nowhere
        else and was not repeated), grain (fine contrast of what is seen), and why, in words."""
        texels, unseen = self.blocks.texels, 1 - weight
        filled = self.maps.kind[self.blocks.of_texel]
        shares = {
            name: round(texels.share(unseen * (filled == code)), 4)
            for name, code in (("mirrored", MIRRORED), ("continued", CONTINUED), ("guessed", PLAIN))
        }
        return {
            "how": self.kind,
            **shares,
            "print": round(self.drawn, 4),
            "grain": round(self.grain, 4),
            "why": self._why(shares),
        }

    def _why(self, shares: dict[str, float]) -> str:
        words = []
        for plane in self.planes:
            if plane.refuted:
                words.append(f"not mirrored: {plane.refuted}")
            elif not plane.confirmed:
                words.append("mirror plane across the view: texture only, no print")
            elif shares["mirrored"]:
                words.append(f"mirror plane holds for {plane.fit:.0%} of the shape")
        if self.kind != "plain" and not self.planes:
            words.append("no mirror plane")
        if self.drawn > _ALL:
            words.append("no pattern that repeats is seen: it is not continued")
        elif self.drawn > _SOME:
            words.append(f"{self.drawn:.0%} of what is seen is drawn only once and stays where it is")
        return "; ".join(words)

    def _mapped(self, block: Ints, points: FloatArray) -> FloatArray:
        """Linear colours (n, 3) that the maps of blocks (n,) show at points (n, 3)."""
        return self.observer.through_window(self.maps.at(block, points))[:, :3]

    def _mixed(self, chosen: Ints, points: FloatArray, guess: FloatArray) -> FloatArray:
        """Colours (n, 3) of texels where pieces meet: their own block cross-faded with the next one."""
        own = self.blocks.of_texel[chosen]
        other, near, mine = own, np.zeros(len(own), np.float32), np.full(len(own), 1e-6, np.float32)
        for block, weight in self.blocks.around(chosen):
            mine = np.where(block == own, weight + 1e-6, mine)
            nearer = (block != own) & (weight > near)
            other, near = np.where(nearer, block, other), np.where(nearer, weight, near)
        share = (near / (near + mine))[:, None]
        first, second = (self._shown(block, points, guess) for block in (own, other))
        return first + share * (second - first)

    def _shown(self, block: Ints, points: FloatArray, guess: FloatArray) -> FloatArray:
        """Linear colours (n, 3) of points (n, 3) by the maps of blocks (n,); the guess (n, 3) where these are PLAIN."""
        textured = (self.maps.kind[block] != PLAIN)[:, None]
        return np.where(textured, self._mapped(block, points), guess)


def _colors(sheet: Sheet, maps: Maps, which: Ints, points: FloatArray, guess: FloatArray) -> FloatArray:
    """Logarithmic colours (N, 3) that the maps of blocks (N,) show at points (N, 3); the guess (N, 3) where PLAIN."""
    out = blend.encode(guess)
    some = np.flatnonzero(maps.kind[which])
    half = 0.5 / np.array(sheet.color.shape[1::-1], np.float32)
    out[some] = blend.encode(sample_bilinear(sheet.color, np.clip(maps.at(which[some], points[some]), half, 1 - half)))
    return np.asarray(out, np.float32)


@dataclass(frozen=True)
class _Seams:
    """Linked blocks whose textures do not go over into each other: numbers (S,) of both, the place (S,) of the link in
    ``Links.near[here]``, and the logarithmic step (S, 3) of the colour from here to there, half-way."""

    here: Ints
    there: Ints
    slot: Ints
    step: FloatArray

    @classmethod
    def of(cls, sheet: Sheet, maps: Maps, base: FloatArray, links: blend.Links, points: FloatArray) -> _Seams:
        """All seams between blocks at points (B, 3) with guessed linear colours (B, 3)."""
        touched = (maps.kind[:, None] != PLAIN) | (maps.kind[links.near] != PLAIN)
        here, slot = np.nonzero(touched & (links.weight > _LOOSE))
        there = links.near[here, slot]
        middle = 0.5 * (points[here] + points[there])
        torn = np.abs(maps.at(here, middle) - maps.at(there, middle)).max(1) * max(sheet.known.shape) > _TORN_PX
        torn |= (maps.kind[here] == PLAIN) != (maps.kind[there] == PLAIN)
        here, there, slot, middle = here[torn], there[torn], slot[torn], middle[torn]
        guess = 0.5 * (base[here] + base[there])
        step = _colors(sheet, maps, there, middle, guess) - _colors(sheet, maps, here, middle, guess)
        return cls(here, there, slot, step)

    def jumps(self, links: blend.Links) -> FloatArray:
        """What the correction must rise from each linked block to this one (B, K, 3) for their textures to meet
        half-way. Differences of light are levelled; where another material begins the edge stays."""
        out = np.zeros((*links.near.shape, 3), np.float32)
        bright = self.step.mean(1, keepdims=True)
        hue = np.linalg.norm(self.step - bright, axis=1, keepdims=True)
        out[self.here, self.slot] = self.step * np.exp(-((hue / _OTHER_HUE) ** 2) - (bright / _OTHER_LIGHT) ** 2)
        return out

    def visible(self, field: FloatArray) -> Bools:
        """Blocks (B,) at seams that the correction (B, 3) leaves visible."""
        left = np.abs(self.step + field[self.there] - field[self.here]).max(1) > _VISIBLE
        out = np.zeros(len(field), bool)
        out[self.here[left]] = out[self.there[left]] = True
        return out


def _network_colors(
    blocks: Blocks, others: FloatArray, dense: Mesh, tree: Any
) -> tuple[FloatArray, NDArray[np.float64]]:
    """The network's linear colours (B + n, 3) at the blocks and at n other points, brought to the photo's light, and
    the gain (3,) used."""
    at = np.concatenate([blocks.points, others])
    if dense.colors is None:
        middle = np.average(blocks.shown, axis=0, weights=blocks.known + 1e-9)
        return np.broadcast_to(middle, at.shape).astype(np.float32), np.zeros(3)
    _, near = tree.query(at, k=3, workers=2)
    guess = srgb_to_linear(dense.colors[near]).mean(1)
    gain = blend.gain(blocks.shown, guess[: len(blocks.points)], blocks.known)
    none = np.zeros((len(others), 3), np.float32)
    needed = blend.learned(np.concatenate([blocks.shown, none]), guess, np.r_[blocks.known, none[:, 0]], gain)
    return blend.applied(guess, needed), gain
