"""The C code against torch, bit for bit."""

from __future__ import annotations

import ctypes
import shutil
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from xpert.analog import native
from xpert.analog.columns import converted_sums, summed_readings, torch_readings
from xpert.analog.grid import SIGMA_BITS, Blocks, Columns, Conversion, on_grid, sigma
from xpert.native.compiler import BUILDS, FLAGS, build

SOURCE = native.CODE.source
QUICK = ("-O0", "-std=gnu11", "-shared", "-fPIC", "-pthread")

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")


@pytest.fixture(scope="module", params=BUILDS)
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """Each build, where this processor runs it."""
    folder, builds = tmp_path_factory.mktemp("native"), list(BUILDS)
    best = native.CODE.load(build("cc", SOURCE, folder, QUICK)).best_build().decode()
    if builds.index(request.param) > builds.index(best):
        pytest.skip(f"this processor runs {best}")
    library = native.CODE.load(build("cc", SOURCE, folder, (*FLAGS, *BUILDS[request.param])))
    assert library.instruction_set().decode().removesuffix(" processor") == request.param
    return library


@st.composite
def problems(draw: st.DrawFn) -> tuple[Tensor, Tensor, Conversion, Blocks, int]:
    """Codes, conductances, conversion, blocks and input bits of any kind, some of them on the grid's halves."""
    groups, positions, rows, columns = (draw(st.integers(1, n)) for n in (2, 70, 140, 9))
    input_bits, adc_bits, block = draw(st.integers(1, 16)), draw(st.integers(1, 12)), draw(st.integers(1, 140))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1 << 30)))
    scale = draw(st.sampled_from([0.1, 1.0, 4.0]))
    codes = torch.randint(0, 2**input_bits, (groups, positions, rows), generator=generator)
    conductance = torch.randn((groups, rows, columns), generator=generator) * scale
    if draw(st.booleans()):
        conductance = (conductance * 2).round() / 2
    low = -(2 ** (adc_bits - 1)) + draw(st.integers(-3, 3))
    blocks = tuple((first, min(first + block, rows)) for first in range(0, rows, block))
    offset = torch.randn((len(blocks), groups, columns), generator=generator) if draw(st.booleans()) else None
    variance = torch.rand((groups, rows, columns), generator=generator) * scale / 50 if draw(st.booleans()) else None
    if variance is not None:
        variance *= 0.1 ** torch.randint(0, 5, (columns,), generator=generator)
    conversion = Conversion(
        lowest=torch.randint(low, low + 2, (columns,), generator=generator).float(),
        bits=adc_bits,
        offset=offset,
        variance=variance,
        floor=draw(st.sampled_from([0.0, 0.01, 4.0])),
    )
    if adc_bits <= 10 and draw(st.booleans()):
        spread = draw(st.sampled_from([0.0, 0.2, 2.0, 1e6]))
        errors = torch.randn((len(blocks), groups, 3, 2**adc_bits - 1), generator=generator) * spread
        conversion = replace(conversion, levels=errors, adc=torch.arange(columns) % 3)
    return codes.to(torch.uint8) if input_bits <= 8 else codes, conductance, conversion, blocks, input_bits


@needs_compiler
@settings(max_examples=120)
@given(problem=problems(), key=st.integers(0, 2**64 - 1), first=st.sampled_from([0, 7, 2**32 - 20]))
def test_c_equals_torch(library: ctypes.CDLL, problem: tuple, key: int, first: int) -> None:
    codes, conductance, conversion, blocks, input_bits = problem
    columns = on_grid(conductance, conversion, blocks)
    expected = torch_readings(codes[None], [columns], input_bits, [key], first)
    result = native.summed_readings(library, codes[None], [columns], input_bits, [key], first)
    assert result.dtype == expected.dtype
    assert torch.equal(result, expected)
    assert torch.equal(native.code_sums(library, codes), codes.double().sum(dim=2, keepdim=True))


def test_levels_by_hand() -> None:
    # Thresholds 0.5, 1.5 and 2.5 above the lowest reading, -1; the first moves up by 1.75, beyond the second.
    errors = torch.tensor([1.75, 0.0, 0.0]).reshape(1, 1, 1, 3)
    conversion = Conversion(torch.tensor([-1.0]), 2, levels=errors, adc=torch.tensor([0]))
    read = []
    for y in (-9.0, -0.75, 0.25, 0.5, 1.0, 1.25, 1.5, 9.0):
        conductance, code = torch.tensor([[[y]]]), torch.ones((1, 1, 1), dtype=torch.uint8)
        read.append(converted_sums(code, conductance, conversion, ((0, 1),), 1).item())
    # Comparators are counted: above 1/2 + ..., i.e. at -1 + 1.5 = 0.5, -1 + 2.25 = 1.25 and -1 + 2.5 = 1.5.
    assert read == [-1, -1, -1, 0, 0, 1, 2, 2]


