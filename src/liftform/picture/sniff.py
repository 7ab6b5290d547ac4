"""What kind of picture the first bytes of a file announce, whatever its name says; and what else it might be."""

from __future__ import annotations

from typing import BinaryIO

#: kind -> the suffixes that announce it.
SUFFIXES = {
    "JPEG": {".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo"},
    "PNG": {".png", ".apng"},
    "WebP": {".webp"},
    "TIFF": {".tif", ".tiff"},
    "BMP": {".bmp", ".dib"},
    "GIF": {".gif"},
    "HEIC": {".heic", ".heif", ".hif"},
    "AVIF": {".avif", ".avifs"},
}

#: Camera raw files that are TIFF inside; opening them as TIFF would show a thumbnail.
_RAW_SUFFIXES = {".cr2", ".nef", ".nrw", ".arw", ".sr2", ".dng", ".orf", ".pef", ".rw2", ".3fr", ".iiq", ".raw"}

_MAGIC = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
)

_OTHER = (
    (b"%PDF", "a PDF document"),
    (b"8BPS", "a Photoshop document"),
    (b"v/1\x01", "an OpenEXR picture"),
    (b"#?RADIANCE", "a Radiance HDR picture"),
    (b"\0\0\1\0", "an icon"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (b"IIU\0", "a camera raw file"),
    (b"FUJIFILMCCD-RAW", "a camera raw file"),
    (b"gimp xcf", "a GIMP document"),
    (b"glTF", "a 3D model (GLB)"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x1aE\xdf\xa3", "a video"),
)


def kind_of(head: bytes) -> str | None:
    """The kind of picture (a key of SUFFIXES) that the first 64 bytes announce, or None."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head[4:8] == b"ftyp":
        return _kind_of_brands(head)
    return next((kind for magic, kind in _MAGIC if head.startswith(magic)), None)


def _kind_of_brands(head: bytes) -> str | None:
    """HEIC or AVIF by the brands of an ISO media file (ISO/IEC 23008-12), or None for videos and others."""
    size = min(int.from_bytes(head[:4], "big"), len(head))
    brands = {head[8:12], *(head[i : i + 4] for i in range(16, size - 3, 4))}
    if brands & {b"avif", b"avis"}:
        return "AVIF"
    return "HEIC" if brands & {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"} else None


def is_raw(kind: str | None, suffix: str) -> bool:
    """Whether a TIFF is really a camera raw file, by its suffix."""
    return kind == "TIFF" and suffix.lower() in _RAW_SUFFIXES


def describe(head: bytes) -> str:
    """What a file that is not a readable picture seems to be, for the error message: "text", "a PDF document" ..."""
    known = next((name for magic, name in _OTHER if head.startswith(magic)), None)
    if known:
        return known
    if head[4:8] == b"ftyp":
        return "a video"
    if not any(head):
        return "only zero bytes"
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<svg", b"<?xml")):
        return "an SVG drawing" if b"<svg" in head.lower() else "an XML file"
    if start.startswith((b"<!doctype html", b"<html")):
        return "a web page"
    return "text" if _is_text(head) else "of an unknown kind"


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # a character cut at the end of what was read is no objection
            return False
        text = head[: error.start].decode("utf-8")
    return all(c.isprintable() or c in "\t\r\n\f" for c in text)


def webp_size(head: bytes) -> tuple[int, int] | None:
    """Canvas (width, height) of an extended WebP file, which its decoder would allocate on opening; else None."""
    if head[12:16] != b"VP8X" or len(head) < 30:
        return None
    return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")


def cut_short(stream: BinaryIO, kind: str) -> bool:
    """Whether the file ends before its format says it should, as far as its first and last bytes tell."""
    stream.seek(0)
    head = stream.read(16)
    length = stream.seek(0, 2)
    stream.seek(max(0, length - 64))
    tail = stream.read()
    if kind == "JPEG":
        return b"\xff\xd9" not in tail
    if kind == "PNG":
        return b"IEND" not in tail
    if kind == "WebP":
        return int.from_bytes(head[4:8], "little") + 8 > length
    if kind == "BMP":
        return int.from_bytes(head[2:6], "little") > length
    if kind == "GIF":
        return b";" not in tail[-4:]
    return kind in ("HEIC", "AVIF") and _boxes_end(stream, length) > length


def _boxes_end(stream: BinaryIO, length: int) -> int:
    """Where the last top-level box of an ISO media file says it ends."""
    at = 0
    for _ in range(64):
        stream.seek(at)
        header = stream.read(16)
        size = int.from_bytes(header[:4], "big")
        size = int.from_bytes(header[8:16], "big") if size == 1 else size
        if len(header) < 8 or size < 8 or at + size > length:
            return length if size == 0 else at + max(size, 8)
        at += size
        if at == length:
            return at
    return at
