"""What a file is by its first bytes, whatever it is called."""

import re

PICTURES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"II*\0", b"MM\0*")
ONNX = re.compile(rb"\x08[\x01-\x14][\x12\x3a]")  # its version, then who made it or a graph: ir_version of onnx.proto
NAMED = {"a file of safetensors": ".safetensors", "an ONNX file": ".onnx", "an OpenVINO file": ".xml"}
HEAD = 512  # bytes that are looked at


def kind_of(head: bytes) -> str | None:
    """In words with their article: "an ONNX file"; None for what is not known here."""
    text = head.lstrip().lower()
    if head[8:9] == b"{":
        return "a file of safetensors"
    if text.startswith(b"<?xml") and b"<net" in text:
        return "an OpenVINO file"
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml")):
        return "an HTML page"
    if text.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer"
    if is_pytorch(head):
        return "a file of PyTorch"
    if head.startswith(b"\x89HDF"):
        return "an HDF5 file"
    if head.startswith(PICTURES) or head[8:12] == b"WEBP":
        return "a picture"
    return "an ONNX file" if ONNX.match(head) else None


def is_pytorch(head: bytes) -> bool:
    """Whether a file begins as torch.save began it: a zip archive, a pickle, or once a tar archive."""
    zipped = head.startswith((b"PK\x03\x04", b"PK\x05\x06"))
    return zipped or (head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05") or head[257:262] == b"ustar"