def test_perfect_levels_read_as_rounding_does() -> None:
    generator = torch.Generator().manual_seed(1)
    codes = torch.randint(0, 256, (1, 500, 64), generator=generator).to(torch.uint8)
    conductance = torch.randn((1, 64, 6), generator=generator)  # no sum lies half-way between readings
    rounded = Conversion(torch.full((6,), -16.0), 5)
    counted = replace(rounded, levels=torch.zeros((1, 1, 2, 31)), adc=torch.arange(6) // 3)
    found = [converted_sums(codes, conductance, each, ((0, 64),), 8) for each in (rounded, counted)]
    # On the grid of 2**-10 step, one sum in about a thousand is half-way.
    assert (found[0] != found[1]).float().mean() < 0.02
    assert (found[0] - found[1]).abs().max() <= 2**7


def test_every_two_columns_have_a_grid_of_noise_of_their_own() -> None:
    generator = torch.Generator().manual_seed(0)
    size = torch.tensor([1.0, 1.0, 1e-4, 1e-4, 0.01])
    variance = torch.rand((1, 64, 5), generator=generator) * size
    columns = on_grid(
        torch.randn((1, 64, 5), generator=generator),
        Conversion(torch.full((5,), -32.0), 6, variance=variance),
        ((0, 64),),
    )
    assert columns.variance is not None
    errors = []
    for _ in range(200):
        driven = torch.randperm(64, generator=generator)[:16]
        found = sigma(columns.variance[0][:, driven].sum(1).float(), columns.variance_unit[0], columns.floor[0])
        wanted = variance[0, driven].sum(0).double().sqrt() * 2.0 ** (columns.fraction + SIGMA_BITS)
        errors.append(found * 2.0 ** columns.sigma_shift[0] / wanted - 1)
    # Of 16 rows with about 64 units, each is off by a sixth of a unit squared: sqrt(16 / 6) / 64 / 2 of the root.
    assert (torch.stack(errors).square().mean(dim=0).sqrt() < 0.02).all()
    assert (torch.stack(errors).mean(dim=0).abs() < 0.003).all()


@needs_compiler
def test_one_conductance_beyond_a_window_far_from_zero(library: ctypes.CDLL) -> None:
    # Less the window's middle it would fit 16 bits on a grid on which it does not fit itself.
    columns = on_grid(torch.tensor([[[8.1576]]]), Conversion(torch.tensor([1.0]), 1), ((0, 1),))
    code = torch.ones((1, 1, 1, 1), dtype=torch.uint8)
    assert torch_readings(code, [columns], 1, [0], 0).item() == 2
    assert native.summed_readings(library, code, [columns], 1, [0], 0).item() == 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@settings(max_examples=20)
@given(problem=problems(), key=st.integers(0, 2**64 - 1))
def test_cuda_equals_cpu(problem: tuple, key: int) -> None:
    codes, conductance, conversion, blocks, input_bits = problem
    expected = torch_readings(codes[None], [on_grid(conductance, conversion, blocks)], input_bits, [key], 0)
    moved = {name: value.cuda() if isinstance(value, Tensor) else value for name, value in vars(conversion).items()}
    result = converted_sums(codes.cuda(), conductance.cuda(), Conversion(**moved), blocks, input_bits, key=key)
    assert torch.equal(result.cpu(), expected[0])


def noisy_problem(positions: int = 3000, columns: int = 71) -> tuple[Tensor, Columns]:
    """Codes and columns of one chip."""
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(0, 256, (1, 1, positions, 150), generator=generator).to(torch.uint8)
    conductance = torch.randn((1, 150, columns), generator=generator)
    variance = torch.rand((1, 150, columns), generator=generator) / 20
    conversion = Conversion(torch.full((columns,), -32.0), 6, None, variance, 0.1)
    return codes, on_grid(conductance, conversion, ((0, 64), (64, 128), (128, 150)))


@needs_compiler
@pytest.mark.parametrize("threads", [2, 3, 8])
def test_threads_change_nothing(library: ctypes.CDLL, threads: int) -> None:
    codes, columns = noisy_problem()
    expected = native.summed_readings(library, codes, [columns], 8, [5], 0)
    few_positions = native.summed_readings(library, codes[:, :, :40], [columns], 8, [5], 0)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        assert torch.equal(native.summed_readings(library, codes, [columns], 8, [5], 0), expected)
        assert torch.equal(native.summed_readings(library, codes[:, :, :40], [columns], 8, [5], 0), few_positions)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(few_positions, expected[:, :, :40])
    assert torch.equal(few_positions, torch_readings(codes[:, :, :40], [columns], 8, [5], 0))


def test_a_position_does_not_depend_on_its_neighbours() -> None:
    codes, columns = noisy_problem()
    together = summed_readings(codes, [columns], 8, keys=[3], first=100)
    for begin, end in ((0, 1), (1, 34), (777, 2777)):
        part = summed_readings(codes[:, :, begin:end], [columns], 8, keys=[3], first=100 + begin)
        assert torch.equal(part, together[:, :, begin:end])
    assert not torch.equal(summed_readings(codes, [columns], 8, keys=[4], first=100), together)
    assert not torch.equal(summed_readings(codes, [columns], 8, keys=[3], first=101), together)


def test_no_positions_give_no_sums() -> None:
    codes, columns = noisy_problem()
    assert summed_readings(codes[:, :, :0], [columns], 8, keys=[0]).shape == (1, 1, 0, 71)


def test_noise_has_the_variance_that_was_asked_for() -> None:
    # One block, one bit, all rows on: readings are the column sum plus noise, and the rounding's 1/12.
    positions, rows = 40000, 10
    variance = torch.rand((1, rows, 3), generator=torch.Generator().manual_seed(0))
    conversion = Conversion(torch.full((3,), -512.0), 10, torch.full((1, 1, 3), 0.3), variance, 2.0)
    codes = torch.ones((1, positions, rows), dtype=torch.uint8)
    readings = converted_sums(codes, torch.ones((1, rows, 3)), conversion, ((0, rows),), 1, key=1)[0].double()
    expected = variance[0].sum(0).double() + 2.0
    spread = (expected / positions).sqrt()
    assert ((readings.mean(0) - 10.3).abs() < 5 * spread).all()
    # The standard error of a variance is sqrt(2 / n) of it.
    assert (((readings.var(0) - 1 / 12) / expected - 1).abs() < 5 * (2 / positions) ** 0.5).all()


def test_variances_too_small_for_a_unit_count_as_well() -> None:
    # One row has 255 units, a hundred others a tenth of one each.
    positions, rows = 40000, 101
    variance = torch.full((1, rows, 1), 0.01)
    variance[0, 50] = 25.5
    conversion = Conversion(torch.tensor([-512.0]), 10, variance=variance)
    columns = on_grid(torch.ones((1, rows, 1)), conversion, ((0, rows),))
    assert columns.variance is not None
    assert columns.variance.sum() == pytest.approx(255, abs=1)
    codes = torch.ones((1, positions, rows), dtype=torch.uint8)
    codes[0, :, 50] = 0
    readings = converted_sums(codes, torch.ones((1, rows, 1)), conversion, ((0, rows),), 1, key=1)[0].double()
    assert float(readings.var()) == pytest.approx(1 + 1 / 12, rel=0.1)


def test_the_coarse_grid_blurs_little_and_wide_adcs_get_the_fine_one() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = 64
    conductance = torch.randn((1, rows, 50), generator=generator)
    for bits in range(1, 13):
        columns = on_grid(conductance, Conversion(torch.full((50,), -(2.0 ** (bits - 1))), bits), ((0, rows),))
        error = columns.conductance.transpose(1, 2).double() / 2.0**columns.fraction - conductance
        # Over all sets of active rows at most that of all rows: 1/32 step, as a standard deviation over columns.
        assert error.sum(1).std() < 1.5 / 32
        assert columns.narrow == (bits <= 8)
        ends = columns.conductance.long().clamp_min(0).sum(2).max()
        assert ends < 2 ** (15 if columns.narrow else 23)


def test_halves_round_to_even() -> None:
    # Sums of 0.5, 1.5, ... in windows whose middle is odd and even.
    sums = torch.arange(-4.5, 5.0)
    for low in (-8.0, -7.0):
        conversion = Conversion(torch.full((10,), low), 4)
        readings = converted_sums(torch.ones((1, 1, 1)).byte(), sums.reshape(1, 1, -1), conversion, ((0, 1),), 1)
        assert torch.equal(readings.flatten(), sums.round().int())


def test_without_the_c_code_torch_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    codes, columns = noisy_problem(50, 5)
    expected = torch_readings(codes, [columns], 8, [5], 0)
    monkeypatch.setenv("XPERT_NATIVE", "0")
    assert torch.equal(summed_readings(codes, [columns], 8, keys=[5]), expected)
