"""Videos and folders of frames, one frame at a time: upright, in RGB, and when each is shown.

FFmpeg, behind PyAV, can open playlists, addresses and files that name other files. So it is never told a name: it gets
an opened file, and the one container format that the first bytes say, out of three.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from math import floor
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from resnetkit.data.decode import FORMAT_OF, MAGIC, MAX_ASPECT, MAX_PIXELS, REPLACE, decode, opened, reason
from resnetkit.data.headers import UnreadableError
from resnetkit.errors import DataError, ResourceError, plain
from resnetkit.smoothing import Moment
from resnetkit.spans import SLACK, Span

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi")
# The first bytes of each container, by the name of FFmpeg's reader for it.
CONTAINERS = re.compile(
    rb"(?P<mov>.{4}(ftyp|moov|mdat|wide|free|skip|pnot))|(?P<matroska>\x1aE\xdf\xa3)|(?P<avi>RIFF.{4}AVI[ \x19])",
    re.DOTALL,
)
# What cameras, phones, screens and editors write. FFmpeg has hundreds more, old and seldom looked at.
CODECS = (
    "h264", "hevc", "av1", "libdav1d", "vp8", "vp9", "mpeg4", "mpeg2video", "mpeg1video", "mjpeg", "h263", "theora",
    "prores", "dnxhd", "ffv1", "huffyuv", "ffvhuff", "rawvideo", "qtrle", "png", "msmpeg4v2", "msmpeg4", "wmv1", "wmv2",
    "vc1", "flv",
)  # fmt: skip
UNSPECIFIED = 2  # a matrix of colours that the stream does not say: ITU-T H.273, table 4
HD = (1280, 577)  # from this width or height on such a stream has the colours of BT.709, as players take it
LASTS = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")  # of a stream: hours, minutes, seconds
SHORT = 0.1  # seconds that a stream may lack at its end: how long the last frame is shown is seldom known
MOST_BOXES = 100_000  # of a file; a day of fragments of two seconds each has fewer


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a clip."""

    moment: Moment
    pixels: NDArray[np.uint8]  # (height, width, 1 or 3)


class Picker:
    """Which frames are wanted: every Nth, or the first at or after each multiple of so many seconds."""

    def __init__(self, every: Span) -> None:
        self.every, self.due = every, 0.0

    def wants(self, moment: Moment) -> bool:
        if not self.every.seconds or moment.seconds is None:
            return moment.number % int(self.every.amount) == 0
        now = moment.seconds + SLACK
        if now < self.due:
            return False
        self.due = (floor(now / self.every.amount) + 1) * self.every.amount
        return True


def require() -> None:
    """Raises ResourceError where PyAV is missing."""
    try:
        import av  # noqa: F401
    except ImportError as error:
        raise ResourceError("videos need PyAV to be read", 'pip install "resnetkit[video]"') from error


def read_folder(
    path: Path, name: str, *, every: Span, channels: int | None = None, max_pixels: int = MAX_PIXELS
) -> Iterator[Frame]:
    """The pictures of a folder in natural order: 2.png before 10.png. Raises DataError at the first that is damaged."""
    try:
        pictures = [p for p in path.iterdir() if p.suffix.lower() in FORMAT_OF and not p.name.startswith(".")]
    except OSError as error:
        raise DataError(
            f"{plain(name)} could not be read: {reason(error)}", "name a folder that can be read"
        ) from error
    if not pictures:
        raise DataError(f"{plain(name)} holds no pictures", "name a folder that holds the frames themselves")
    picker = Picker(every)
    for number, picture in enumerate(sorted(pictures, key=lambda p: natural(p.name))):
        moment = Moment(number, None)
        if picker.wants(moment):
            yield Frame(moment, decode(picture, str(picture), channels=channels, max_pixels=max_pixels).pixels)


def natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """A key by which 2 comes before 10; equal numbers such as 1 and 01 keep the order of their texts."""
    parts = re.split(r"([0-9]+)", name)
    return [(int(part), "") if i % 2 else (-1, part) for i, part in enumerate(parts)], name


