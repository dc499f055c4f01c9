"""What becomes of a backbone that is used wrongly: the tables in segment.py, fpn.py and explain.py.

python examples/wrong_backbones.py
"""

from collections import defaultdict

import explain
import fpn
import segment
import torch
from segment import SPEC, judge, scenes, scores
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torchvision.ops import FeaturePyramidNetwork

from resnetkit import ResNet, lay_out
from resnetkit.plan import with_io

SEEDS = (0, 1, 2)


class CoarseToFine(fpn.Segmenter):
    """The maps the other way round. Nothing complains: nearest neighbours make fine maps coarse as well."""

    def __init__(self) -> None:
        super().__init__()
        self.fpn = FeaturePyramidNetwork(self.backbone.feature_info.channels()[::-1], fpn.WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        pairs = list(zip(self.names, self.backbone(x), strict=True))
        maps = self.fpn(dict(reversed(pairs)))
        return interpolate(self.head(maps[self.names[0]]), x.shape[-2:], mode="bilinear")


def trained(kind: type[nn.Module], seed: int, levels: tuple[int, ...] = ()) -> nn.Module:
    torch.manual_seed(seed)
    model = kind(levels) if levels else kind()
    segment.train(model, seed)
    return model


@torch.no_grad()
def judge_in_training(model: nn.Module) -> tuple[float, float]:
    """Norms take their mean and variance from one picture at a time, as it comes to a server."""
    model.train()
    images, masks = scenes(100, seed=1000, test=True)
    return scores(masks, torch.cat([model(one[None]).argmax(1) for one in images]))


def looks(seed: int) -> dict[str, float]:
    torch.manual_seed(seed)
    model = ResNet(with_io(lay_out(SPEC), classes=segment.CLASSES - 1)).eval()
    images, labels, boxes = explain.pictures(20, seed=1000, test=True)
    found = {}

    def cam(name: str, stage: str) -> None:
        layer = model.get_submodule(stage)[-1]  # type: ignore[index]
        found[f"Grad-CAM, {name}"] = explain.inside(explain.grad_cam(model, layer, images, labels), boxes)

    cam("nothing learned", "layer3")
    found["gradients, nothing learned"] = explain.inside(explain.integrated(model, images, labels)[0], boxes)
    explain.train(model, seed)
    cam("last stage", "layer3")
    cam("first stage", "layer1")
    for mode in ("eval", "train"):
        model.train(mode == "train")
        heat, delta = explain.integrated(model, images, labels)
        found |= {f"gradients, {mode}": explain.inside(heat, boxes), f"gradients, {mode}, off by": delta}
    found["box"] = boxes.mean().item()
    return found


def main() -> None:
    rows: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    _, masks = scenes(100, seed=1000, test=True)
    for seed in SEEDS:
        right = trained(segment.Segmenter, seed)
        rows["segment: right"].append(judge(right))
        rows["segment: in training mode"].append(judge_in_training(right))
        rows["segment: last map alone"].append(judge(trained(segment.Segmenter, seed, (3,))))
        rows["segment: ground everywhere"].append(scores(masks, torch.zeros_like(masks)))
        rows["fpn: right"].append(judge(trained(fpn.Segmenter, seed)))
        rows["fpn: coarse to fine"].append(judge(trained(CoarseToFine, seed)))
        for name, value in looks(seed).items():
            rows[f"explain: {name}"].append((value,))
        print(f"seed {seed}", {name: values[-1] for name, values in rows.items()}, flush=True)
    for name, values in rows.items():
        print(f"{name:38}", *(f"{min(column):.3f} to {max(column):.3f}  " for column in zip(*values, strict=True)))
    try:
        FeaturePyramidNetwork([256, 512, 1024], 32)(
            dict(enumerate(fpn.Segmenter().backbone(torch.zeros(1, 1, 48, 48))))
        )
    except RuntimeError as error:
        print(f"fpn: channels of resnet50: {error}")


if __name__ == "__main__":
    main()
