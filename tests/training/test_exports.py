from __future__ import annotations

from types import ModuleType

import pytest

from xpert import networks, training


@pytest.mark.parametrize("package", [networks, training])
def test_everything_promised_is_there_and_nothing_else(package: ModuleType) -> None:
    """Both packages import torch only on first use of a name, so a missing one would show late."""
    assert package.__all__ == sorted(package.__all__)
    for name in package.__all__:
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'none'"):
        _ = package.none