def read_video(
    path: Path, name: str, *, every: Span, threads: int = 1, max_pixels: int = MAX_PIXELS
) -> Iterator[Frame]:
    """The wanted frames of a video, decoded one after the other.

    Raises DataError naming ``name`` for what is no video, and after the frames before it for what is damaged;
    ResourceError without PyAV.
    """
    require()
    import av

    shown, picker, moment, lacks = plain(name), Picker(every), None, 0
    with opened(path, name, "video") as (file, size):
        try:
            kind = kind_of(file.read(4096))
            lacks = missing(kind, file, size)
            file.seek(0)
            with opened_container(file, kind, max_pixels) as container:
                stream = pictures_of(container, max_pixels)
                stream.codec_context.thread_count = max(threads, 1)
                for moment, frame in timed(container, stream):
                    if picker.wants(moment):
                        yield Frame(moment, pixels_of(frame))
        except UnreadableError as error:
            what = f"is damaged: {ends_early(size, lacks)}" if lacks else error.what
            raise DataError(f"{shown} {what}", error.fix) from None
        except MemoryError as error:
            raise DataError(f"{shown} needs more memory than there is", "make it smaller, or free some") from error
        except (av.FFmpegError, ValueError) as error:
            where = "" if moment is None else f" after {moment.seconds:.3f} s (frame {moment.number})"
            why = ends_early(size, lacks) if lacks else why_not(error)
            raise DataError(f"{shown} is damaged{where}: {why}", REPLACE) from error
    if lacks and moment:
        raise DataError(f"{shown} breaks off after {moment.seconds:.3f} s: {ends_early(size, lacks)}", REPLACE)
    if moment is None:
        raise DataError(f"{shown} holds no frames" + (f": {ends_early(size, lacks)}" if lacks else ""), REPLACE)


def kind_of(start: bytes) -> str:
    """FFmpeg's name of the container; raises UnreadableError where it is none that is read."""
    found = CONTAINERS.match(start)
    if found and found.lastgroup:
        return found.lastgroup
    if not start:
        raise UnreadableError("is empty (0 bytes)", REPLACE)
    if (picture := MAGIC.match(start)) and picture.lastgroup:
        raise UnreadableError(f"is a {picture.lastgroup} picture, not a video", "give it the suffix of its kind")
    if not re.search(rb"[\0-\x08\x0e-\x1a\x1c-\x1f]", start[:512]):
        words = plain(" ".join(start[:40].decode("utf-8", "replace").split()))
        raise UnreadableError(f"is a text file, not a video (it begins with {words!r})", "name the video itself")
    raise UnreadableError(
        f"is not a video of a known kind (its first bytes are {start[:8].hex(' ')})", "convert it to mp4, mkv or webm"
    )


def opened_container(file: BinaryIO, kind: str, max_pixels: int) -> "InputContainer":
    import av

    def refuse(address: str, *_: Any) -> BinaryIO:
        raise ValueError(f"it asks for another file: {plain(address)}")

    allowed = {"max_pixels": str(max_pixels), "codec_whitelist": ",".join(CODECS), "protocol_whitelist": "none"}
    return av.open(file, "r", format=kind, options=allowed, io_open=refuse, metadata_errors="replace")


def pictures_of(container: "InputContainer", max_pixels: int) -> "VideoStream":
    """The first stream of moving pictures, its size and codec looked at before anything is decoded."""
    from av.stream import Disposition

    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        sound = "holds sound but no moving pictures" if container.streams.audio else "holds no moving pictures"
        raise UnreadableError(sound, "give a video")
    stream = streams[0]
    codec = stream.codec_context
    if codec is None or codec.name not in CODECS:
        what = f"is coded as {plain(codec.name)}" if codec else "is coded in an unknown way"
        raise UnreadableError(f"{what}, which is not read", "convert it to H.264, VP9 or AV1")
    width, height = codec.width, codec.height
    if width * height > max_pixels:
        raise UnreadableError(
            f"has {width * height:,} pixels a frame ({width} x {height}), more than the limit of {max_pixels:,}",
            "make it smaller",
        )
    if not width * height:
        raise UnreadableError("does not say how large its frames are, or they are too large", REPLACE)
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise UnreadableError(f"says that its frames are {width} x {height}", REPLACE)
    codec.options = {"max_pixels": str(max_pixels)}  # a frame may say another size than its container
    codec.thread_type = "AUTO"
    return stream


