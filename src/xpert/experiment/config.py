"""The config of one search: a YAML file, every field documented, nothing else read."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    Field,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    create_model,
    model_validator,
)

from xpert.design import (
    KIND_FIELDS,
    LAYOUTS,
    OPTIONAL_FIELDS,
    SCHEMA,
    Chip,
    DataModel,
    Design,
    FileModel,
    OneOf,
    Periphery,
    Phase,
    read_mapping,
    shown,
)
from xpert.design.network import KernelSide
from xpert.errors import ConfigError
from xpert.networks.backbones import BACKBONES
from xpert.networks.sources import find_source, parse_source, read_source
from xpert.networks.spaces import Space, space
from xpert.solver.registry import STRATEGIES
from xpert.training.datasets import DATASETS, describe_dataset, find_dataset
from xpert.training.settings import TrainingSettings
from xpert.training.source import DataRequest, DatasetInfo, DataSource

if TYPE_CHECKING:
    from xpert.networks.own import OwnNetwork
    from xpert.networks.sources import LoadedNetwork
    from xpert.networks.sources.neurosim import LayerTable


def _precision_strategies() -> Collection[str]:
    from xpert.search.precision.strategies import PRECISION_STRATEGIES

    return PRECISION_STRATEGIES


def _objectives_1() -> Collection[str]:
    from xpert.search.objectives import PHASE_1

    return PHASE_1


def _objectives_2() -> Collection[str]:
    from xpert.search.objectives import PHASE_2

    return PHASE_2


def _robust_variants() -> Collection[str]:
    from xpert.hardware.variants import TABULATED

    return TABULATED


def _qualities() -> Collection[str]:
    from xpert.search.quality.registry import QUALITIES

    return QUALITIES


Seconds = Annotated[float, Field(gt=0, le=1e7)]
Limit = Annotated[float, Field(gt=0, le=1e9)]
Channels = Annotated[int, Field(ge=0, le=1 << 16)]


def _explained(message: str) -> WrapValidator:
    """Say what is allowed in words of our own where a union of types has a complaint for each of them."""

    def check(value: Any, parse: ValidatorFunctionWrapHandler) -> Any:
        try:
            return parse(value)
        except ValueError:
            raise ValueError(message) from None

    return WrapValidator(check)


Side = Annotated[int, Field(ge=1, le=1 << 20)]

PictureSide = Annotated[int, Field(ge=1, le=1 << 14)]

Fraction = Annotated[float, Field(ge=0, le=1)]
Options = Annotated[tuple[Channels | Fraction, ...], Field(min_length=1, max_length=64)]
Choices = Annotated[
    Options
    | Annotated[tuple[Options, ...], Field(min_length=1, max_length=1000)]
    | Annotated[dict[str, Options], Field(min_length=1, max_length=1000)],
    _explained(
        "must be a list of channel numbers (1 ... 65536; 0: block left out) or of fractions (up to 1.0), one such list "
        "per channel decision, or lists by name"
    ),
]

KernelOptions = Annotated[tuple[KernelSide, ...], Field(min_length=1, max_length=16)]
Kernels = Annotated[
    KernelOptions | Annotated[tuple[KernelOptions, ...], Field(min_length=1, max_length=1000)],
    _explained("must be a list of kernel sides (odd; 0: left out), or one such list per convolution"),
]


class NetworkOptions(DataModel):
    """The backbone and what may change in it, or a network of one's own."""

    backbone: (
        Annotated[
            str,
            Field(
                min_length=1,
                max_length=100,
                description="Backbone, or one that is registered (docs/how-to/add-a-backbone.md).",
            ),
            OneOf(lambda: BACKBONES),
        ]
        | None
    ) = None
    """Backbone, or one that is registered (docs/how-to/add-a-backbone.md); this or `source`."""

    choices: Choices = ()
    """Channels to choose from, rising: one list for all channel decisions, a list for each, or lists by the name of a
    decision's first layer, with `others` for those that are not named; required with `backbone`. A list with a number
    that is no integer is of fractions of the original width (docs/networks.md says how they are rounded); that of a
    source is [0.25, 0.5, 0.75, 1.0] by default. In a VGG every convolution decides; in a ResNet every stage and, in
    every block, the first convolution. There 0 leaves the block out; in a list for all that holds where it is possible:
    for all blocks but the last and those with a projection."""

    kernels: Kernels = (3,)
    """Kernel sides of the 3x3 convolutions to choose from, rising: one list for all, or a list for each. 0 leaves a
    layer out; in a list for all that holds where it is possible: in a VGG for all convolutions but the last of a stage
    and the first of all."""

    source: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    """A network of one's own (docs/networks.md): `path.py:Name`, `package.module:name`, `timm:NAME`, `net.onnx`, ...;
    paths start from the config's folder. Code that it names is executed."""

    arguments: dict[str, Any] = Field(default_factory=dict)
    """What the source's class or function is called with, by name."""

    input_shape: tuple[Side, Side, Side] | None = None
    """Channels, height and width of an image; unset: the source's own, else the data set's."""

    weights: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    """Trained weights of the source, from the config's folder: safetensors, or a state dict of `torch.save`; unset: the
    source's own. A search starts from them: narrower networks keep the channels of the largest weights."""

    optional: bool = False
    """Whether a search may leave out the source's residual blocks: modules whose output is their input plus what their
    layers give. The widths within such a block are then one decision."""

    digital: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = ()
    """Names of layers that stay off the crossbars, in which `*` and `?` stand for any characters: `conv1`,
    `*.depthwise`. The digital unit computes them. Costs and accuracies take it; a search puts all layers of a backbone
    on crossbars."""

    @model_validator(mode="after")
    def _one_network(self) -> Self:
        if (self.backbone is None) == (self.source is None):
            raise ValueError("backbone: one of backbone and source must be given")
        if self.backbone is not None:
            if not self.choices:
                raise ValueError("choices: required, but not given")
            for name in ("arguments", "input_shape", "weights", "optional"):
                if getattr(self, name):
                    raise ValueError(f"{name}: goes with source, not with backbone")
            return self
        if self.kernels != type(self).model_fields["kernels"].default:
            raise ValueError("kernels: goes with backbone, not with source")
        parse_source(self.source or "")
        return self

    @model_validator(mode="before")
    @classmethod
    def _from_the_folder(cls, data: Any, info: ValidationInfo) -> Any:
        """Paths made whole, so that they mean the same in the config of a run folder, which spells out defaults."""
        folder = (info.context or {}).get("folder", Path())
        if not isinstance(data, dict):
            return data
        changed = {name: value for name, value in data.items() if value is not None}
        if "source" in changed and not changed.get("choices"):
            changed.pop("choices", None)
        if isinstance(data.get("source"), str) and (found := find_source(data["source"])) and found.is_file:
            changed["source"] = str((folder / data["source"]).absolute())
        if isinstance(data.get("weights"), str):
            changed["weights"] = str((folder / data["weights"]).absolute())
        return changed


