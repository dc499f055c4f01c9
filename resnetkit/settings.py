"""What the data says before a run is decided, and the run with nothing left open."""

from dataclasses import dataclass, field
from typing import Literal

from resnetkit.data import policies
from resnetkit.data.augment import Augment
from resnetkit.data.preprocess import Preprocess
from resnetkit.finetuning import NONE, Mode
from resnetkit.metrics import Scale
from resnetkit.modelfile import Card
from resnetkit.plan import Plan
from resnetkit.run import Run
from resnetkit.tasks import TaskName

Crop = Literal["resized", "pad", "none"]


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the data says before anything is decided."""

    pictures: int  # to train on
    classes: tuple[str, ...]
    uniform: tuple[int, int] | None  # height and width, where all pictures share one of at most SMALL
    channels: int  # stored: 1 for arrays of grey pictures, else 3
    has_val: bool  # the data brings its own validation part
    arrays: bool  # bare arrays, which no decoder has to read
    listed: bool = False  # the pictures are named in a list, whose columns have to be told apart
    columns: tuple[str, ...] = ()  # settings that say so for other files
    counts: tuple[int, ...] = ()  # of each class, among the pictures to train on
    task: TaskName = "classes"
    scale: Scale = ()  # of the numbers, over the pictures to train on
    grey: bool = False  # every picture to train on is stored in grey, whatever the network is shown


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A run with nothing left open. ``reasons`` says why, for each thing that was."""

    run: Run
    model: str
    plan: Plan
    classes: tuple[str, ...]
    preprocess: Preprocess  # mean 0 and deviation 1 until they are measured
    measure: bool  # whether mean and deviation come from the data
    batch: int
    epoch_steps: int
    steps: int
    lr: float  # the highest of the run
    weight_decay: float
    warmup: float
    loss: str
    smoothing: float
    class_weights: tuple[float, ...] | None  # how much a picture of each class counts
    crop: Crop
    flip: bool
    freeze_norms: bool = False  # batch norms answer with their own statistics while they learn
    fresh: tuple[str, ...] = ()  # tensors that did not come with the weights
    teacher: Card | None = None
    task: TaskName = "classes"
    scale: Scale = ()  # of the numbers
    mode: Mode = NONE  # of fine-tuning
    reasons: dict[str, str] = field(default_factory=dict)

    @property
    def epochs(self) -> float:
        return self.steps / self.epoch_steps

    def pulls(self, name: str) -> bool:
        """Whether this parameter is pulled to what it began as, rather than to zero."""
        return self.run.pull > 0 and name not in self.fresh

    @property
    def augment(self) -> Augment:
        """How each training picture varies; what mixes them with one another is engine.mix."""
        run = self.run
        return Augment(
            crop=self.crop,
            flip=self.flip,
            scale=(run.crop_scale, 1.0),
            policy=run.policy,
            policy_strength=run.policy_strength,
            policy_count=run.policy_count or policies.USUAL[run.policy],
            jitter=run.jitter,
            hue=run.hue,
            cutout=run.cutout,
            erase=run.erase,
        )
