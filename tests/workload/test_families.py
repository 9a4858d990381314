"""Multiply-accumulates of known networks, against PyTorch's own count; needs torchvision and timm."""

from __future__ import annotations

import importlib
import warnings

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from xpert.workload.trace import trace

TORCHVISION = """
alexnet vgg11 vgg16_bn resnet18 resnet50 resnext50_32x4d wide_resnet50_2 densenet121 googlenet inception_v3
mobilenet_v2 mobilenet_v3_small mobilenet_v3_large mnasnet0_5 shufflenet_v2_x0_5 squeezenet1_1 efficientnet_b0
efficientnet_v2_s regnet_x_400mf regnet_y_400mf convnext_tiny vit_b_32 swin_t swin_v2_t maxvit_t
"""

TIMM = """
resnetv2_50 seresnet50 ecaresnet50t skresnet18 resnest14d res2net50_26w_4s cspresnet50 darknet53 dla34 dpn68
tf_efficientnet_b0 mobilenetv3_small_100 mobilenetv4_conv_small mobilenetv4_hybrid_medium fbnetc_100 ghostnet_100
lcnet_050 rexnet_100 regnetz_b16 repvgg_a0 mobileone_s0 nfnet_l0 convnextv2_atto convmixer_768_32 mixer_s16_224
gmlp_s16_224 resmlp_12_224 deit_tiny_patch16_224 beit_base_patch16_224 xcit_nano_12_p16_224
swin_tiny_patch4_window7_224 swinv2_tiny_window8_256 twins_svt_small pvt_v2_b0 coat_lite_tiny convit_tiny levit_128s
efficientformer_l1 poolformer_s12 edgenext_xx_small mobilevit_xxs tnt_s_patch16_224 visformer_tiny crossvit_tiny_240
coatnet_nano_rw_224 gcvit_xxtiny davit_tiny focalnet_tiny_srf xception41 hrnet_w18_small vovnet39a fastvit_t8
repvit_m1 tiny_vit_5m_224 hiera_tiny_224 inception_next_tiny volo_d1_224 sequencer2d_s lambda_resnet26t halonet26t
botnet26t_256
"""


def built(library: str, name: str) -> tuple[nn.Module, int]:
    """A network with random weights on the meta device, and the side of its images. [pixel]"""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            timm, torchvision = (importlib.import_module(package) for package in ("timm", "torchvision"))
    except (
        ImportError,
        RuntimeError,
    ) as error:  # the latter beside another torch
        pytest.skip(f"torchvision and timm are needed: {error}")
    if library == "torchvision":
        model = torchvision.models.get_model(name, **({"init_weights": False} if name in SLOW else {}))
        return model.to("meta").eval(), 299 if name == "inception_v3" else 224
    model = timm.create_model(name)
    return model.to("meta").eval(), model.pretrained_cfg["input_size"][1]


SLOW = ("googlenet", "inception_v3")
"""Networks that take long to initialise."""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("library", "name"),
    [*(("torchvision", name) for name in TORCHVISION.split()), *(("timm", name) for name in TIMM.split())],
)
def test_products_are_those_that_pytorch_counts(library: str, name: str) -> None:
    model, side = built(library, name)
    layers = trace(model, (3, side, side))
    products = sum(work.operations for layer in layers for work in layer.after if work.kind == "product")
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        model(torch.zeros(1, 3, side, side, device="meta"))
    assert 2 * (sum(layer.macs for layer in layers) + products) == counter.get_total_flops()
