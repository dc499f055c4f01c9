"""resnet explain: where in a picture an answer comes from, as overlays and in figures."""

import sys
from argparse import Namespace
from pathlib import Path
from typing import Any, TextIO

from resnetkit.arguments import lines_of, one_of, whole
from resnetkit.errors import DataError, UsageError, plain
from resnetkit.flags import Parser
from resnetkit.verbs.answering import device_asked, device_flags
from resnetkit.verbs.verb import UNREADABLE, say

METHODS = ("gradcam", "layercam", "integrated", "occlusion")  # of resnetkit.explain.maps, which would load torch
OUT = "explained"


def explain_flags(parser: Parser) -> None:
    parser.word("model", "a model file, or the folder of a run")
    parser.word("path", "pictures, folders, or quoted patterns such as 'photos/*.jpg'", "any")
    parser.flag("method", f"{', '.join(METHODS)} [gradcam]", "NAME")
    parser.flag("class", "explain this class, tag or number [the likeliest]", "NAME")
    parser.flag("stage", "of gradcam and layercam: look at the map of this stage, from 1 [what the head sees]", "N")
    parser.flag("out", f"folder for the overlays [./{OUT}]", "DIR")
    parser.flag("npz", "write the bare maps beside the overlays")
    parser.flag("sanity", "say how much of each map stays when all weights are shuffled, which should be little")
    parser.flag("from", "take more paths from a file with one a line", "LIST")
    device_flags(parser)
    parser.flag("json", "print one JSON document, and nothing else on stdout")


def explain(asked: Namespace, out: TextIO) -> int:
    method = one_of("--method", asked.method, METHODS) or METHODS[0]
    stage = None if asked.stage is None else whole("--stage", asked.stage, 1, 1000)
    listed = vars(asked)["from"]
    paths = [*asked.path, *(lines_of(listed, "--from") if listed is not None else [])]
    if not paths:
        raise UsageError("resnet explain needs pictures", "name files, folders or patterns, or a list with --from")
    machine, target = device_asked(asked), vars(asked)["class"]

    from resnetkit import api
    from resnetkit.data.video import SUFFIXES
    from resnetkit.explain import embeddings, explanation, maps, sanity, written
    from resnetkit.inputs import expand

    for path in paths:
        if Path(path).suffix.lower() in SUFFIXES:
            raise UsageError(
                f"{plain(path)} is a video, and single pictures are explained", "give it frames as pictures"
            )
    model = api.load(asked.model, **machine)
    maps.refuse(model.model, method, stage)  # before a folder is made
    explanation.refuse_target(model.card, target)
    folder = Path(OUT if asked.out is None else asked.out)
    written.make_folder(folder)
    network = embeddings.fingerprint(model.model, model.card.preprocess)
    other = sanity.shuffled(model) if asked.sanity else None
    found: list[dict[str, Any]] = []
    for name, source in expand(paths):
        try:
            if isinstance(source, str):
                raise DataError(source, "name a picture")
            told = model.explain(source, method=method, target=target, stage=stage)
        except DataError as error:
            found.append({"path": name, "error": error.what})
            if not asked.json:
                say(out, f"{plain(name)}  not read: {plain(error.what)}")
            continue
        files = written.write(folder, told, network, maps=asked.npz)
        more: dict[str, Any] = dict(zip(("overlay", "maps"), map(str, files), strict=False))
        if other is not None:
            more["sanity"] = sanity.likeness(told, other.explain(source, method=method, target=told.name, stage=stage))
        found.append({**told.as_dict(), **more})
        if not asked.json:
            say(out, "  ".join([plain(name), *line(found[-1])]))
    if asked.json:
        say(out, found)
    elif any("box" in one for one in found):
        print("boxes are left,top-right,bottom in pixels, around the hottest half", file=sys.stderr)
    return UNREADABLE if any("error" in one for one in found) else 0


def line(about: dict[str, Any]) -> list[str]:
    """What is said of one picture, for people."""
    name = next(about[key] for key in ("class", "tag", "number") if key in about)
    value = f"{about['probability']:.4f}" if "probability" in about else f"{about['value']:.6g}"
    box = about["box"]
    where = "nothing speaks for it" if box is None else "box {},{}-{},{}".format(*box)
    kept = [f"sanity {about['sanity']:+.2f}"] if "sanity" in about else []
    return [plain(name), value, where, *kept, plain(about["overlay"])]
