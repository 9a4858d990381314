"""The network as the analogue hardware computes it: `to_analog(model, design)` and what is measured on it."""

from xpert.analog.ablation import Ablation, ablation
from xpert.analog.accuracy import NiAccuracy, ni_accuracy
from xpert.analog.activity import measure_activity
from xpert.analog.adc import AdcRange
from xpert.analog.convert import calibrate_adcs, reprogram, rewind, to_analog
from xpert.analog.layer import AnalogLayer, analog_layers
from xpert.analog.layer_errors import layer_errors
from xpert.analog.precision import at_precision
from xpert.analog.snr import LayerSnr, layer_snr
from xpert.analog.store import load_analog, save_analog
from xpert.analog.variation import weight_deviation
from xpert.design import IDEAL, AnalogSettings

__all__ = [
    "IDEAL",
    "Ablation",
    "AdcRange",
    "AnalogLayer",
    "AnalogSettings",
    "LayerSnr",
    "NiAccuracy",
    "ablation",
    "analog_layers",
    "at_precision",
    "calibrate_adcs",
    "layer_errors",
    "layer_snr",
    "load_analog",
    "measure_activity",
    "ni_accuracy",
    "reprogram",
    "rewind",
    "save_analog",
    "to_analog",
    "weight_deviation",
]
