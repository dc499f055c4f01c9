"""Videos and folders of frames, one frame at a time: upright, in RGB, and when each is shown.

FFmpeg, behind PyAV, can open playlists, addresses and files that name other files. So it is never told a name: it gets
an opened file, and the one container format that the first bytes say, out of three.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import floor
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from resnetkit.data.containers import ends_early, kind_of, missing
from resnetkit.data.decode import FORMAT_OF, MAX_ASPECT, MAX_PIXELS, REPLACE, decode, opened, reason
from resnetkit.data.headers import UnreadableError
from resnetkit.errors import DataError, ResourceError, plain
from resnetkit.smoothing import Moment
from resnetkit.spans import SLACK, Span

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi")
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


def why_not(error: Exception) -> str:
    """FFmpeg's own words, without its numbers and the names of its functions."""
    text = getattr(error, "strerror", None)
    return reason(error) if isinstance(error, EOFError) or not text else plain(text)
