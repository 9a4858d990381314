"""Settings that searches in tests share: as small as a search can be that takes every step."""

from typing import Any

PRECISION: dict[str, Any] = {
    "adc_bits": [4, 6],
    "input_bits": [4, 8],
    "maximum_drop": 0.05,
    "chips": 1,
    "calibration_images": 16,
    "images": 64,
    "confirmation_images": 48,
}
"""Of phase 2."""
