"""What is wrong with the data, for people: kind by kind, the worst first."""

from collections.abc import Iterator

from resnetkit.errors import many, plain, some
from resnetkit.trouble.finding import KINDS, Checkup, Cleaned, Finding

SHOWN = 5  # of each kind


def text_of(found: Checkup) -> str:
    return "\n".join(lines(found))


def lines(found: Checkup) -> Iterator[str]:
    sizes = ", ".join(f"{count:,} {part}" for part, count in found.sizes.items())
    yield f"{found.data}: pictures: {sizes}; {found.task}: {len(found.classes):,}"
    for kind, count in found.counts.items():
        yield f"{KINDS[kind]} ({count:,})"
        yield from (f"    {line_of(finding)}" for finding in found.of(kind)[:SHOWN])
        if count > SHOWN:
            yield f"    and {count - SHOWN:,} more"
    yield from written(found.cleaned) if found.cleaned else ()
    yield verdict(found)


def line_of(finding: Finding) -> str:
    """One finding: the pictures that it is about, and what is wrong with them."""
    where = " = ".join(map(plain, finding.paths[:3])) + (f" = {len(finding.paths) - 3} more" * (len(finding.paths) > 3))
    if finding.kind == "strange-class":
        where = some(finding.paths, 2)
    words = plain(finding.words)
    return f"{where}: {words}" if where else words


def written(cleaned: Cleaned) -> Iterator[str]:
    count = len(cleaned.left_out)
    yield f"wrote {plain(cleaned.path)}: {many(cleaned.kept, 'picture')}, {count:,} left out"
    for path, why in cleaned.left_out[:SHOWN]:
        yield f"    {plain(path)}: {plain(why)}"
    if count > SHOWN:
        yield f"    and {count - SHOWN:,} more, all of them in {plain(cleaned.beside)}"
    if cleaned.trainable:
        yield f"train on it: {plain(' '.join(cleaned.command))}"


def verdict(found: Checkup) -> str:
    if not found.findings:
        return "nothing wrong was found"
    if found.cleaned and not found.trainable:
        begins = "can begin" if found.cleaned.trainable else "would stop as well: fewer than two classes are left"
        return f"training would stop on {found.data}; on {plain(found.cleaned.path)} it {begins}"
    if found.trainable:
        return "training can begin; what is found is for you to judge"
    ways = {"--fix clean.csv": "--fix clean.csv leaves it out", "--on-bad skip": "train with --on-bad skip"}
    known = [ways[flag] for flag in found.remedies]
    few = ["add pictures: without it there are too few to train on"] if "--fix clean.csv" not in found.remedies else []
    return f"training would stop: {', or '.join(['mend what stands first', *(known or few)])}"
