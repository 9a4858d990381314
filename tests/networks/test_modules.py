from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xpert.design import Network
from xpert.errors import ConfigError
from xpert.networks import build, space
from xpert.networks.assembly import BasicBlock
from xpert.networks.backbones import BACKBONES
from xpert.networks.quantised import quantised_layers
from xpert.workload.trace import trace


@pytest.mark.parametrize("name", BACKBONES.shipped())
@settings(max_examples=5)
@given(side=st.sampled_from([16, 32, 48]), data=st.data())
def test_the_module_is_the_network(name: str, side: int, data: st.DataObject) -> None:
    backbone = space(name, (8, 16), (data.draw(st.integers(1, 4)), side, side), 5)
    network = backbone.network(
        data.draw(st.lists(st.integers(1, 24), min_size=backbone.depth, max_size=backbone.depth))
    )
    model = build(network)
    assert trace(model, network.input_shape) == network.layers
    assert list(quantised_layers(model)) == [layer.name for layer in network.layers]
    assert model(torch.zeros(2, *network.input_shape)).shape == (2, 5)


def test_other_kernels_and_missing_layers_are_built() -> None:
    backbone = space("vgg13", (8, 16), (3, 32, 32), 5)
    network = backbone.network((8, 8, 16, 16, 16, 16, 8, 8, 8, 8), (3, 5, 3, 1, 0, 3, 3, 3, 0, 3, 1))
    model = build(network)
    assert trace(model, network.input_shape) == network.layers
    assert model(torch.zeros(2, *network.input_shape)).shape == (2, 5)
    with pytest.raises(ConfigError, match=r"network\.layers\.1"):
        build(network.replace(kernels=()))


def test_weights_come_from_the_generator_alone() -> None:
    network = space("vgg11", (8,)).network((8,) * 8)

    def weights(seed: int) -> torch.Tensor:
        model = build(network, generator=torch.Generator().manual_seed(seed))
        return torch.cat([parameter.flatten() for parameter in model.parameters()])

    before = torch.random.get_rng_state()
    first = weights(1)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.rand(1)
    assert torch.equal(weights(1), first)
    assert not torch.equal(weights(2), first)


def test_activations_keep_their_scale_through_a_fresh_network() -> None:
    """He's initialisation: without it, 16 layers of small random weights would let the image die out."""
    vgg = space("vgg19", (32,))
    model = build(vgg.network((32,) * 16), input_bits=16)
    image = torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    logits = model.train()(image)
    assert 0.01 < logits.std() < 10


