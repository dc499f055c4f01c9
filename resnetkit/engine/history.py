"""What the epochs so far say. A run remembers its rows and nothing else, so that a resumed one judges alike."""

from collections.abc import Sequence

from resnetkit.tasks import judged_by

Row = dict[str, int | float]


def better(row: Row, than: Row | None) -> bool:
    """Whether an epoch is better on the validation part: by what its task is judged by, or as good at a lower loss."""
    if than is None:
        return True
    judge = f"val_{judged_by(row).judge}"
    return (row[judge], -row["val_loss"]) > (than[judge], -than["val_loss"])


def as_good(row: Row, history: Sequence[Row], pictures: int) -> bool:
    """Whether an epoch is as good as the best of ``history``, or not surely worse: the last such one is then taken.

    Surely is more than two standard errors of a share of so many ``pictures`` (as Breiman et al. 1984, section 3.4.3,
    with one: the best of many epochs is better by luck too), with two more right and two more wrong, since even all of
    a few say little (Agresti & Coull 1998): among epochs that a small validation part cannot tell apart, the longest
    taught is not there by luck.
    Of tasks that are not judged by a share of right answers the best is taken.
    """
    judge = f"val_{judged_by(row).judge}"
    if judge != "val_accuracy" or not history:
        best = None
        for other in history:
            best = other if better(other, best) else best
        return better(row, best)
    most = max(other[judge] for other in history)
    share = (most * pictures + 2) / (pictures + 4)
    return row[judge] >= most - 2 * (share * (1 - share) / (pictures + 4)) ** 0.5


def waits(history: Sequence[Row]) -> list[int]:
    """For each epoch how many have passed since the best one by then: 0 where it is the best itself."""
    best: Row | None = None
    waited: list[int] = []
    for row in history:
        found = better(row, best)
        best = row if found else best
        waited.append(0 if found else waited[-1] + 1)
    return waited


def plateaus(history: Sequence[Row], epochs: int) -> int:
    """How often ``epochs`` epochs in a row brought nothing better; after each time the count begins anew."""
    return sum(waited > 0 and waited % epochs == 0 for waited in waits(history))
