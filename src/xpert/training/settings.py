"""How a network is trained. No torch here: configs are read without it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from xpert.design import DataModel


class TrainingSettings(DataModel):
    """Settings of one training: SGD with Nesterov momentum on a learning rate that rises and falls linearly."""

    epochs: Annotated[int, Field(ge=1, le=100_000)] = 20
    """Passes over the training images."""

    batch_size: Annotated[int, Field(ge=1, le=65536)] = 128
    """Images per step, over all processes; an incomplete last batch is left out, unless it is the only one."""

    learning_rate: Annotated[float, Field(gt=0, le=100)] = 0.1
    """Peak learning rate."""

    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Share of all steps in which the learning rate rises to its peak; then it falls."""

    learning_rate_start: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Learning rate from which it rises, as a share of the peak."""

    learning_rate_end: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Learning rate to which it falls, as a share of the peak."""

    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Nesterov momentum."""

    weight_decay: Annotated[float, Field(ge=0, le=1)] = 5e-4
    """L2 penalty on weights of convolutions and linear layers; none on scales of batch norm and on clips."""

    bias_decay: Annotated[float, Field(ge=0, le=1)] = 0.0
    """L2 penalty on biases, those of batch norm too."""

    norm_bias_rate: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """Learning rate of batch norm's biases, as a multiple of that of all else."""

    norm_scale: Literal["learned", "fixed"] = "learned"
    """Whether batch norm's scales are trained, or stay as they are, at first 1."""

    initialisation: Literal["he", "dirac"] = "he"
    """Initial weights of convolutions: drawn from He's normal distribution; or from torch's uniform one, and then the
    first filters of all but the first convolution become the identity, as many as there are inputs or outputs."""

    logit_features: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    """Logits are multiplied in the loss by this number over that of the features which the last linear layer reads,
    since a step changes them in proportion to those: 28 makes that 1/9 for 256 features; 0: they are not scaled."""

    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of each label that is spread evenly over all classes."""

    shift: Annotated[int, Field(ge=0, le=16)] = 2
    """Images are shifted at random by up to so many pixels each way, their edges mirrored. [pixel]"""

    flip: bool = True
    """Whether every image is mirrored left to right in every second epoch (half of them in the first), in data sets
    where that keeps their meaning."""

    cutout: Annotated[int, Field(ge=0, le=64)] = 0
    """Side of a square that is blanked at a random place of every image; 0 is none. [pixel]"""

    lookahead: bool = False
    """Whether weights are averaged along the way: every few steps they return part of the way to their running mean,
    and they end on it."""

    weight_noise: Annotated[float, Field(ge=0, le=1)] | Literal["device"] = 0.0
    """Gaussian noise on the weights in every step, so that the network learns to bear the variation of the cells:
    relative to a layer's largest weight, or `device` for that of the chip's own cells, weight by weight; 0 is none."""

    weight_clip: Annotated[float, Field(ge=0, le=100)] = 0.0
    """Weights are held within so many standard deviations of their layer's weights, so that the cells' variation, which
    goes with the largest weight, is small beside all others; 0: they are not held."""

    weight_clip_start: Annotated[float, Field(ge=0, le=1000)] = 0.0
    """Where `weight_clip` begins, in standard deviations: it narrows geometrically over the first half of all steps, so
    that large weights of the start (`dirac`) have time to shrink; 0: it is the same throughout."""

    calibration_images: Annotated[int, Field(ge=0, le=100_000)] = 256
    """Training images from which the ranges of the layers' inputs are set before the first step; 0 leaves them."""

    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Number format of the products; `auto` is bfloat16 where the processor has units for it."""


__all__ = ["TrainingSettings"]