class _NamedOrMade(OneOf):
    """Marks a field that takes one of some names, or code that makes what they stand for."""

    def _check(self, name: str) -> str:
        source = None if name in self.known() else find_source(name)
        return name if source is not None and source.kind == "python" else super()._check(name)


class DatasetOptions(DataModel):
    """The images."""

    name: Annotated[
        str,
        Field(
            min_length=1,
            max_length=4096,
            description="Data set, or one that is registered (docs/how-to/add-a-data-set.md), or code that makes one "
            "(docs/your-data.md): `path.py:factory`, from the config's folder, or `package.module:factory`, which is "
            "executed. `digits` comes with the installation; the others are read from `data_dir`.",
        ),
        _NamedOrMade(lambda: DATASETS),
    ]

    data_dir: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    """Folder of data sets on disk, or of this one; for `npz` also the file; unset: `data` in the working directory."""

    size: tuple[PictureSide, PictureSide] | None = None
    """Height and width to which pictures are scaled, so that they cover it, and cut; unset: they must be alike.
    [pixel]"""

    channels: Literal[1, 3] | None = None
    """Channels into which pictures are converted; unset: 1 where all are grey, else 3."""

    mirror: bool | None = None
    """Whether an image and its mirror image mean the same, so that `training.flip` applies; unset: as the data set
    says, which for one of your own is no."""

    streaming: bool | None = None
    """Whether pictures stay on disk until a batch of them is needed; unset: where all of them, decoded, take up more
    than a quarter of the memory. Results do not depend on it."""

    workers: Annotated[int, Field(ge=1, le=256)] = 2
    """Threads that decode streamed pictures."""

    validation: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the training images that is held back, for phase 2 to measure accuracy on."""

    @property
    def request(self) -> DataRequest:
        """What these options ask for."""
        return DataRequest(
            self.name,
            Path("data" if self.data_dir is None else self.data_dir),
            self.size,
            self.channels,
            self.mirror,
            self.streaming,
            self.workers,
        )

    @property
    def info(self) -> DatasetInfo | None:
        """What is known of the images without looking at them; None of images of the user's own."""
        source = find_dataset(self.name)
        return source.info if isinstance(source, DataSource) else None

    @model_validator(mode="after")
    def _as_they_are(self) -> Self:
        info = self.info
        if info is not None:
            for name, is_so in (("size", info.input_shape[1:]), ("channels", info.input_shape[0])):
                if getattr(self, name) not in (None, is_so):
                    raise ValueError(f"{name}: images of {self.name} are {shown(is_so)}, and are not changed")
        return self

    @model_validator(mode="before")
    @classmethod
    def _from_the_folder(cls, data: Any, info: ValidationInfo) -> Any:
        """A path made whole, so that it means the same in the config of a run folder."""
        folder = (info.context or {}).get("folder", Path())
        if not isinstance(data, dict) or not isinstance(name := data.get("name"), str) or name in DATASETS.known():
            return data
        found = find_source(name)
        return data | {"name": str((folder / name).absolute())} if found is not None and found.is_file else data


