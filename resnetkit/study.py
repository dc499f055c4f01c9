"""Where a sweep looks next: settings that Optuna proposes from what the trials before came to. An extra."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import resnetkit.run as runs
from resnetkit import dice
from resnetkit.errors import ResourceError, plain
from resnetkit.sweep import Axis, Span, Sweep

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

TRIES = 50  # at settings that were not tried yet


def require() -> None:
    """ResourceError where Optuna is not to be had."""
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise ResourceError(
            f"optuna cannot be imported: {plain(error)}",
            'pip install "resnetkit[sweep]", or leave --search out to draw at random',
        ) from None


def proposed(sweep: Sweep, past: Sequence[tuple[Mapping[str, Any], float | None]]) -> dict[str, Any]:
    """What to try after ``past``: settings without seed, each with its validation accuracy, or None where it failed.

    Tree-structured Parzen estimator (Bergstra et al. 2011), begun anew for each proposal, so that it is a function of
    the sweep's seed and ``past`` alone, and a sweep that was killed needs no study but its own trials.
    """
    from optuna import create_study, logging
    from optuna.samplers import TPESampler
    from optuna.trial import TrialState, create_trial

    logging.set_verbosity(logging.WARNING)
    spaces = {name: space(name, axis) for name, axis in sweep.chosen.items()}
    tried = [dict(changes) for changes, _ in past]
    changes: dict[str, Any] = {}
    for again in range(TRIES):
        sampler = TPESampler(seed=dice.address(sweep.run.seed, "study", len(past), again) % 2**32)
        study = create_study(direction="maximize", sampler=sampler)
        for params, value in zip(tried, (value for _, value in past), strict=True):
            state = TrialState.FAIL if value is None else TrialState.COMPLETE
            study.add_trial(create_trial(params=params, distributions=spaces, value=value, state=state))
        found = study.ask(spaces).params
        changes = {name: rounded(found[name], sweep.axes[name]) for name in spaces}
        if changes not in tried:
            return changes
    untried = (some for some in sweep.combinations() if some not in tried)
    return next(untried, changes)


def space(name: str, axis: Axis) -> "BaseDistribution":
    """The values of a setting as Optuna knows them: a span above 0 by ratio, as where trials are drawn."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not isinstance(axis, Span):
        return CategoricalDistribution(axis)
    if runs.kind_of(name)[0] is int:
        return IntDistribution(int(axis.low), int(axis.high), log=axis.low > 0)
    return FloatDistribution(axis.low, axis.high, log=axis.low > 0)


def rounded(value: Any, axis: Axis) -> Any:
    """Three digits of a number between two others are enough to try."""
    if not isinstance(axis, Span) or not isinstance(value, float):
        return value
    return min(max(float(f"{value:.3g}"), axis.low), axis.high)
