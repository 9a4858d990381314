"""What ATen's operators are to a chip: matrix products, pooling, functions, sums, or nothing but moved data.

Every function of torch, however it is written, ends in these operators. What is not known here is refused by name.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch._ops import OpOverload

Kind = Literal[
    "made", "moved", "affine", "relu", "sum", "activation", "elementwise", "pool", "norm", "softmax", "lookup"
]


def names(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


MATRIX_PRODUCTS = names("mm addmm bmm baddbmm mv addmv dot vdot addbmm _int_mm")
"""Products of matrices and vectors."""

CONVOLUTIONS = names("convolution _convolution convolution_overrideable")
"""Convolutions, transposed ones too."""

_MADE = names(
    "empty zeros ones full arange range linspace logspace eye rand randn randint randperm scalar_tensor empty_like "
    "zeros_like ones_like full_like rand_like randn_like randint_like new_empty new_zeros new_ones new_full "
    "empty_strided new_empty_strided tril_indices triu_indices zero_ fill_ bernoulli_ normal_ uniform_ "
    "empty_permuted"
)

_MOVED = names(
    "clone _to_copy copy_ copy contiguous cat stack constant_pad_nd reflection_pad1d reflection_pad2d "
    "replication_pad1d replication_pad2d index index_select gather take index_put index_put_ _index_put_impl_ "
    "scatter scatter_ slice_scatter select_scatter diagonal_scatter as_strided_scatter roll flip rot90 repeat tile "
    "repeat_interleave unfold im2col pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle "
    "native_dropout dropout _unsafe_view _reshape_alias _reshape_copy unsafe_split unsafe_split_with_sizes "
    "unsafe_chunk split_with_sizes_copy detach alias resize_ set_ as_strided_ transpose_ t_ squeeze_ unsqueeze_ "
    "swapaxes_ detach_ tril triu tril_ triu_ diag_embed upsample_nearest1d upsample_nearest2d upsample_nearest3d "
    "_upsample_nearest_exact1d _upsample_nearest_exact2d nonzero masked_select _local_scalar_dense equal is_nonzero "
    "view_as_real view_as_complex _conj_physical channel_shuffle_ unfold_copy expand_copy view_copy permute_copy "
    "t_copy slice_copy _pin_memory max_unpool2d _pack_padded_sequence _pad_packed_sequence isin _assert_async "
    "_unsafe_index _unsafe_masked_index permute block_diag lift_fresh lift_fresh_copy"
)

_AFFINE = names(
    "add sub mul div rsub neg add_ sub_ mul_ div_ neg_ native_batch_norm _native_batch_norm_legit "
    "_native_batch_norm_legit_no_training cudnn_batch_norm miopen_batch_norm batch_norm _batch_norm_no_update"
)
"""Scaled and shifted values, where one side is constant."""

_RELU = names("relu relu_ relu6 leaky_relu leaky_relu_")

_CLAMPED = names("hardtanh hardtanh_ clamp clamp_ clamp_min clamp_min_ threshold threshold_")
"""ReLUs where values are cut off at zero, else comparisons."""

_ACTIVATION = names(
    "gelu gelu_ silu silu_ hardswish hardswish_ hardsigmoid hardsigmoid_ sigmoid sigmoid_ tanh tanh_ elu elu_ celu "
    "celu_ mish mish_ softplus log_sigmoid_forward exp exp_ exp2 expm1 log log2 log10 log1p sqrt sqrt_ rsqrt rsqrt_ "
    "reciprocal reciprocal_ pow pow_ erf erfc sin cos tan atan atan2 _prelu_kernel prelu rrelu rrelu_with_noise glu "
    "hardshrink softshrink"
)

_POOL = names(
    "max_pool1d max_pool2d max_pool3d max_pool2d_with_indices max_pool3d_with_indices avg_pool1d avg_pool2d "
    "avg_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_avg_pool2d adaptive_max_pool2d "
    "adaptive_max_pool3d mean amax fractional_max_pool2d"
)

_NORM = names("native_layer_norm layer_norm native_group_norm group_norm rms_norm _fused_rms_norm linalg_vector_norm")

_SOFTMAX = names("_softmax _safe_softmax _log_softmax softmax log_softmax logsumexp")

_ELEMENTWISE = names(
    "sum prod cumsum cumprod var std var_mean std_mean amin max min aminmax argmax argmin topk sort any all norm "
    "median nansum count_nonzero bincount bucketize searchsorted upsample_linear1d upsample_bilinear2d "
    "upsample_bicubic2d _upsample_bilinear2d_aa _upsample_bicubic2d_aa upsample_trilinear3d grid_sampler_2d "
    "index_add index_add_ scatter_add scatter_add_ scatter_reduce scatter_reduce_ col2im masked_fill masked_fill_ "
    "where floor_divide multinomial one_hot masked_scatter _thnn_fused_lstm_cell _thnn_fused_gru_cell addr ger "
    "outer isfinite isnan isinf"
)

_LOOKUP = names("embedding _embedding_bag embedding_bag _embedding_bag_forward_only")

_REFUSED = {
    "_trilinear": "a bilinear layer",
    "conv_tbc": "a convolution over time, batch and channels",
    "_cdist_forward": "pairwise distances",
    "_euclidean_dist": "pairwise distances",
    "mkldnn_rnn_layer": "a recurrent layer",
    "_cudnn_rnn": "a recurrent layer",
    "_transformer_encoder_layer_fwd": "a transformer layer",
    "_native_multi_head_attention": "attention",
}
"""Operators with products inside, which cannot be told apart from outside, in words."""


def base_name(operator: OpOverload) -> tuple[str, str]:
    """Namespace and name of an operator, `aten`, `addmm`."""
    namespace, _, name = operator._schema.name.partition("::")
    return namespace, name


def kind_of(operator: OpOverload) -> Kind | None:
    """What an operator that is no matrix product is to a chip; None: it is not known."""
    namespace, name = base_name(operator)
    if namespace not in ("aten", "prims"):
        return None
    for known, kind in _KINDS:
        if name in known:
            return kind
    if operator.is_view or name.endswith("_copy"):
        return "moved"
    if torch.Tag.pointwise in operator.tags:
        return "elementwise"
    return None


def words_for(operator: OpOverload) -> str:
    """An operator that is refused, in words."""
    namespace, name = base_name(operator)
    return _REFUSED.get(name, f"{namespace}::{name}")


_KINDS: tuple[tuple[frozenset[str], Kind], ...] = (
    (_MADE, "made"),
    (_MOVED, "moved"),
    (_AFFINE, "affine"),
    (_RELU | _CLAMPED, "relu"),
    (_ACTIVATION, "activation"),
    (_POOL, "pool"),
    (_NORM, "norm"),
    (_SOFTMAX, "softmax"),
    (_ELEMENTWISE, "elementwise"),
    (_LOOKUP, "lookup"),
)

CUT_AT_ZERO = _CLAMPED


__all__ = ["CONVOLUTIONS", "CUT_AT_ZERO", "MATRIX_PRODUCTS", "Kind", "base_name", "kind_of", "names", "words_for"]