def timed(container: "InputContainer", stream: "VideoStream") -> Iterator[tuple[Moment, "VideoFrame"]]:
    """Every frame with its own time, counted from the first; frames without one follow the mean rate."""
    begin, now, before, rate = None, 0.0, 0.0, float(stream.average_rate or 25)
    for number, frame in enumerate(container.decode(stream)):
        if frame.is_corrupt:
            raise ValueError("a frame could not be decoded whole")
        now = frame.time if frame.pts is not None else (begin or 0.0) + number / rate
        begin = now if begin is None else begin
        before = max(before, now - begin)  # time does not run backwards, whatever a file says
        yield Moment(number, before), frame
    if begin is not None and (end := end_of(stream)) > now + SHORT + 2 / rate:
        raise ValueError(f"the frames from here to {end:.3f} s are missing")


def end_of(stream: "VideoStream") -> float:
    """Where Matroska says that these pictures end, in seconds; 0 where it does not.

    Its reader goes from damaged bytes to the next that it understands, or to the end, without a word.
    """
    found = LASTS.fullmatch(stream.metadata.get("DURATION", ""))
    return int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3]) if found else 0.0


def pixels_of(frame: "VideoFrame") -> NDArray[np.uint8]:
    """The frame in RGB by the matrix and range that it names itself, turned as its container says."""
    from av.video.reformatter import Colorspace

    large = frame.width >= HD[0] or frame.height >= HD[1]
    matrix = Colorspace.ITU709 if large and frame.colorspace == UNSPECIFIED else None
    pixels = frame.to_ndarray(format="rgb24", src_colorspace=matrix, threads=1)
    return np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90) % 4))


def missing(kind: str, file: BinaryIO, size: int) -> int:
    """How many bytes a file lacks that its container says it has; 0 where it is whole or does not say.

    FFmpeg takes the end of a file for the end of the film.
    """
    end = {"mov": end_of_boxes, "matroska": end_of_segment, "avi": end_of_riff}[kind](file, size)
    return max(0, end - size)


def end_of_boxes(file: BinaryIO, size: int) -> int:
    """ISO/IEC 14496-12, 4.2: boxes one after the other, each with its length; 0 is all the rest."""
    at = 0
    for _ in range(MOST_BOXES):
        file.seek(at)
        head = file.read(16)
        if len(head) < 8 or at >= size:
            break
        length, kind = struct.unpack_from(">I4s", head)
        if length == 1 and len(head) == 16:
            (length,) = struct.unpack_from(">Q", head, 8)
        if length < 8 or kind not in (b"ftyp", b"moov", b"mdat", b"moof", b"free", b"skip", b"wide", b"udta", b"uuid"):
            break
        at += length
    return at


def end_of_segment(file: BinaryIO, size: int) -> int:
    """RFC 8794 and 9559: the EBML header, then one segment, whose size may be unknown."""
    file.seek(0)
    start = file.read(4096)
    length, used = ebml_size(start, 4)
    at = 4 + used + length
    if start[at : at + 4] != b"\x18\x53\x80\x67":
        return size
    length, used = ebml_size(start, at + 4)
    return at + 4 + used + length if length else size


def ebml_size(data: bytes, at: int) -> tuple[int, int]:
    """A size and how many bytes it takes; 0 where it is unknown, that is all ones."""
    if at >= len(data) or not data[at]:
        return 0, 0
    used = 9 - data[at].bit_length()
    value = int.from_bytes(data[at : at + used], "big") & ((1 << 7 * used) - 1)
    return (0 if value == (1 << 7 * used) - 1 else value), used


def end_of_riff(file: BinaryIO, size: int) -> int:
    """One RIFF list after the other (OpenDML); a length of 0 or all ones was never filled in."""
    at = 0
    for _ in range(MOST_BOXES):
        file.seek(at)
        head = file.read(8)
        if len(head) < 8 or head[:4] != b"RIFF":
            break
        (length,) = struct.unpack_from("<I", head, 4)
        if length in (0, 0xFFFFFFFF):
            return size
        at += 8 + length + length % 2
    return at - 1 if at == size + 1 else at  # the last may come without its padding


def why_not(error: Exception) -> str:
    """FFmpeg's own words, without its numbers and the names of its functions."""
    text = getattr(error, "strerror", None)
    return reason(error) if isinstance(error, EOFError) or not text else plain(text)


def ends_early(size: int, lacks: int) -> str:
    return f"it ends too early, at {size:,} of {size + lacks:,} bytes"
