"""Where does the network look: Grad-CAM by pytorch-grad-cam and integrated gradients by captum, on a network of ours.

    pip install grad-cam captum
    python examples/explain.py

One digit of four lies somewhere in a noisy scene, and the network says which. A map of heat shows that it looked at the
digit if its heat lies on the digit. What such programs get wrong (share of the heat in the digit's box, which is 9 % of
the scene; how far integrated gradients are from adding up to the change of the logit, as they should; seeds 0 and 1;
torch 2.13.0 on a CPU; python examples/wrong_backbones.py):

| program | heat in the box | off by |
|---|---|---|
| Grad-CAM of the last stage | 30 to 33 % | |
| Grad-CAM of the last stage, nothing learned yet: it points at the digit, too | 11 to 18 % | |
| integrated gradients | 48 to 62 % | 0.02 |
| integrated gradients, nothing learned yet | 26 to 27 % | |
| integrated gradients of a network in training mode, where the norms mix the pictures | 51 to 58 % | 1.4 to 1.7 |

Ink draws heat by itself: compare with a network that knows nothing. The heat does not show the last mistake.
"""

import torch
from captum.attr import IntegratedGradients
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from segment import BATCH, CLASSES, LR, SEED, SPEC, scenes
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, max_pool2d

from resnetkit import ResNet, lay_out
from resnetkit.plan import with_io

STEPS = 150


def pictures(count: int, seed: int, test: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Scenes with one digit each; which digit it is; and the pixels of its box, with one around it."""
    images, masks = scenes(count, seed, test, digits=1)
    ink = (masks > 0).float()
    across, down = ink.amax(1).cummax(1).values, ink.amax(2).cummax(1).values
    back, up = ink.amax(1).flip(1).cummax(1).values.flip(1), ink.amax(2).flip(1).cummax(1).values.flip(1)
    box = (down * up)[:, :, None] * (across * back)[:, None, :]
    return images, masks.amax((1, 2)) - 1, max_pool2d(box[:, None], 3, 1, 1)[:, 0]


def train(model: nn.Module, seed: int, steps: int = STEPS) -> None:
    optimizer = torch.optim.SGD(model.parameters(), LR, momentum=0.9, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, steps)
    images, labels, _ = pictures(steps * BATCH, seed, test=False)
    model.train()
    for step in range(steps):
        batch = slice(step * BATCH, (step + 1) * BATCH)
        optimizer.zero_grad()
        loss = cross_entropy(model(images[batch]), labels[batch])
        loss.backward()
        optimizer.step()
        schedule.step()


def inside(heat: Tensor, boxes: Tensor) -> float:
    """The share of the heat (n, height, width) that lies in the boxes, on the mean; scenes without heat count as 0."""
    shares = (heat * boxes).sum((1, 2)) / heat.sum((1, 2)).clamp(min=1e-12)
    return shares.mean().item()


def grad_cam(model: nn.Module, layer: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    targets = [ClassifierOutputTarget(label) for label in labels.tolist()]
    with GradCAM(model=model, target_layers=[layer]) as cam:
        return torch.from_numpy(cam(input_tensor=images, targets=targets))


def integrated(model: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, float]:
    """Heat of each pixel; and how far its sum is from the change of the logit, which it should be, on the mean."""
    heat, delta = IntegratedGradients(model).attribute(
        images, torch.zeros_like(images), target=labels, n_steps=24, return_convergence_delta=True
    )
    return heat.detach()[:, 0].abs(), delta.abs().mean().item()


def main() -> None:
    torch.manual_seed(SEED)
    model = ResNet(with_io(lay_out(SPEC), classes=CLASSES - 1))
    train(model, SEED)
    images, labels, boxes = pictures(40, seed=1000, test=True)
    model.eval()  # grad-cam does this by itself; captum leaves it to you
    with torch.no_grad():
        print(f"accuracy {(model(images).argmax(1) == labels).float().mean().item():.1%}")
    print(f"boxes cover {boxes.mean().item():.1%} of the scenes")
    last = model.get_submodule("layer3")[-1]  # type: ignore[index]
    print(f"Grad-CAM: {inside(grad_cam(model, last, images, labels), boxes):.1%} of the heat in the box")
    heat, delta = integrated(model, images, labels)
    print(f"integrated gradients: {inside(heat, boxes):.1%} of the heat in the box, off by {delta:.3f}")


if __name__ == "__main__":
    main()
