"""What a mesh file is, by its content; its name decides only where the content says nothing."""

from __future__ import annotations

import io
import re
import struct
import zipfile

#: kind -> suffixes that it usually bears. The first one is the kind's name in messages.
KINDS = {
    "glb": (".glb", ".vrm"),
    "gltf": (".gltf",),
    "obj": (".obj",),
    "ply": (".ply",),
    "stl": (".stl",),
    "off": (".off",),
    "3mf": (".3mf",),
    "usd": (".usdz", ".usda", ".usdc", ".usd"),
}

_MAGIC = {b"glTF": "glb", b"ply": "ply", b"#usda": "usd", b"PXR-USDC": "usd"}
_OBJ = re.compile(rb"^(?:v[ \t]+[-+.\d]|mtllib[ \t])", re.M)
_OFF = re.compile(rb"\s*(?:#.*\s+)*(?:ST)?(?:C)?(?:N)?4?OFF\b")
_ASCII_STL = re.compile(rb"\s*solid\b[^\n]*\s+(?:facet|endsolid)\b")


def kind_of(data: bytes) -> str | None:
    """The kind of mesh file that ``data`` is, or None."""
    for magic, kind in _MAGIC.items():
        if data.startswith(magic):
            return kind
    if data[:4] == b"PK\x03\x04":
        return _kind_of_zip(data)
    if len(data) >= 84 and len(data) == 84 + 50 * struct.unpack_from("<I", data, 80)[0]:
        return "stl"
    head = data[:65536].lstrip(b"\xef\xbb\xbf \t\r\n")
    if head.startswith(b"{"):
        return "gltf" if b'"asset"' in data else None
    for pattern, kind in ((_OFF, "off"), (_ASCII_STL, "stl")):
        if pattern.match(head):
            return kind
    return "obj" if b"\0" not in head and _OBJ.search(head) else None


def kind_of_suffix(suffix: str) -> str | None:
    """The kind that a name with this suffix (lower case, with its dot) promises, or None."""
    return next((kind for kind, suffixes in KINDS.items() if suffix in suffixes), None)


def _kind_of_zip(data: bytes) -> str | None:
    try:
        names = [name.lower() for name in zipfile.ZipFile(io.BytesIO(data)).namelist()]
    except Exception:  # zipfile raises many kinds on damaged archives
        return None
    if any(name.endswith(".model") for name in names):
        return "3mf"
    return "usd" if names and names[0].endswith((".usd", ".usda", ".usdc")) else None
