"""Clips are answered frame by frame, in their own colours and times, and what cannot be read is said."""

import csv
import io
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace
from command import Result, refused
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from samples import picture

import resnetkit
from resnetkit import cli
from resnetkit.classifier import Classifier
from resnetkit.clips import FrameAnswer, Summary, watch
from resnetkit.data import video
from resnetkit.data.video import natural, read_folder, read_video
from resnetkit.errors import DataError, UsageError
from resnetkit.smoothing import Moment, Smoothing
from resnetkit.spans import Span, span

RED, GREEN, BLUE = (210, 30, 40), (30, 200, 40), (30, 40, 200)
EACH = Span(1, seconds=False)
Pixels = NDArray[np.uint8]


def flat(colour: Sequence[int], size: tuple[int, int] = (64, 48)) -> Pixels:
    return np.full((size[1], size[0], 3), colour, np.uint8)


def encode(
    path: Path,
    frames: Sequence[Pixels],
    codec: str = "libx264",
    *,
    kind: str = "yuv420p",
    times: Sequence[int] | None = None,
    matrix: Colorspace | None = None,
    extent: ColorRange | None = None,
    sound: bool = False,
    options: dict[str, str] | None = None,
) -> Path:
    """A video of these frames; ``times`` are their milliseconds, without them there are 25 a second."""
    with av.open(str(path), "w", container_options=options or {}) as container:
        stream = container.add_stream(codec, rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = kind
        stream.options = {"threads": "1"}
        if times:
            stream.codec_context.time_base = Fraction(1, 1000)
        if matrix:
            stream.codec_context.colorspace = matrix
        if extent:
            stream.codec_context.color_range = extent
        audio = container.add_stream("aac", rate=8000) if sound else None
        for i, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
            frame = frame.reformat(format=kind, dst_colorspace=matrix, dst_color_range=extent)
            if times:
                frame.pts, frame.time_base = times[i], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if audio:
            hum(container, audio)
    return path


def hum(container: av.container.OutputContainer, stream: av.AudioStream) -> None:
    for i in range(4):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.rate, frame.pts, frame.time_base = 8000, 1024 * i, Fraction(1, 8000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def read(path: Path, every: Span = EACH, **more: int) -> list[video.Frame]:
    return list(read_video(path, path.name, every=every, **more))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    """A network that has learned three colours, one of them with a Chinese name."""
    root = tmp_path_factory.mktemp("colours")
    for name, colour in (("red", RED), ("green", GREEN), ("\u84dd", BLUE)):
        for i in range(16):
            rng = np.random.default_rng([i, *name.encode()])
            pixels = np.clip(np.array(colour) + rng.normal(0, 30, (32, 40, 3)), 0, 255).astype(np.uint8)
            path = root / ("val" if i < 4 else "train") / name / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    result = resnetkit.train(root, model="resnet20", size=16, epochs=12, batch=8, out=str(root / "run"), seed=1)
    assert result.accuracy >= 0.9
    return result.model


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of red, then a second of blue, with one green frame in the red."""
    frames = [flat(RED)] * 25 + [flat(BLUE)] * 25
    frames[10] = flat(GREEN)
    return encode(tmp_path_factory.mktemp("clips") / "clip.mp4", frames, sound=True)


# What a frame looks like


SHOWN = [(255, 0, 0), (0, 200, 0), (30, 60, 220), (200, 100, 50), (250, 240, 10), (255, 255, 255), (0, 0, 0)]


@pytest.mark.parametrize("extent", [ColorRange.MPEG, ColorRange.JPEG])
@pytest.mark.parametrize("matrix", [Colorspace.ITU709, Colorspace.ITU601])
@pytest.mark.parametrize(("suffix", "codec"), [("mp4", "libx264"), ("webm", "libvpx-vp9"), ("mkv", "libx264")])
def test_colours_are_those_that_were_filmed(
    tmp_path: Path, suffix: str, codec: str, matrix: Colorspace, extent: ColorRange
) -> None:
    path = tmp_path / f"a.{suffix}"
    encode(path, [flat(colour) for colour in SHOWN for _ in range(3)], codec, matrix=matrix, extent=extent)
    found = [frame.pixels[24, 32].astype(int) for frame in read(path)]
    assert np.abs(np.array(found) - np.repeat(SHOWN, 3, axis=0)).max() <= 4


@pytest.mark.parametrize(
    ("suffix", "codec", "kind", "most"),
    [
        ("mp4", "mpeg4", "yuv420p", 4),
        ("avi", "mpeg4", "yuv420p", 4),
        ("mov", "mjpeg", "yuvj420p", 4),
        ("mkv", "libx264", "yuv444p", 4),
        ("mkv", "ffv1", "bgr0", 0),
        ("mkv", "ffv1", "gray", 255),
    ],
)
def test_kinds_of_pixels(tmp_path: Path, suffix: str, codec: str, kind: str, most: int) -> None:
    path = encode(tmp_path / f"a.{suffix}", [flat(colour) for colour in SHOWN], codec, kind=kind)
    found = np.array([frame.pixels[24, 32].astype(int) for frame in read(path)])
    assert np.abs(found - np.array(SHOWN)).max() <= most
    assert (np.ptp(found, axis=1) == 0).all() == (kind == "gray")


@pytest.mark.parametrize(("size", "matrix"), [((1280, 64), Colorspace.ITU709), ((640, 64), Colorspace.ITU601)])
def test_a_video_that_names_no_colours_is_taken_as_players_take_it(
    tmp_path: Path, size: tuple[int, int], matrix: Colorspace
) -> None:
    pixels = av.VideoFrame.from_ndarray(flat(SHOWN[2], size), "rgb24").reformat(format="yuv420p", dst_colorspace=matrix)
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        pixels.colorspace = video.UNSPECIFIED
        container.mux(stream.encode(pixels))
        container.mux(stream.encode(None))
    (frame,) = read(tmp_path / "a.mkv")
    assert np.abs(frame.pixels[30, 300].astype(int) - SHOWN[2]).max() <= 4


def turned(path: Path, degrees: int) -> Path:
    """The file with another matrix in its track header (ISO/IEC 14496-12, 8.3.2): turned clockwise when shown."""
    data = bytearray(path.read_bytes())
    cosine, sine = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    matrix = [cosine << 16, sine << 16, 0, -sine << 16, cosine << 16, 0, 0, 0, 1 << 30]
    struct.pack_into(">9i", data, data.index(b"tkhd") + 44, *matrix)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_frames_are_turned_as_the_container_says(tmp_path: Path, degrees: int) -> None:
    pixels = flat(RED)
    pixels[:24, 32:], pixels[24:, :32], pixels[24:, 32:] = GREEN, BLUE, (255, 255, 255)
    path = turned(encode(tmp_path / "a.mp4", [pixels] * 2), degrees)
    wanted = np.rot90(pixels, -degrees // 90)
    for frame in read(path):
        assert frame.pixels.shape == wanted.shape
        for y, x in ((8, 8), (8, -8), (-8, 8), (-8, -8)):
            assert np.abs(frame.pixels[y, x].astype(int) - wanted[y, x]).max() <= 6


def test_frames_have_their_own_times(tmp_path: Path) -> None:
    times = [500, 540, 1000, 1020, 2500, 2540]  # the first frame is the begin of the clip
    path = encode(tmp_path / "a.mkv", [flat(RED)] * 6, times=times)
    assert [frame.moment.seconds for frame in read(path)] == pytest.approx([0, 0.04, 0.5, 0.52, 2, 2.04], abs=1e-9)
    assert [frame.moment.number for frame in read(path, Span(2, seconds=False))] == [0, 2, 4]
    assert [frame.moment.number for frame in read(path, Span(0.5, seconds=True))] == [0, 2, 4]
    assert [frame.moment.number for frame in read(path, Span(0.51, seconds=True))] == [0, 3, 4, 5]


def test_threads_change_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (48, 64, 3), np.uint8) for _ in range(30)]
    path = encode(tmp_path / "a.mp4", frames)
    one, four = ([frame.pixels.tobytes() for frame in read(path, threads=n)] for n in (1, 4))
    assert one == four
    assert len(one) == 30


# What a clip says


def test_a_clip_is_answered_frame_by_frame_and_as_a_whole(model: Classifier, clip: Path) -> None:
    *frames, summary = watch(model, clip)
    assert isinstance(summary, Summary)
    answers = [frame for frame in frames if isinstance(frame, FrameAnswer)]
    assert [answer.number for answer in answers] == list(range(50))
    assert [answer.seconds for answer in answers] == pytest.approx([i / 25 for i in range(50)])
    assert [answer.top[0][0] for answer in answers] == ["red"] * 10 + ["green"] + ["red"] * 14 + ["\u84dd"] * 25
    first, second = summary.segments  # the green frame is smoothed away
    assert (first.name, first.first.number, first.last.number, first.frames) == ("red", 0, 24, 25)
    assert (second.name, second.first.number) == ("\u84dd", 25)
    assert second.last.seconds == pytest.approx(1.96)
    own = [dict(answer.top)["red"] for answer in answers[:25]]
    assert first.probability == pytest.approx(np.mean(own), abs=1e-9)
    means = {name: np.mean([dict(answer.top)[name] for answer in answers]) for name in model.classes}
    assert dict(summary.top) == pytest.approx(means, abs=1e-9)
    assert [name for name, _ in summary.top] == sorted(means, key=lambda name: -means[name])


def test_without_smoothing_every_frame_counts(model: Classifier, clip: Path) -> None:
    *_, summary = watch(model, clip, smooth=0)
    assert isinstance(summary, Summary)
    assert [segment.name for segment in summary.segments] == ["red", "green", "red", "\u84dd"]


def test_a_frame_is_answered_as_its_picture_is(model: Classifier, tmp_path: Path) -> None:
    """Losslessly coded frames, the same frames as a folder, and the pictures of that folder."""
    rng = np.random.default_rng(3)
    frames = [np.clip(rng.normal(colour, 60, (48, 64, 3)), 0, 255).astype(np.uint8) for colour in (RED, GREEN, BLUE)]
    encode(tmp_path / "a.mkv", frames, "ffv1", kind="bgr0")
    (tmp_path / "frames").mkdir()
    for number, pixels in zip((2, 9, 10), frames, strict=True):
        Image.fromarray(pixels).save(tmp_path / "frames" / f"{number}.png")
    film, folder = list(watch(model, tmp_path / "a.mkv")), list(watch(model, tmp_path / "frames"))
    pictures = model.predict([tmp_path / "frames" / f"{number}.png" for number in (2, 9, 10)])
    assert [answer.top for answer in film[:3]] == [answer.top for answer in folder[:3]]
    assert [answer.top for answer in film[:3]] == [answer.top for answer in pictures]
    assert [answer.seconds for answer in folder[:3] if isinstance(answer, FrameAnswer)] == [None] * 3


def test_natural_order() -> None:
    names = ["f10.png", "f2.png", "f02.png", "10.png", "a.png", "2.png", "F1.png", "f\u00b2.png"]
    assert sorted(names, key=natural)[:2] == ["2.png", "10.png"]
    assert sorted(names, key=natural)[-5:] == ["a.png", "f02.png", "f2.png", "f10.png", "f\u00b2.png"]


def test_only_a_batch_of_frames_is_ahead(model: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, pulled = encode(tmp_path / "a.avi", [flat(RED)] * 700, "mpeg4"), 0
    real = video.read_video

    def counted(*words: object, **more: object) -> Iterator[video.Frame]:
        nonlocal pulled
        for frame in real(*words, **more):  # type: ignore[arg-type]
            pulled += 1
            yield frame

    monkeypatch.setattr(video, "read_video", counted)
    answers = watch(model, path)
    next(answers)
    assert pulled == 250
    assert len(list(answers)) == 700


# The window


@given(
    st.lists(st.tuples(st.floats(0, 3), st.lists(st.integers(0, 8), min_size=3, max_size=3)), min_size=1, max_size=40),
    st.sampled_from([Span(0, seconds=True), Span(1, seconds=True), Span(2.5, seconds=True), Span(3, seconds=False)]),
)
def test_smoothing_is_the_mean_over_the_window(rows: list[tuple[float, list[int]]], window: Span) -> None:
    seconds = np.cumsum([gap for gap, _ in rows])
    scores = np.array([row for _, row in rows]) / 8
    smoothing = Smoothing(window)
    for number, (now, row) in enumerate(zip(seconds, scores, strict=True)):
        smoothing.add(Moment(number, float(now)), row)
    whole = smoothing.end()
    places = seconds if window.seconds else np.arange(len(rows))
    labels = []
    for place in places:
        inside = np.abs(places - place) <= window.amount / 2 + 1e-6
        labels.append(int(scores[inside].sum(0).argmax()))
    assert [s.label for s in smoothing.segments for _ in range(s.frames)] == labels
    assert all(a.label != b.label for a, b in zip(smoothing.segments, smoothing.segments[1:], strict=False))
    assert [s.first.number for s in smoothing.segments] == [
        i for i, label in enumerate(labels) if not i or label != labels[i - 1]
    ]
    assert whole == pytest.approx(scores.mean(0))


def test_what_smoothing_holds_is_as_long_as_the_window() -> None:
    smoothing = Smoothing(Span(1, seconds=True))
    for number in range(5000):
        smoothing.add(Moment(number, number / 25), np.array([0.5, 0.5]))
        assert len(smoothing._held) <= 27
    assert len(smoothing.segments) == 1


@pytest.mark.parametrize("text", ["", "x", "-1", "0.5", "1e9", "nan", "5 m", "s", "2000000"])
def test_spans_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="--every is"):
        span(text, "--every")
    assert span("0.5s", "x") == Span(0.5, seconds=True)
    assert span("12", "x") == Span(12, seconds=False)


# The command


@pytest.fixture
def predict(model: Classifier, capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """resnet predict in this process, with the model of these tests."""

    def run(*words: str | Path) -> Result:
        capsys.readouterr()
        code = cli.main(["predict", str(model.folder), *map(str, words)])
        return Result(code, *capsys.readouterr())

    return run


def test_the_command_answers_a_clip_among_pictures(predict: Callable[..., Result], clip: Path, tmp_path: Path) -> None:
    red = picture(tmp_path / "red.png", RED)
    done = predict(red, clip, "--every", "5", "--top", "1", "--json")
    assert done.code == 0, done.err
    one, film = done.document
    assert one["top"][0]["class"] == "red"
    assert set(film) == {"path", "frames", "top", "segments"}
    assert [row["frame"] for row in film["frames"]] == list(range(0, 50, 5))
    assert film["frames"][1] == {"frame": 5, "seconds": 0.2, "top": film["frames"][1]["top"]}
    assert [(s["class"], s["begin_seconds"], s["end_seconds"], s["frames"]) for s in film["segments"]] == [
        ("red", 0, 0.8, 5),
        ("\u84dd", 1, 1.8, 5),
    ]
    text = predict(clip, "--every", "0.5s", "--smooth", "0", "--top", "1").out.splitlines()
    assert [line.split("  ")[1:3] for line in text[:4]] == [
        ["frame 0", "0.000 s"], ["frame 13", "0.520 s"], ["frame 25", "1.000 s"], ["frame 38", "1.520 s"],
    ]  # fmt: skip
    assert "0.000 to 0.520 s  red" in text[4]
    assert "whole clip" in text[-1]


def test_a_broken_clip_leaves_the_others_answered(predict: Callable[..., Result], clip: Path, tmp_path: Path) -> None:
    webm = encode(tmp_path / "cut.webm", [flat(RED)] * 20 + [flat(BLUE)] * 20, "libvpx-vp9")
    webm.write_bytes(webm.read_bytes()[:-30])
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    done = predict(text, webm, clip, "--csv", "--top", "1")
    assert done.code == 3, done.err
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert list(rows[0]) == ["path", "frame", "seconds", "class_1", "probability_1", "error"]
    assert "text file, not a video" in rows[0]["error"]
    ours = [row for row in rows if row["path"] == str(webm)]
    assert [row["class_1"] for row in ours[:20]] == ["red"] * 20
    assert "breaks off after 1.5" in ours[-1]["error"]
    assert "(fix: " in ours[-1]["error"]
    assert sum(row["path"] == str(clip) and not row["error"] for row in rows) == 50
    documents = predict(webm, "--json").document
    assert set(documents[0]) == {"path", "frames", "error"}


def test_a_folder_is_a_clip_when_asked(predict: Callable[..., Result], tmp_path: Path) -> None:
    for i in range(12):
        picture(tmp_path / "frames" / f"{i}.png", RED if i < 6 else GREEN)
    pictures = predict(tmp_path / "frames", "--top", "1", "--json").document
    assert len(pictures) == 12
    done = predict(tmp_path / "frames", "--frames", "--smooth", "3", "--top", "1", "--json")
    (film,) = done.document
    assert [row["frame"] for row in film["frames"]] == list(range(12))
    assert "seconds" not in film["frames"][0]
    assert [(s["class"], s["first_frame"], s["last_frame"]) for s in film["segments"]] == [
        ("red", 0, 5),
        ("green", 6, 11),
    ]
    refused(predict(tmp_path / "frames", "--frames", "--every", "1s"), 2, "have no time")
    (film,) = predict(tmp_path / "frames", "--frames", "--every", "5", "--json").document
    assert [row["frame"] for row in film["frames"]] == [0, 5, 10]
    (tmp_path / "frames" / "4.png").write_bytes(b"broken")
    done = predict(tmp_path / "frames", "--frames", "--json")
    assert (done.code, len(done.document[0]["frames"])) == (3, 4)


def test_flags_that_could_change_nothing_are_errors(predict: Callable[..., Result], tmp_path: Path) -> None:
    red = picture(tmp_path / "red.png", RED)
    refused(predict(red, "--every", "2"), 2, "--every")
    refused(predict(red, "--smooth", "2s"), 2, "--smooth")
    refused(predict(red, "--frames"), 2, "--frames")
    refused(predict("a.mp4", "--every", "0"), 2, "--every")


def test_without_pyav_pictures_are_answered_and_videos_say_what_to_install(
    model: Classifier, clip: Path, tmp_path: Path
) -> None:
    (tmp_path / "av").mkdir()
    (tmp_path / "av" / "__init__.py").write_text("raise ImportError('no av')")
    picture(tmp_path / "red.png", RED)
    shadowed = "import sys; sys.path.insert(0, sys.argv.pop(1)); import resnetkit.cli; sys.exit(resnetkit.cli.main())"
    for inputs, code in (([tmp_path / "red.png"], 0), ([tmp_path / "red.png", clip], 5)):
        done = python(shadowed, str(tmp_path), "predict", str(model.folder), *map(str, inputs))
        assert done[0] == code, done
        assert ('pip install "resnetkit[video]"' in done[2]) == bool(code)
        assert bool(done[1]) != bool(code)


def python(code: str, *words: str) -> tuple[int, str, str]:
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


# Broken files


def sized(data: bytes, codec: bytes, width: int, height: int) -> bytes:
    """An mp4 whose sample description says another size (ISO/IEC 14496-12, 12.1.3)."""
    out = bytearray(data)
    struct.pack_into(">HH", out, out.index(codec, out.index(b"stsd") + 8) + 28, width, height)
    return bytes(out)


def zeroed(data: bytes, begin: float, end: float) -> bytes:
    a, b = int(len(data) * begin), int(len(data) * end)
    return data[:a] + bytes(b - a) + data[b:]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Good videos to break, by their suffix."""
    root, rng = tmp_path_factory.mktemp("whole"), np.random.default_rng(1)
    frames = [rng.integers(0, 256, (48, 64, 3), np.uint8) for _ in range(12)]
    made = {
        "mp4": encode(root / "a.mp4", frames),
        "start.mp4": encode(root / "b.mp4", frames, options={"movflags": "faststart"}),
        "parts.mp4": encode(root / "c.mp4", frames, options={"movflags": "frag_keyframe+empty_moov"}),
        "mov": encode(root / "a.mov", frames, "mjpeg", kind="yuvj420p"),
        "mkv": encode(root / "a.mkv", frames),
        "webm": encode(root / "a.webm", frames, "libvpx-vp9"),
        "avi": encode(root / "a.avi", frames, "mpeg4"),
        "raw.avi": encode(root / "b.avi", frames, "rawvideo", kind="bgr24"),
    }
    for path in made.values():
        assert len(read(path)) == 12
    with av.open(str(root / "sound.mp4"), "w") as container:
        hum(container, container.add_stream("aac", rate=8000))
    with av.open(str(root / "none.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    with av.open(str(root / "old.avi"), "w") as container:
        stream = container.add_stream("cinepak", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb24"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(frames[0], "rgb24")))
        container.mux(stream.encode(None))
    for name in ("sound.mp4", "none.mkv", "old.avi"):
        made[name] = root / name
    found = {name: path.read_bytes() for name, path in made.items()}
    encode(root / "large.mp4", [flat(RED, (1920, 1080))])
    return {**found, "large.mp4": (root / "large.mp4").read_bytes()}


def jpeg_size(data: bytes) -> bytes:
    """Every frame of a Motion JPEG says 60,000 x 60,000."""
    return data.replace(b"\xff\xc0\x00\x11\x08\x00\x30\x00\x40", b"\xff\xc0\x00\x11\x08\xea\x60\xea\x60")


def bitmap_size(data: bytes, side: int = 60000) -> bytes:
    out = bytearray(data)
    struct.pack_into("<ii", out, out.index(b"strf") + 12, side, side)
    return bytes(out)


BROKEN: dict[str, tuple[str, Callable[[bytes], bytes], str]] = {
    "empty": ("mp4", lambda _: b"", "is empty"),
    "ten bytes of mp4": ("mp4", lambda data: data[:10], "damaged"),
    "a third of mp4": ("mp4", lambda data: data[: len(data) // 3], "ends too early"),
    "most of mp4": ("mp4", lambda data: data[: len(data) * 9 // 10], "ends too early"),
    "half of a streamed mp4": ("start.mp4", lambda data: data[: len(data) // 2], "ends too early"),
    "a streamed mp4 but for a byte": ("start.mp4", lambda data: data[:-1], "ends too early"),
    "half of an mp4 in fragments": ("parts.mp4", lambda data: data[: len(data) // 2], "ends too early"),
    "half of mov": ("mov", lambda data: data[: len(data) // 2], "ends too early"),
    "half of mkv": ("mkv", lambda data: data[: len(data) // 2], "ends too early"),
    "half of webm": ("webm", lambda data: data[: len(data) // 2], "ends too early"),
    "half of avi": ("avi", lambda data: data[: len(data) // 2], "ends too early"),
    "a hundred bytes of mkv": ("mkv", lambda data: data[:100], "ends too early"),
    "a hundred bytes of avi": ("avi", lambda data: data[:100], "ends too early"),
    "zeros in mp4": ("mp4", lambda data: zeroed(data, 0.3, 0.6), "damaged"),
    "zeros in webm": ("webm", lambda data: zeroed(data, 0.4, 0.5), "missing|damaged"),
    "zeros in mkv": ("mkv", lambda data: zeroed(data, 0.4, 0.5), "damaged after .* could not be decoded whole"),
    "zeros in mov": ("mov", lambda data: zeroed(data, 0.3, 0.6), "damaged"),
    "zeros where the index is": ("mp4", lambda data: zeroed(data, 0.97, 1), "damaged|no |unknown way"),
    "zeros throughout": ("mp4", lambda data: bytes(len(data)), "not a video of a known kind"),
    "text": ("mp4", lambda _: b"Once upon a time", "text file, not a video"),
    "a web page": ("mp4", lambda _: b"<!doctype html><html></html>", "text file, not a video"),
    "a playlist": ("mp4", lambda _: b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1/a.ts\n", "text file, not a video"),
    "a list of files": ("mkv", lambda _: b"ffconcat version 1.0\nfile 'other.mp4'\n", "text file, not a video"),
    "an address of a camera": ("mp4", lambda _: b"v=0\nc=IN IP4 127.0.0.1\nm=video 5 RTP/AVP 96\n", "text file"),
    "a playlist behind a box": ("mp4", lambda _: b"\0\0\0\x10ftypisom\0\0\0\0#EXTM3U\nhttp://a/a.ts\n", "damaged"),
    "a box without end": ("mp4", lambda _: b"\0\0\0\x01mdat" + b"\xff" * 80, "ends too early"),
    "a picture": ("mp4", lambda _: b"\x89PNG\r\n\x1a\n" + bytes(90), "PNG picture, not a video"),
    "an archive": ("mkv", lambda _: b"PK\x03\x04" + bytes(90), "not a video of a known kind"),
    "another kind of video": ("avi", lambda _: b"FLV\x01\x05\0\0\0\x09" + bytes(90), "not a video of a known kind"),
    "mkv from nowhere": ("mkv", lambda _: b"\x1aE\xdf\xa3" + bytes(range(256)), "damaged"),
    "sound alone": ("sound.mp4", lambda data: data, "sound but no moving pictures"),
    "no frames": ("none.mkv", lambda data: data, "damaged|holds no frames"),
    "an old codec": ("old.avi", lambda data: data, "is coded as cinepak"),
    "60000 x 60000 in its frames": ("mov", jpeg_size, "damaged|more than the limit"),
    "60000 x 60000 in its header": ("raw.avi", bitmap_size, "too large|damaged"),
    "no size at all": ("raw.avi", lambda data: bitmap_size(data, 0), "does not say how large"),
    "too many pixels": ("large.mp4", lambda data: data, r"2,073,600 pixels a frame \(1920 x 1080\)"),
    "a small size over large frames": ("large.mp4", lambda data: sized(data, b"avc1", 16, 16), "2,073,600|damaged"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_broken_videos_say_what_is_wrong(tmp_path: Path, whole: dict[str, bytes], name: str) -> None:
    good, harm, says = BROKEN[name]
    path = tmp_path / f"clip.{good.rpartition('.')[2]}"
    path.write_bytes(harm(whole[good]))
    with pytest.raises(DataError, match=says) as found:
        read(path, max_pixels=1_000_000)
    assert found.value.what.startswith(path.name)
    assert len(found.value.what) < 250
    assert found.value.fix
    assert found.value.what.isprintable()


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.mp4")
    (tmp_path / "b.mp4").symlink_to(tmp_path / "gone.mp4")
    for name, says in (("a.mp4", "is a pipe, not a video"), ("b.mp4", "leads nowhere"), ("c.mp4", "does not exist")):
        with pytest.raises(DataError, match=says):
            read(tmp_path / name)
    with pytest.raises(DataError, match="holds no pictures"):
        list(read_folder(tmp_path, "here", every=EACH))


def test_ffmpeg_is_told_no_name_and_one_format(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, object]] = []
    real = av.open

    def noted(file: object, *words: object, **more: object) -> object:
        asked.append((file, more["format"]))
        return real(file, *words, **more)  # type: ignore[call-overload]

    monkeypatch.setattr(av, "open", noted)
    read(clip)
    ((file, kind),) = asked
    assert isinstance(file, io.FileIO)
    assert isinstance(file.name, int)
    assert kind == "mov"


@given(st.binary(max_size=300), st.sampled_from([b"\0\0\0\x18ftypisom", b"\x1aE\xdf\xa3", b"RIFF\0\1\0\0AVI LIST"]))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes, start: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.mp4"
    path.write_bytes(start + data)
    with pytest.raises(DataError):
        read(path)


def test_any_changed_byte_is_read_or_refused(tmp_path: Path, whole: dict[str, bytes]) -> None:
    rng, path = np.random.default_rng(5), tmp_path / "any.mp4"
    for data in (whole["mp4"], whole["mkv"], whole["webm"], whole["avi"], whole["mov"]):
        for _ in range(25):
            changed = np.frombuffer(data, np.uint8).copy()
            changed[rng.integers(0, len(data), 8)] = rng.integers(0, 256, 8)
            path.write_bytes(changed.tobytes())
            try:
                frames = read(path, max_pixels=100_000)
            except DataError:
                continue
            assert all(frame.pixels.size <= 300_000 for frame in frames)
