"""What the codes of the other families' columns stand for: no column of its own, but kept in every snapshot."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray

from headrace.data.dataset import UNKNOWN, Dataset
from headrace.data.words import CONTEXT, Vocabulary, words_of
from headrace.features.family import Family, family
from headrace.features.settings import FeatureSettings
from headrace.state import State


@family
class Words(Family):
    """words: (side, column) -> large_string [codes], as `headrace.data.words` has them."""

    name = "words"
    columns = ()

    def __init__(self, words: dict[tuple[str, str], pa.Array]) -> None:
        self.words = words

    @classmethod
    def fit(cls, dataset: Dataset, settings: FeatureSettings, earlier: Family | None = None) -> Words | None:
        found = words_of(dataset)
        return cls({column: pa.array(words, pa.large_string()) for column, words in found.items()}) if found else None

    def vocabulary(self) -> Vocabulary:
        return {column: words.to_pylist() for column, words in self.words.items()}

    def context(self, name: str, asked: pa.Array) -> NDArray[np.int64] | None:
        """int64 [n]: the codes of words (string [n]) of a context, -1 where unknown; None where it has no words."""
        words = self.words.get((CONTEXT, name))
        if words is None:
            return None
        codes = pc.index_in(asked.cast(pa.large_string()), value_set=words)
        return np.asarray(codes.fill_null(UNKNOWN).to_numpy(zero_copy_only=False)).astype(np.int64)

    def state(self) -> State:
        tensors = {}
        for place, words in enumerate(self.words.values()):
            whole = pa.concat_arrays([words])
            _, offsets, text = whole.buffers()
            tensors[f"ends{place}"] = torch.from_numpy(np.frombuffer(offsets, np.int64, len(whole) + 1)[1:].copy())
            tensors[f"text{place}"] = torch.from_numpy(np.frombuffer(text or b"", np.uint8).copy())
        return State.of(columns=[list(column) for column in self.words], **tensors)

    @classmethod
    def from_state(cls, state: State) -> Words:
        """Raises ValueError where the words are no text."""
        words = {}
        for place, (side, name) in enumerate(state["columns"]):
            ends, text = state[f"ends{place}"].numpy().astype(np.int64), state[f"text{place}"].numpy()
            offsets = np.concatenate([np.zeros(1, np.int64), ends])
            buffers = [None, pa.py_buffer(offsets), pa.py_buffer(text.tobytes())]
            words[side, name] = pa.Array.from_buffers(pa.large_string(), len(ends), buffers)
            words[side, name].validate(full=True)
        return cls(words)
