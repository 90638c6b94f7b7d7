"""What ranking networks are made of. Vectors side by side are [n, G, width], so that reading a part is a view."""

from headrace.models.blocks.crossing import Bilinear, Cross, Excitation, fm, pairs, self_attend
from headrace.models.blocks.embedding import FieldEmbedding
from headrace.models.blocks.features import Features, Read
from headrace.models.blocks.linear import GroupedLinear, perceptron
from headrace.models.blocks.mixture import gate_dropout, mix
from headrace.models.blocks.sequences import attend, mean_of_sequence

__all__ = [
    "Bilinear",
    "Cross",
    "Excitation",
    "Features",
    "FieldEmbedding",
    "GroupedLinear",
    "Read",
    "attend",
    "fm",
    "gate_dropout",
    "mean_of_sequence",
    "mix",
    "pairs",
    "perceptron",
    "self_attend",
]
