"""torchvision's feature pyramid network on a pyramid of ours, on the task of segment.py.

    python examples/fpn.py

A feature pyramid network (Lin et al. 2017, arXiv:1612.03144) takes maps by name, adds each coarse one to the next finer
one, and answers as many maps of equal width. It trusts the order in which it gets them. Measured on the task of
segment.py (seeds 0 and 1; torch 2.13.0 on a CPU; python examples/wrong_backbones.py):

| program | mean IoU |
|---|---|
| right | 40.9 to 46.4 % |
| maps from coarse to fine: nothing complains, fine maps are told of coarse ones no more | 39.3 to 45.5 % |
| the channels of resnet50 for a smaller network | RuntimeError: expected input ... to have 256 channels |

On small scenes the wrong order costs little, which is why it stays unseen.
"""

import torch
from segment import CLASSES, SEED, SPEC, judge, train
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torchvision.ops import FeaturePyramidNetwork

from resnetkit import Backbone, ResNet, lay_out

WIDTH = 32  # channels of every map that comes out


class Segmenter(nn.Module):
    """Images (n, 1, height, width) in, logits (n, classes, height, width) out."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Backbone(ResNet(lay_out(SPEC)), (1, 2, 3))
        info = self.backbone.feature_info
        self.names = info.module_name()
        self.fpn = FeaturePyramidNetwork(info.channels(), WIDTH)  # as many as the network has, whatever its name
        self.head = nn.Conv2d(WIDTH, CLASSES, 1)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.fpn(dict(zip(self.names, self.backbone(x), strict=True)))  # from fine to coarse
        return interpolate(self.head(maps[self.names[0]]), x.shape[-2:], mode="bilinear")


def main() -> None:
    torch.manual_seed(SEED)
    model = Segmenter()
    maps = model.fpn(dict(zip(model.names, model.backbone(torch.zeros(2, 1, 48, 48)), strict=True)))
    for name, c, x in zip(model.names, model.backbone.feature_info.channels(), maps.values(), strict=True):
        print(f"{name}: {c} channels in, {tuple(x.shape)} out")
    train(model, SEED)
    print(f"mean IoU {judge(model)[1]:.1%}")


if __name__ == "__main__":
    main()
