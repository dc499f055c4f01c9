"""Whether a heat map depends on what the network learned: it has to change where the weights are shuffled.

Adebayo et al. 2018, "Sanity checks for saliency maps" (arXiv:1810.03292), section 3. A map that stays goes by the edges
of the picture, whatever the network knows.
"""

from copy import deepcopy

import torch
from scipy.stats import spearmanr

from resnetkit import dice
from resnetkit.classifier import Classifier
from resnetkit.explain.explanation import Explanation


def shuffled(model: Classifier, seed: int = 0) -> Classifier:
    """The same network, the weights of each convolution and of the head in another order; norms stay as they are."""
    network = deepcopy(model.model)
    with torch.no_grad():
        for name, weights in network.named_parameters():
            if weights.ndim > 1:
                order = torch.from_numpy(dice.permutation(weights.numel(), seed, "sanity", name)).to(weights.device)
                weights.copy_(weights.flatten()[order].view_as(weights))
    return Classifier(model.card, network, model.machine, model.folder)


def likeness(one: Explanation, other: Explanation) -> float:
    """Spearman's rank correlation of two maps of one picture, as the network saw it; 0 where a map is even."""
    if (one.seen == one.seen.flat[0]).all() or (other.seen == other.seen.flat[0]).all():
        return 0.0
    return float(spearmanr(one.seen.ravel(), other.seen.ravel()).statistic)
