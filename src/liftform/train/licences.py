"""Licence lines to classes, the strictest one that a line names; what may be trained on is a list of classes."""

from __future__ import annotations

import re

#: Loosest first; a line that names several is of the last.
CLASSES = (
    "public-domain",
    "permissive",
    "attribution",
    "share-alike",
    "copyleft",
    "no-derivatives",
    "non-commercial",
    "unknown",
)

#: What a network may be trained on that is given away and sold: no share-alike, no NC, no ND, nothing unclear.
COMMERCIAL = frozenset({"public-domain", "permissive", "attribution"})

_WORDS = {
    "public-domain": r"\bCC-?0\b|\bCC[- ]?ZERO\b|public[- ]domain|\bPDM\b|\bPDDL\b|\bunlicense\b|\b0BSD\b",
    "permissive": r"\bMIT(-0)?\b|\bBSD\b|\bApache\b|\bISC\b|\bZlib\b|\bBSL-1",
    "attribution": r"\bCC[- ]?BY\b|\bODC[- ]BY\b|\battribution\b",
    "share-alike": r"\bSA\b|share[- ]?alike|\bODbL\b",
    "copyleft": r"\b[AL]?GPL|\bMPL\b|\bEPL\b|\bEUPL\b|\bGNU\b",
    "no-derivatives": r"\bND\b|no[- ]?deriv",
    "non-commercial": r"\bNC\b|non[- ]?commercial|research[- ]only|research use|academic|personal use|evaluation only",
    "unknown": r"all rights reserved|proprietary|royalty[- ]free|editorial|\bunknown\b|not stated|\bnone\b",
}


def classify(line: str | None) -> str:
    """The class of a licence line such as "CC-BY-4.0 (…); repo MIT": the strictest named; "unknown" if none is.

    The name of a class is of that class.
    """
    if line in CLASSES:
        return str(line)
    named = [name for name in CLASSES if re.search(_WORDS[name], line or "", re.IGNORECASE)]
    return named[-1] if named else "unknown"


def strictest(*lines: str | None) -> str:
    """The strictest class of several lines about one thing; empty ones say nothing. "unknown" when all are empty."""
    found = [classify(line) for line in lines if line]
    return max(found, key=CLASSES.index, default="unknown")
