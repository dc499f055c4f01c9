"""Words, dictionaries and pictures of a network say the same as its costs."""

import json
import re

import pytest
from command import refused, resnet

from resnetkit.cost import totals
from resnetkit.describe import as_dict, listing, mermaid, table
from resnetkit.layout import lay_out
from resnetkit.walk import rows
from resnetkit.zoo import ZOO, find

RESNET50 = """\
resnet50 for pictures of 3 x 224 x 224

part     gives           layers                                      shortcuts          parameters  multiply-adds
conv1    64 x 112 x 112  7x7 64 stride 2                                                     9,536    118,013,952
maxpool  64 x 56 x 56    3x3 largest, stride 2                                                   0              0
layer1   256 x 56 x 56   [1x1 64, 3x3 64, 1x1 256] x 3               project, identity     215,808    667,942,912
layer2   512 x 28 x 28   [1x1 128, 3x3 128, 1x1 512] x 4, stride 2   project, identity   1,219,584  1,027,604,480
layer3   1024 x 14 x 14  [1x1 256, 3x3 256, 1x1 1024] x 6, stride 2  project, identity   7,098,368  1,464,336,384
layer4   2048 x 7 x 7    [1x1 512, 3x3 512, 1x1 2048] x 3, stride 2  project, identity  14,964,736    809,238,528
avgpool  2048 x 1 x 1    mean of the map                                                         0              0
fc       1000 x 1 x 1    2048 to 1000                                                    2,049,000      2,048,000
in all                                                                                  25,557,032  4,089,184,256

receptive field 427 x 427 pixels, activations 11,113,984"""


def test_the_table_is_that_of_the_paper() -> None:
    assert table(lay_out(find("resnet50")), "resnet50") == RESNET50


@pytest.mark.parametrize("name", ZOO)
def test_the_parts_of_a_table_add_up(name: str) -> None:
    plan = lay_out(find(name))
    size = (8, 40, 72)[3 - plan.ndim :]
    lines = table(plan, name, size).splitlines()
    clips = f"{name} for clips of 3 x 8 x 40 x 72"
    assert lines[0] == (clips if plan.ndim == 3 else f"{name} for pictures of 3 x 40 x 72")
    *parts, whole = [tuple(int(n.replace(",", "")) for n in line.split()[-2:]) for line in lines[3:-2]]
    assert whole == tuple(map(sum, zip(*parts, strict=True)))
    assert whole == (totals(plan, size).parameters, totals(plan, size).macs)
    assert not any(line != line.rstrip() for line in lines)


def test_a_name_cannot_break_the_table() -> None:
    assert table(lay_out(find("resnet20")), "a\nb\x1b[31m").splitlines()[0].startswith("a\\nb\\x1b[31m for")


def test_the_dictionary_is_json() -> None:
    plan = lay_out(find("resnet20"))
    told = as_dict(plan, "resnet20", (28, 30))
    assert json.loads(json.dumps(told)) == told
    assert list(told) == ["name", "parameters", "macs", "activations", "receptive_field", "input", "layers"]
    assert (told["name"], told["input"], told["parameters"]) == ("resnet20", [3, 28, 30], 269_722)
    assert sum(layer["macs"] for layer in told["layers"]) == told["macs"] == totals(plan, (28, 30)).macs
    assert [layer["name"] for layer in told["layers"]] == [row.name for row in rows(plan)]
    assert told["layers"][0]["shape"] == [16, 28, 30]


def test_the_listing_costs_each_network_at_its_own_size() -> None:
    assert [row["name"] for row in listing(None)] == list(ZOO)
    (row,) = listing("resnet18")[:1]
    assert row == {"name": "resnet18", "parameters": 11_689_512, "macs": 1_814_073_344, "input": [3, 224, 224]}
    assert [row["input"] for row in listing("*t20")] == [[3, 32, 32]]
    assert listing("vgg") == []


EDGE = re.compile(r'(\w+) (?:-->|~~~|-- "[^"]*" -->) (\w+)')
NODE = re.compile(r'(?:subgraph )?(\w+)(?:\["([^"]*)"\]|\(\("([^"]*)"\)\))')


@pytest.mark.parametrize("name", ZOO)
def test_the_flowchart_is_whole(name: str) -> None:
    """Every line is one of five sentences of Mermaid; every label is quoted; edges join what is there."""
    first, *lines = mermaid(lay_out(find(name)), name).splitlines()
    assert first == "flowchart TD"
    nodes, joined, depth = set(), set(), 0
    for line in map(str.strip, lines):
        if edge := EDGE.fullmatch(line):
            joined |= set(edge.groups())
        elif node := NODE.fullmatch(line):
            assert node[1] not in nodes
            nodes.add(node[1])
            depth += line.startswith("subgraph ")
        else:
            assert line in ("direction LR", "direction TB", "end")
            depth -= line == "end"
    assert depth == 0
    assert joined == nodes


def titles(name: str) -> list[str]:
    return re.findall(r'subgraph block\d\["(.*)"\]', mermaid(lay_out(find(name)), name))


def test_the_flowchart_shows_one_block_of_each_kind() -> None:
    assert titles("resnet18") == [
        "basic block, identity shortcut: layer1.0 and 4 more",
        "basic block, project shortcut: layer2.0 and 2 more",
    ]
    assert titles("resnet50") == [
        "bottleneck block, project shortcut: layer1.0 and 3 more",
        "bottleneck block, identity shortcut: layer1.1 and 11 more",
    ]
    assert titles("resnet20")[1] == "basic block, pad shortcut: layer2.0 and 1 more"
    assert titles("plain20") == ["plain block: layer1.0 and 8 more"]


def test_a_plain_block_has_no_sum_in_the_flowchart() -> None:
    assert '(("+"))' in mermaid(lay_out(find("resnet20")), "resnet20")
    assert '(("+"))' not in mermaid(lay_out(find("plain20")), "plain20")


def test_a_name_cannot_end_a_label() -> None:
    text = mermaid(lay_out(find("resnet20")), 'my "best"] #1\n<b>end')
    assert '["my #quot;best#quot;] #35;1\\n#lt;b#gt;end: 269,722 parameters"]' in text


def test_a_clip_keeps_its_frames_unless_they_are_told() -> None:
    for words, shape in ((("--size", "64"), [3, 16, 64, 64]), (("--size", "8x64x48"), [3, 8, 64, 48])):
        assert resnet("describe", "r3d_18", *words, "--json").document["input"] == shape
    refused(resnet("describe", "r3d_18", "--size", "64x64"), 2, "give one number, or 3 for r3d_18")
    assert resnet("describe", "resnet18", "--size", "64", "--json").document["input"] == [3, 64, 64]