class OptionLists(DataModel):
    """Options of the decisions of one phase: for each a list, which `Periphery` names and documents."""

    phase: ClassVar[Phase]

    @property
    def options(self) -> dict[str, tuple[Any, ...]]:
        """The list of each field of `Periphery`, in the order of the fields."""
        decisions = Periphery.decisions(self.phase)
        return {name: getattr(self, decision.options_name) for name, decision in decisions.items()}

    def combinations(self, fields: Iterable[str] | None = None) -> list[tuple[Any, ...]]:
        """All combinations of the options of some fields, or all; the last field's innermost."""
        options = self.options
        return list(itertools.product(*(options[name] for name in fields or options)))


def option_lists(phase: Phase, *, required: bool = False) -> type[OptionLists]:
    """The model that has a list of options for each decision of a phase.

    Args:
        phase: Whose decisions.
        required: Whether the lists must be given, rather than have defaults.
    """
    fields: dict[str, Any] = {}
    for name, decision in Periphery.decisions(phase).items():
        field = Periphery.model_fields[name]
        option: Any = Annotated[(field.annotation, *field.metadata)]  # type: ignore[valid-type]
        lists = Annotated[tuple[option, ...], Field(min_length=1, max_length=64, description=decision.options_text)]
        fields[decision.options_name] = (lists, ... if required and name not in OPTIONAL_FIELDS else decision.options)
    made = create_model("OptionLists", __base__=OptionLists, **fields)
    made.phase = phase
    return made


class PeripheryOptions(option_lists("architecture")):
    """What phase 1 may choose for each layer besides its channels."""


