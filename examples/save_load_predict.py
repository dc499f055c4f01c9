"""Save a network, load it elsewhere, predict a new picture; and what a bare state_dict loses on the way.

python examples/save_load_predict.py
python examples/save_load_predict.py DATA OUT   # a folder of pictures to train on, a folder for the run
"""

import sys

import torch
from PIL import Image

import resnetkit
from resnetkit.data.sources import open_source

EPOCHS = 5


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
    print(f"  and {see.size[0]}x{see.size[1]}, {see.channels} channels, mean {see.mean}, deviation {see.std}")

    # What tutorials do: tensors alone. Whoever loads them has to know all the rest.
    bare = folder / "bare.pth"
    torch.save(model.model.state_dict(), bare)
    state = torch.load(bare, weights_only=True)  # never without: a pickle can run any program
    print(f"bare state_dict: {len(state)} tensors, the last of them {list(state)[-1]} {tuple(state['fc.bias'].shape)}")
    network = resnetkit.create_model("resnet20", num_classes=len(state["fc.bias"]), in_chans=1)
    network.load_state_dict(state)
    network.eval()
    pixels = torch.from_numpy(part.read(0).pixels.copy()).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        answer = network(pixels).softmax(1)[0]
    print(f"  it answers: class number {int(answer.argmax())} ({answer.max().item():.1%}), unnormalised, unnamed")


if __name__ == "__main__":
    main(*sys.argv[1:])