@pytest.mark.parametrize("name", ["vgg11", "resnet20"])
def test_the_first_filters_may_start_as_the_identity(name: str) -> None:
    """Of all convolutions but the first: on maps of their own channels, those filters give the map back."""
    backbone = space(name, (8, 16), (3, 16, 16), 5)
    network = backbone.network(tuple((5, 8, 3, 16)[decision % 4] for decision in range(backbone.depth)))
    model = build(network, initialisation="dirac", generator=torch.Generator().manual_seed(3))
    again = build(network, initialisation="dirac", generator=torch.Generator().manual_seed(3))
    for index, (layer, other) in enumerate(zip(quantised_layers(model).values(), quantised_layers(again).values())):
        assert torch.equal(layer.weight, other.weight)
        if not isinstance(layer, torch.nn.Conv2d):
            continue
        outputs, inputs, side, _ = layer.weight.shape
        n = min(outputs, inputs) if index > 0 else 0
        centre = layer.weight[:n, :n, side // 2, side // 2]
        assert torch.equal(centre, torch.eye(n))
        assert layer.weight[:n].count_nonzero() == n
        rest = layer.weight[n:]
        bound = (inputs * side * side) ** -0.5  # of a uniform distribution, whose deviation is 1/sqrt(3) of it
        if rest.numel() > 100:
            assert 0.9 * bound < rest.abs().max() <= bound
            assert rest.std().item() == pytest.approx(bound / 3**0.5, rel=0.2)
    with pytest.raises(ConfigError, match="initialisation must be he or dirac, got 'zeros'"):
        build(network, initialisation="zeros")


def test_precisions_reach_the_layers() -> None:
    network = space("vgg11", (8,)).network((8,) * 8)
    layers = list(quantised_layers(build(network, weight_bits=5, input_bits=range(1, 10))).values())
    assert [layer.input_bits for layer in layers] == list(range(1, 10))
    assert {layer.weight_bits for layer in layers} == {5}
    assert [layer.signed_input for layer in layers] == [True] + [False] * 8


def test_a_block_adds_its_shortcut() -> None:
    model = build(space("resnet18", (8,), (1, 16, 16), 3).network((8,) * 12)).eval()
    x = torch.rand(2, 8, 16, 16, generator=torch.Generator().manual_seed(0))
    identity, projection = model.block1, model.block3
    assert isinstance(identity, BasicBlock)
    assert isinstance(projection, BasicBlock)
    with torch.no_grad():
        for block in (identity, projection):
            block.norm2.weight.zero_()  # what is left is the shortcut
        assert torch.equal(identity(x), x)
        assert torch.equal(projection(x), projection.shortcut_norm(projection.shortcut(x)).relu())


@pytest.mark.parametrize(("name", "missing"), [("resnet20", (1, 3, 6, 10)), ("resnet18", (1, 2, 5, 8))])
def test_networks_with_missing_blocks_are_built(name: str, missing: tuple[int, ...]) -> None:
    backbone = space(name, (0, 8), (3, 16, 16), 5)
    network = backbone.network([0 if decision in missing else 8 for decision in range(backbone.depth)])
    model = build(network)
    assert trace(model, network.input_shape) == network.layers
    assert list(quantised_layers(model)) == [layer.name for layer in network.layers]
    assert len(network.layers) == len(backbone.positions) - 2 * len(missing)
    assert model(torch.zeros(2, 3, 16, 16)).shape == (2, 5)
    with pytest.raises(ConfigError, match=r"network\.layers\.1"):
        build(network.replace(channels=(8,) * backbone.depth))


def test_a_missing_block_leaves_the_rest_as_it_is() -> None:
    """Where a block adds nothing, the network without it is the same function, to the bit."""
    backbone = space("resnet20", (0, 8), (3, 16, 16), 5)
    whole = build(backbone.network((8,) * 12)).eval()
    channels = [8] * 12
    channels[2] = channels[7] = 0
    without = build(backbone.network(channels)).eval()
    gone = [name for name in whole.state_dict() if name not in without.state_dict()]
    assert {name.partition(".")[0] for name in gone} == {"block2", "block6"}
    with torch.no_grad():
        for block in (whole.block2, whole.block6):
            assert isinstance(block, BasicBlock)
            block.norm2.weight.zero_()
    without.load_state_dict({name: value for name, value in whole.state_dict().items() if name not in gone})
    images = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(whole(images), without(images))


@pytest.mark.parametrize("name", ["vgg16", "resnet20"])
def test_gradients_reach_every_parameter(name: str) -> None:
    backbone = space(name, (8, 16))
    network = backbone.network((8,) * backbone.depth)
    model = build(network, input_bits=4)
    image = torch.randn(16, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.nn.functional.cross_entropy(model(image), torch.arange(16) % 10).backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.abs().sum() > 0, name
        else:
            assert name == "conv1.input_clip"


@pytest.mark.parametrize("side", [16, 32])
def test_files_that_do_not_say_how_they_pool_are_built_as_they_were(side: int) -> None:
    """On images of 16 x 16 the last pooling but one leaves one pixel, and takes maxima all the same."""
    backbone = space("vgg11", (8,), (3, side, side))
    network = backbone.network((8,) * backbone.depth)
    assert {layer.pool_kind for layer in network.layers if layer.pool == 2 and layer.name != "conv8"} == {"max"}
    assert trace(build(network), network.input_shape) == network.layers
    data = network.model_dump()
    for layer in data["layers"]:
        del layer["pool_kind"]
    assert str(build(Network.parse(data))) == str(build(network))


def test_networks_that_cannot_be_built_are_refused() -> None:
    network = space("vgg11", (8,)).network((8,) * 8)
    with pytest.raises(ConfigError, match=r"must be one of resnet20, .* got 'custom'"):
        build(network.replace(backbone="custom"))
    with pytest.raises(ConfigError, match="one for each of the 9 layers, got 2"):
        build(network, input_bits=[8, 8])
    layers = list(network.layers)
    layers[3] = layers[3].replace(pool=1)
    for wrong, index in ((layers, 3), (network.layers[:-1], 8)):
        with pytest.raises(ConfigError, match=f"network.layers.{index}: not what vgg11"):
            build(Network.parse(network.model_dump() | {"layers": [layer.model_dump() for layer in wrong]}))