class ArchitectureSettings(DataModel):
    """Phase 1: channels, ADC type and column sharing of every layer."""

    strategy: Annotated[str, OneOf(lambda: STRATEGIES)] = "exact"
    """How the space is searched; `exact` proves what it finds."""

    objective: Annotated[str, OneOf(_objectives_1)] = "edap"
    """What is minimised; of TOPS/W, its inverse, the energy per operation; of throughput, the time from image to image
    (on a pipelined chip the slowest layer's)."""

    area_budget_mm2: Limit | None = None
    """Largest chip area; unset: no limit. [mm2]"""

    latency_budget_us: Limit | None = None
    """Longest latency of an image; unset: no limit. [us]"""

    energy_budget_uj: Limit | None = None
    """Most energy of an image; unset: no limit. [uJ]"""

    power_budget_mw: Limit | None = None
    """Largest mean power while it runs, energy over latency; unset: no limit. [mW]"""

    least_area_mm2: Limit | None = None
    """Least chip area; together with `area_budget_mm2` the window that XPert's own search aims at. [mm2]"""

    choose_tiles: bool = False
    """Whether PEs and tiles are chosen, too: those of `chip`, or 1 or 4 subarrays to a PE and 1, 4, 16 or 64 PEs to a
    tile. Baselines keep those of `chip`."""

    quality: Annotated[str, OneOf(_qualities)] = "width_law"
    """What stands in for the accuracy of a network before it is trained; see docs/quality.md."""

    minimum_quality: Annotated[float, Field(gt=0, le=10)] | None = 0.98
    """Least quality, relative to the backbone's own; unset: no limit."""

    robust: Annotated[tuple[Annotated[str, OneOf(_robust_variants)], ...], Field(max_length=64)] = ()
    """Variants of the model over which the worst regret is minimised, in the place of the objective on the chip as it
    is; empty: it is not. See docs/search.md."""

    seconds: Seconds | None = None
    """Limit on CPU time of one search, and of the proof, which then ends with a gap; unset: the strategy's own stopping
    rule, which alone gives the same result every time. [s]"""

    evaluations: Annotated[int, Field(ge=1, le=10**12)] | None = None
    """Limit on evaluated designs; unset: the strategy's own stopping rule."""

    front_points: Annotated[int, Field(ge=0, le=1000)] = 8
    """Budgets for which the Pareto fronts of the report are proven, each; 0: no fronts."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.least_area_mm2 and self.area_budget_mm2 and self.least_area_mm2 > self.area_budget_mm2:
            raise ValueError(
                f"least_area_mm2, {self.least_area_mm2:g}, is above area_budget_mm2, {self.area_budget_mm2:g}"
            )
        if len(set(self.robust)) < len(self.robust):
            raise ValueError(f"robust: variants must differ, got {shown(list(self.robust))}")
        if self.robust:
            from xpert.search.quality.additive import is_sum

            if not is_sum(self.quality):
                sums = ", ".join(name for name in _qualities() if is_sum(name))
                raise ValueError(f"robust: needs a quality that is a sum over layers ({sums}), got {self.quality}")
        return self

    @property
    def budgets(self) -> dict[str, float | None]:
        """The budgets by the names that `search.Budgets` has for them."""
        return {
            "area_mm2": self.area_budget_mm2,
            "least_area_mm2": self.least_area_mm2,
            "latency_us": self.latency_budget_us,
            "energy_uj": self.energy_budget_uj,
            "power_mw": self.power_budget_mw,
        }


class PrecisionSettings(option_lists("precision")):
    """Phase 2: ADC and input precision of every layer, with the accuracy on the non-ideal crossbars in the loop."""

    strategy: Annotated[str, OneOf(_precision_strategies)] = "sensitivity"
    """How precisions are searched: by a measured error model and exact knapsacks, by logits trained along with the
    weights on the simulation, or by NSGA-II on measured designs."""

    objective: Annotated[str, OneOf(_objectives_2)] = "edap"
    """What is minimised."""

    choose_adcs_again: bool = True
    """Whether ADC type and column sharing follow the precisions, within the budgets of phase 1. Where ADCs have errors,
    each design is measured with its own."""

    maximum_drop: Annotated[float, Field(ge=0, lt=1)] | None = 0.01
    """NI-accuracy that may be given up against the trained network at the typical precisions; 0.01 is one point; unset:
    no limit."""

    minimum_accuracy: Annotated[float, Field(ge=0, le=1)] | None = None
    """Least NI-accuracy; unset: no limit."""

    percentile: Annotated[float, Field(gt=0, le=50)] | None = None
    """Which chips that accuracy is for: 5 for the one that 5 % of the chips are not above, a yield of 95 %; unset: the
    mean over chips. Needs 100 / percentile chips or more. [%]"""

    chips: Annotated[int, Field(ge=1, le=1000)] = 2
    """Chips (draws of the cells' variation) over which accuracy is averaged during the search."""

    calibration_images: Annotated[int, Field(ge=1, le=100_000)] = 128
    """Training images on which ADC ranges are set, and batch norms measured."""

    images: Annotated[int, Field(ge=1, le=1_000_000)] = 512
    """Validation images on which phase 2 measures accuracy, at most."""

    measure_in_full: bool = False
    """Whether every design is measured on all of these images, rather than until its verdict is clear."""

    confirmation_images: Annotated[int, Field(ge=0, le=1_000_000)] = 2000
    """Validation images, the last ones, on which the winner is measured again on other chips, at most; 0: it is not."""

    evaluations: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Designs that may be measured; unset: the strategy's own stopping rule."""

    finetune_epochs: Annotated[int, Field(ge=0, le=100_000)] = 0
    """Passes over the training images after the search, at the precisions found; what does not help is not kept."""

    finetune: Literal["cells", "converters", "simulation"] = "converters"
    """What that training feels: `training.weight_noise`; also noise of the size of the conversions' errors; or the
    simulation of a new chip in every step, which takes about five times as long."""

    finetune_learning_rate: Annotated[float, Field(gt=0, le=100)] = 0.01
    """Peak learning rate of that training."""

    joint_rounds: Annotated[int, Field(ge=0, le=100)] = 0
    """Rounds in which channels, ADCs and precisions are searched together, by the error model of `sensitivity`, the
    network found is trained, and precisions are measured anew; what is not better is not kept."""

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.joint_rounds and self.strategy != "sensitivity":
            raise ValueError(f"joint_rounds: needs strategy sensitivity, got {self.strategy}")
        if self.maximum_drop is None and self.minimum_accuracy is None:
            raise ValueError("maximum_drop: one of maximum_drop and minimum_accuracy must be set")
        if self.percentile is not None and self.chips * self.percentile < 100:
            least = math.ceil(100 / self.percentile)
            raise ValueError(f"chips: a percentile of {self.percentile:g} needs at least {least}, got {self.chips}")
        return self

    @property
    def share_of_chips(self) -> float | None:
        """`percentile` as a share."""
        return None if self.percentile is None else self.percentile / 100


class BaselineSettings(DataModel):
    """The homogeneous designs that the result is compared with."""

    typical: Periphery = Periphery(adc_type="sar", columns_per_adc=8, adc_bits=6, input_bits=8)
    """The typical baseline's periphery. Phase 1 and every other baseline use its two precisions."""

    training: TrainingSettings | None = None
    """Training of the backbone; unset: as `training`, that of the found network. One epoch of the backbone may take as
    long as many of the found network."""


class EvaluationSettings(DataModel):
    """How final accuracies are measured."""

    chips: Annotated[int, Field(ge=1, le=1000)] = 5
    """Chips (draws of the cells' variation) over which NI-accuracy is averaged."""

    batch_size: Annotated[int, Field(ge=1, le=65536)] = 128
    """Images per batch."""


LEAST_MACS = 0.5
"""Least multiply-accumulates of a searched network relative to the source's own, where nothing else is said."""

SOURCE_CHOICES = (0.25, 0.5, 0.75, 1.0)
"""Options of every width of a source, where nothing else is said."""


class SearchConfig(FileModel):
    """One search, from the backbone to the report."""

    layout_versions: ClassVar[range] = LAYOUTS

    schema_version: Literal[2] = SCHEMA
    """Version of this file's layout."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    """What the report calls it."""

    seed: Annotated[int, Field(ge=0, lt=1 << 32)] = 0
    """Seed of everything random. The same seed and `threads` give the same design on the same kind of processor."""

    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Threads of every computation on the processor. Their number decides the last bits of a training's sums, and with
    them the design. Unset: `OMP_NUM_THREADS`, else one for each core. A run folder's config says how many that were."""

    network: NetworkOptions
    """The network and its choices."""

    dataset: DatasetOptions
    """The images."""

    chip: Chip = Chip()
    """What is common to all layers."""

    periphery: PeripheryOptions = PeripheryOptions()
    """Options of phase 1."""

    architecture: ArchitectureSettings = ArchitectureSettings()
    """Phase 1."""

    training: TrainingSettings = TrainingSettings()
    """Training of the found network, and of the backbone where `baselines.training` is unset."""

    precision: PrecisionSettings = PrecisionSettings()
    """Phase 2."""

    baselines: BaselineSettings = BaselineSettings()
    """What the result is compared with."""

    evaluation: EvaluationSettings = EvaluationSettings()
    """How accuracies are measured."""

    versions: dict[str, str] | None = None
    """Written into the config of a run folder for the record; not read."""

    @model_validator(mode="before")
    @classmethod
    def _quality_of_sources(cls, data: Any) -> Any:
        """The default quality is fitted to backbones; that of another network is the size of its work."""
        if not isinstance(data, dict) or not isinstance(data.get("network"), dict | NetworkOptions):
            return data
        network = data["network"]
        source = network.source if isinstance(network, NetworkOptions) else network.get("source")
        architecture = data.get("architecture", {})
        if source is None or not isinstance(architecture, dict) or "quality" in architecture:
            return data
        return data | {"architecture": {"minimum_quality": LEAST_MACS} | architecture | {"quality": "macs"}}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        decisions = Periphery.decisions()
        lists: dict[str, OptionLists] = {"periphery": self.periphery, "precision": self.precision}
        for part, settings in lists.items():
            for field, options in settings.options.items():
                if len(set(options)) < len(options):
                    name = decisions[field].options_name
                    raise ValueError(f"{part}.{name}: options must differ, got {shown(list(options))}")
        if self.chip.execution == "pipelined":
            if self.architecture.objective == "tops_per_watt":
                raise ValueError("architecture.objective: tops_per_watt is not searched on pipelined chips")
            if self.architecture.robust:
                raise ValueError("architecture.robust: is not searched on pipelined chips")
        shares = (*self.periphery.options["columns_per_adc"], self.baselines.typical.columns_per_adc)
        if max(shares) > self.chip.columns:
            raise ValueError(
                f"columns_per_adc must not exceed the crossbar's {self.chip.columns} columns, got {max(shares)}"
            )
        try:
            info = self.dataset.info or _ANY_IMAGES
            backbone = _space_of(self.network, info) if self.network.source is None else None
        except ConfigError as error:
            raise ValueError(f"network: {error}") from None
        if backbone is not None and not backbone.own_layers:
            from xpert.search.quality.registry import QUALITIES, LayerSum

            quality = QUALITIES.find(self.architecture.quality)
            why_not = quality.refusal(backbone) if isinstance(quality, LayerSum) else None
            if why_not is not None:
                raise ValueError(f"architecture.quality: {why_not}")
        if self.network.source is not None and self.architecture.quality == "width_law":
            raise ValueError(
                "architecture.quality: the width law is fitted to backbones; for network.source give macs, parameters, "
                "relu_units, log_widths or a score"
            )
        typical = self.baselines.typical
        self.chip.check_adc(
            typical.adc_type, typical.adc_bits, "baselines.typical.adc_type", "baselines.typical.adc_bits"
        )
        self.chip.check_bits(
            typical.weight_bits, typical.cell_bits, "baselines.typical.weight_bits", "baselines.typical.cell_bits"
        )
        for weight_bits, cell_bits in self.precision.combinations(("weight_bits", "cell_bits")):
            self.chip.check_bits(weight_bits, cell_bits, "precision.weight_bits", "precision.cell_bits")
        bits = self.precision.options["adc_bits"]
        fields = {"baselines.typical.adc_bits": (typical.adc_bits,), "precision.adc_bits": bits}
        for index, adc_type in enumerate(self.periphery.options["adc_type"]):
            for field, options in fields.items():
                for adc_bits in options:
                    self.chip.check_adc(adc_type, adc_bits, f"periphery.adc_types.{index}", field)
        return self

    @classmethod
    def read(cls, path: Path | str) -> Self:
        """Read a config file, YAML or JSON.

        Raises:
            ConfigError: If it is missing, does not parse, or breaks a rule.
        """
        return cls.parse(read_mapping(path, "config file"), str(path), Path(path).parent)


_ANY_IMAGES = DatasetInfo("", (3, 64, 64), tuple(map(str, range(10))), mirror=False)
"""What the choices of a config are checked for where its images are the user's own: a config is read without them."""


def search_space(config: SearchConfig) -> Space:
    """The networks among which a config chooses.

    Raises:
        ConfigError: If the choices do not fit the network, a backbone does not fit the images, or a network of the
            user's own cannot be loaded or resized.
        DataError: If its weights are missing or broken, or images of the user's own are missing or do not fit together.
    """
    if config.network.digital:
        raise ConfigError("network.digital: a search puts all layers on crossbars; `evaluate` and `accuracy` take it")
    images = describe_dataset(config.dataset.request)
    if config.network.source is not None:
        choices = config.network.choices or SOURCE_CHOICES
        return resizable_network(config).space(choices, images.input_shape, len(images.classes))
    return _space_of(config.network, images)


def _space_of(network: NetworkOptions, images: DatasetInfo) -> Space:
    """The networks of a backbone."""
    assert network.backbone is not None  # noqa: S101 (asked for backbones only)
    return space(network.backbone, network.choices, images.input_shape, len(images.classes), network.kernels)


def resizable_network(config: SearchConfig) -> OwnNetwork:
    """The network of `network.source`, whose widths can be chosen; made once, since code is run for it.

    Raises:
        ConfigError: If it cannot be loaded.
        DataError: If its weights are missing or broken.
    """
    from xpert.networks.own import own_network as with_widths
    from xpert.networks.sources.neurosim import LayerTable

    network = config.network
    key = f"{network.model_dump_json(exclude={'choices'})} {config.dataset.model_dump_json()}"
    if key not in _LOADED:
        loaded = own_network(config)
        if isinstance(loaded, LayerTable):
            raise ConfigError("network.source: a table of layers is no network that could be searched")
        _LOADED.clear()
        _LOADED[key] = with_widths(
            loaded, network.source or "", network.arguments, optional=network.optional, weights=bool(network.weights)
        )
    return _LOADED[key]


_LOADED: dict[str, OwnNetwork] = {}


def homogeneous_kinds(config: SearchConfig) -> list[tuple[Any, ...]]:
    """Values of `KIND_FIELDS` of homogeneous designs: phase 1's options, the usual ADCs, the typical sharing."""
    usual = Periphery.decisions()["adc_type"].options
    lists = config.periphery.options | {"adc_type": (*usual, *config.periphery.options["adc_type"])}
    for field in KIND_FIELDS:
        if field != "adc_type":
            options = {*lists[field], getattr(config.baselines.typical, field)}
            lists[field] = tuple(sorted(options, key=lambda option: option or 0))
    return list(itertools.product(*(dict.fromkeys(lists[field]) for field in KIND_FIELDS)))


def typical_design(config: SearchConfig, own: LoadedNetwork | LayerTable | None = None) -> Design:
    """The typical baseline: the unsearched backbone on the config's chip, the same periphery in every layer.

    Args:
        config: The config.
        own: The network of `network.source` where it is loaded already.

    Raises:
        ConfigError: If the config's network is one of the user's own that cannot be loaded or mapped.
        DataError: If its weights are missing or broken.
    """
    if config.network.source is None:
        networks = _space_of(config.network, describe_dataset(config.dataset.request))
        network = networks.network(networks.default_channels).with_digital(*config.network.digital)
    else:
        network = (own or own_network(config)).network()
    return Design.homogeneous(network, config.chip, config.baselines.typical, name=f"{config.name} (typical)")


def own_network(config: SearchConfig, weights: Path | None = None) -> LoadedNetwork | LayerTable:
    """The network of `network.source`.

    Args:
        config: The config.
        weights: Weight file in the place of the config's.

    Raises:
        ConfigError: If it cannot be loaded.
        DataError: If its weights are missing or broken.
    """
    network = config.network
    return read_source(
        network.source or "",
        arguments=network.arguments,
        input_shape=network.input_shape,
        weights=weights or (Path(network.weights) if network.weights else None),
        default_shape=network.input_shape or describe_dataset(config.dataset.request).input_shape,
        digital=network.digital,
    )
