"""The weights of a Deep Retrieval model, as given and packed for beam search."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from headrace.kernels.checks import check_tensor
from headrace.kernels.edge import FLOATS, takes

PANEL = 8
MAX_CODE = 2**62


class PathModel:
    """D layers over K nodes: layer d is `softmax(W2 relu(W1 [user, emb(c_1), ..., emb(c_d)] + b1) + b2)`.

    embeddings: [D-1, K, E], row c of layer l is the embedding of node c there. For layer d = 0 ... D-1:
    hidden_weight[d] [H, U + d E] and hidden_bias[d] [H] (W1 and b1), output_weight[d] [K, H] and output_bias[d] [K]
    (W2 and b2). All float32, finite and on one device.

    The weights are copied, and packed for beam search in float64; a later change of the network needs a new model. W1's
    columns for the embeddings are multiplied out into tables of K x H, one for each pair of layers.

    Raises TypeError or ValueError for wrong dtypes, shapes or devices, NaN or infinity, K^D above 2^62.
    Source: Gao et al., "Learning an End-to-End Structure for Retrieval in Large-Scale Recommendations", CIKM 2021.
    """

    @takes(
        embeddings=FLOATS,
        hidden_weight=[FLOATS],
        hidden_bias=[FLOATS],
        output_weight=[FLOATS],
        output_bias=[FLOATS],
    )
    def __init__(
        self,
        embeddings: Tensor,
        hidden_weight: Sequence[Tensor],
        hidden_bias: Sequence[Tensor],
        output_weight: Sequence[Tensor],
        output_bias: Sequence[Tensor],
    ) -> None:
        _check(embeddings, hidden_weight, hidden_bias, output_weight, output_bias)
        self.depth = len(hidden_weight)
        self.nodes, self.hidden = output_weight[0].shape
        self.user_dim = hidden_weight[0].shape[1]
        self.device = embeddings.device
        stacked = [torch.stack(list(each)) for each in (hidden_bias, output_weight, output_bias)]
        self.weights = [embeddings.clone(), *stacked, *(t.clone() for t in hidden_weight)]
        self.packed = _pack(self.weights[0], self.weights[4:], *stacked)

    @classmethod
    def from_module(cls, module: nn.Module) -> PathModel:
        """The model of a trained network, on its device.

        module: its state has `embeddings` and, for each layer d, weight and bias of the linear `hidden.d` and
        `output.d`. Raises TypeError or ValueError for another one.
        """
        if not isinstance(module, nn.Module):
            raise TypeError(f"module: expected an nn.Module, got {type(module).__name__}")
        state = module.state_dict()
        if "embeddings" not in state:
            raise ValueError(f"module: expected a parameter named embeddings, got {', '.join(state) or 'none'}")
        layers = range(len(state["embeddings"]) + 1)
        names = [[f"{part}.{d}.{kind}" for d in layers] for part in ("hidden", "output") for kind in ("weight", "bias")]
        missing = [name for each in names for name in each if name not in state]
        if missing:
            raise ValueError(f"module: expected a parameter named {missing[0]}, got {', '.join(state)}")
        return cls(state["embeddings"], *([state[name] for name in each] for each in names))


def _check(
    embeddings: Tensor,
    hidden_weight: Sequence[Tensor],
    hidden_bias: Sequence[Tensor],
    output_weight: Sequence[Tensor],
    output_bias: Sequence[Tensor],
) -> None:
    check_tensor("embeddings", embeddings, dtype=torch.float32, ndim=3)
    depth = len(hidden_weight)
    if depth < 1:
        raise ValueError("hidden_weight: expected at least 1 layer, got 0")
    check_tensor("hidden_weight[0]", hidden_weight[0], dtype=torch.float32, ndim=2, device=embeddings.device)
    hidden, user_dim = hidden_weight[0].shape
    nodes, width = embeddings.shape[1:]
    if min(hidden, user_dim, nodes) < 1:
        raise ValueError(f"model: expected sizes of at least 1, got {hidden=}, {user_dim=}, {nodes=}")
    if nodes**depth > MAX_CODE:
        raise ValueError(f"model: expected nodes^depth of at most 2^62, got {nodes}^{depth}")
    _expect("embeddings", embeddings, (depth - 1, nodes, width), embeddings.device)
    layers = {"hidden_weight": hidden_weight, "hidden_bias": hidden_bias}
    layers |= {"output_weight": output_weight, "output_bias": output_bias}
    for name, tensors in layers.items():
        if len(tensors) != depth:
            raise ValueError(f"{name}: expected {depth} layers as in hidden_weight, got {len(tensors)}")
        for d, tensor in enumerate(tensors):
            shape = {
                "hidden_weight": (hidden, user_dim + d * width),
                "hidden_bias": (hidden,),
                "output_weight": (nodes, hidden),
                "output_bias": (nodes,),
            }[name]
            _expect(f"{name}[{d}]", tensor, shape, embeddings.device)


def _expect(name: str, tensor: Tensor, shape: tuple[int, ...], device: torch.device) -> None:
    check_tensor(name, tensor, dtype=torch.float32, ndim=len(shape), device=device)
    if tuple(tensor.shape) != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {tuple(tensor.shape)}")
    if not bool(tensor.isfinite().all()):
        raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")


def _panels(weight: Tensor) -> Tensor:
    """Packs matrices [..., outputs, inputs] into panels of 8 outputs, [..., panels, inputs, 8]."""
    outputs = weight.shape[-2]
    filled: Tensor = pad(weight, (0, 0, 0, -outputs % PANEL)).unflatten(-2, (-1, PANEL))
    return filled.transpose(-1, -2).contiguous()


def _pack(
    embeddings: Tensor, hidden_weight: list[Tensor], hidden_bias: Tensor, output_weight: Tensor, output_bias: Tensor
) -> list[Tensor]:
    """The float64 tensors of `hr_path_model` (cpp/beam_search/beam_search.h), in its order; both backends read them."""
    depth, hidden = hidden_bias.shape
    nodes, width = embeddings.shape[1:]
    user_dim = hidden_weight[0].shape[1]
    fill = -hidden % PANEL
    pairs = [(d, layer) for d in range(depth) for layer in range(d)]
    columns = [hidden_weight[d][:, user_dim + layer * width :][:, :width].double() for d, layer in pairs]
    tables = [embeddings[layer].double() @ w.T for (_, layer), w in zip(pairs, columns, strict=True)]
    empty = embeddings.new_empty((0, nodes, hidden), dtype=torch.float64)
    user_weight = torch.stack([w[:, :user_dim] for w in hidden_weight]).double()
    return [
        _panels(user_weight),
        pad(hidden_bias.double(), (0, fill)),
        pad(torch.stack(tables) if tables else empty, (0, fill)).contiguous(),
        _panels(pad(output_weight.double(), (0, fill))),
        pad(output_bias.double(), (0, -nodes % PANEL), value=-torch.inf),
    ]
