"""The rows of resnetkit/published.json, made from what torchvision and timm say of their own weights.

``python tests/rows.py RESULTS`` writes the file anew, where RESULTS is timm's results/results-imagenet.csv. Whole
SHA-256 sums and commits stand in KNOWN: neither library says them.
"""

import csv
import dataclasses
import json
import re
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from peers import peer

import resnetkit

TARGET = Path(resnetkit.__file__).with_name("published.json")
VISION = """
    resnet18 resnet34 resnet50 resnet101 resnet152 resnext50_32x4d resnext101_32x8d resnext101_64x4d wide_resnet50_2
    wide_resnet101_2 shufflenet_v2_x0_5 shufflenet_v2_x1_0 shufflenet_v2_x1_5 shufflenet_v2_x2_0 r3d_18
    mobilenet_v2
""".split()
OURS = {"mobilenet_v2": "mobilenetv2_100"}  # what the zoo calls otherwise
TIMM = """
    resnet* resnext* wide_resnet* seresnet* seresnext* ecaresnet* resnetblur* resnetrs* mobilenetv2_*
    resnetv2_18* resnetv2_34* resnetv2_50* resnetv2_101* resnetv2_152*
""".split()
NOT_OURS = ("*_bit", "*_evos", "*_frn", "*_pruned")  # standardized convolutions, other norms, uneven widths
DATA = {0: None, 400: "Kinetics-400", 1000: "ImageNet-1k", 11821: "ImageNet-12k"}

# By the end of an address, or hub id: the commit, the SHA-256 and the bytes of the file. None of them was seen here
# as a file. Each SHA-256 begins with the digits in the name of its file, if that has any, and stands in the
# public code of at least two projects that do not copy one another.
KNOWN: dict[str, dict[str, Any]] = {
    "resnet18-f37072fd.pth": {
        "sha256": "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec",
        "bytes": 46830571,
    },
    "resnet34-b627a593.pth": {"sha256": "b627a593bcbe140c234610266fe4f8ae95ea42fc881d091c9b6052e6b1d0590f"},
    "resnet50-0676ba61.pth": {"sha256": "0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a"},
    "resnet50-11ad3fa6.pth": {
        "sha256": "11ad3fa62ca79e40addfd354a8ec4b7c75143b3038b8d2a807fbc68deab379ca",
        "bytes": 102540417,
    },
    "resnet101-63fe2227.pth": {"sha256": "63fe2227b86e8f1f2063f43a75c84d195911b6a0eace650907dd3dc62dd49a0a"},
    "resnet101-cd907fc2.pth": {"sha256": "cd907fc2a0de2292b2ba2b27d2216bc672d84632d1cf20058d01c0c03b5e020e"},
    "resnet152-394f9c45.pth": {"sha256": "394f9c45966e3651a89bbb78a48410a6755854ce4a5ab64927cf1c7247f85e58"},
    "wide_resnet50_2-95faca4d.pth": {"sha256": "95faca4d11227dddf8633dbb5ff6c8a9003c1aa5b8945c73834b8007b10950b8"},
    "r3d_18-b3b3357e.pth": {
        "sha256": "b3b3357ead25631ec9c57362ff2128a92d0427e01e2cd184951a44380c3f2e9d",
        "bytes": 133546016,
    },
    "timm/resnet18.a1_in1k": {
        "revision": "491b427b45c94c7fb0e78b5474cc919aff584bbf",
        "sha256": "80c49dee3da4822c009c5a7fe591e9223c5a2cfcf95a4067ca4dfb5a7b89c612",
        "bytes": 46807446,
    },
    "timm/resnet50.a1_in1k": {
        "revision": "767268603ca0cb0bfe326fa87277f19c419566ef",
        "sha256": "773525d5821de224f8f30c33377b7a795d7863e08522698200d3217d3f2a41bb",
        "bytes": 102469840,
    },
    "timm/wide_resnet50_2.racm_in1k": {
        "revision": "30f73aceaaa1911830a9795b83ab1908dba18719",
        "sha256": "03b71d65fb2c73bb0de079a1781009f27a782ec481d2f64ab3bde9b1cdec3000",
        "bytes": 275835296,
    },
}


def file_row(*, url: str | None = None, hub: str | None = None, mib: float | None = None) -> dict[str, Any]:
    """A file of a row, at a fixed address or on the hub, with null for what is not known of it."""
    name = (url or "").rpartition("/")[2]
    digits = re.search(r"-([0-9a-f]{8,64})\.\w+$", name)
    known = KNOWN.get(hub or name, {})
    return {
        "hub": hub,
        "revision": known.get("revision"),
        "url": url,
        "digits": digits[1][:8] if digits else None,
        "sha256": known.get("sha256"),
        "bytes": known.get("bytes"),
        "mib": mib,
    }


def vision_rows() -> list[dict[str, Any]]:
    models = peer("torchvision.models")
    found = []
    for theirs in VISION:
        for one in models.get_model_weights(theirs):
            shown = one.transforms()
            side, resized = shown.crop_size[0], shown.resize_size[0]
            scored = next(iter(one.meta["_metrics"].values()))
            found.append(
                {
                    "name": f"torchvision/{theirs}.{one.name.lower()}",
                    "network": OURS.get(theirs, theirs),
                    "data": DATA[len(one.meta["categories"])],
                    "classes": len(one.meta["categories"]),
                    "size": side,
                    "crop": round(side / resized, 4),
                    "interpolation": shown.interpolation.value,
                    "mean": shown.mean,
                    "std": shown.std,
                    "licence": None,
                    "top1": scored["acc@1"],
                    "top5": scored["acc@5"],
                    "measured_at": side,
                    "files": [file_row(url=one.url, mib=one.meta["_file_size"])],
                }
            )
    return found


def timm_rows(scores: list[dict[str, str]]) -> list[dict[str, Any]]:
    peer("timm")
    found = []
    for module in ("resnet", "resnetv2", "efficientnet"):
        for network, tagged in peer(f"timm.models.{module}").default_cfgs.items():
            if not any(fnmatchcase(network, p) for p in TIMM) or any(fnmatchcase(network, p) for p in NOT_OURS):
                continue
            for tag, about in tagged.cfgs.items():
                says = dataclasses.asdict(about)
                if not (says["url"] or says["hf_hub_id"]):
                    continue
                name = f"{network}.{tag}" if tag else network
                hub = (says["hf_hub_id"] or "") + (name if (says["hf_hub_id"] or "").endswith("/") else "")
                files = [file_row(hub=hub)] if hub else []
                files += [file_row(url=says["url"])] if says["url"] else []
                side = says["input_size"][1]
                mine = [row for row in scores if row["model"] == name]
                score = next((row for row in mine if int(row["img_size"]) == side), mine[0] if mine else {})
                found.append(
                    {
                        "name": f"timm/{name}",
                        "network": network,
                        "data": DATA[says["num_classes"]],
                        "classes": says["num_classes"],
                        "size": side,
                        "crop": says["crop_pct"],
                        "interpolation": says["interpolation"],
                        "mean": says["mean"],
                        "std": says["std"],
                        "licence": says["license"],
                        "top1": float(score["top1"]) if score else None,
                        "top5": float(score["top5"]) if score else None,
                        "measured_at": int(score["img_size"]) if score else None,
                        "files": files,
                    }
                )
    return found


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:
        scores = list(csv.DictReader(file))
    rows = sorted([*vision_rows(), *timm_rows(scores)], key=lambda row: str(row["name"]))
    lines = ",\n".join(json.dumps(row, separators=(", ", ": ")) for row in rows)
    TARGET.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
