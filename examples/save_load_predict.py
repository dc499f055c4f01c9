"""Save a network, load it elsewhere, predict a new picture; and what a bare state_dict loses on the way.

    python examples/save_load_predict.py
    python examples/save_load_predict.py DATA OUT   # a folder of pictures to train on, a folder for the run

A state_dict has neither class names nor preprocessing, and whoever guesses either gets answers all the same. The same
network (resnet20, digits, 5 epochs, seeds 0 to 2: mean, lowest and highest share of the 360 test pictures that is
right; torch 2.13.0 on a CPU; python examples/wrong_answers.py):

| what was known beside the tensors | right |
|---|---|
| all of it | 98.9 % (98.6 to 99.2) |
| names of the classes from a listing of their folders, which has no order | 10.1 % (10.0 to 10.3) |
| no mean and deviation: pictures from 0 to 1 | 19.9 % (14.4 to 26.9) |
| no word on eval(), pictures sorted by class, 36 at a time | 32.8 % (30.6 to 36.1) |
"""

import sys

import torch
from PIL import Image

import resnetkit
from resnetkit.data.sources import open_source

EPOCHS = 5


def rounded(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:.3f}" for value in values)


def main(data: str = "digits", out: str | None = None) -> None:
    folder = resnetkit.train(data, model="resnet20", epochs=EPOCHS, out=out).folder
    source = open_source(data)
    part = source.parts.get("test") or source.parts["val"]
    picture = folder / "new.png"
    Image.fromarray(part.read(0).pixels.squeeze()).save(picture)
    print(f"a new picture: {picture.name}, in truth {source.classes[part.labels[0]]}")

    # The right way: the model file brings network, class names and preprocessing along.
    model = resnetkit.load(folder / "best.safetensors")
    name, probability = model.predict(picture, top=1)[0].top[0]
    see = model.card.preprocess
    print(f"model file: {name} ({probability:.1%})")
    print(f"  it knows {', '.join(model.classes)}")
    print(f"  and {see.size[0]}x{see.size[1]}, mean {rounded(see.mean)}, deviation {rounded(see.std)}")

    # What tutorials do: tensors alone. Whoever loads them has to know all the rest.
    bare = folder / "bare.pth"
    torch.save(model.model.state_dict(), bare)
    state = torch.load(bare, weights_only=True)  # never without: a pickle can run any program
    print(f"bare state_dict: {len(state)} tensors, the last of them {list(state)[-1]} {tuple(state['fc.bias'].shape)}")
    network = resnetkit.create_model("resnet20", weights=state)
    network.eval()
    pixels = torch.tensor(see.apply(part.read(0).pixels)).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        answer = network(pixels).softmax(1)[0]
    print(f"  it answers: class number {int(answer.argmax())} ({answer.max().item():.1%}), unnormalised, unnamed")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except resnetkit.KitError as error:  # such as a path that is not there
        sys.exit(f"error: {error}")
