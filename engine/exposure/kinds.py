"""What items have that a request may block them by: authors, categories, keywords."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headrace.data import UNKNOWN, Catalogue
from headrace.jagged import offsets_of
from headrace.state import State

KINDS = ("author", "category", "keyword")


@dataclass(frozen=True, eq=False)
class Kind:
    """The codes of each item, and what they are called.

    offsets: int64 [N+1], code: int32 [nnz]: item i has code[offsets[i]:offsets[i+1]]. texts: uint8, the texts of the
    codes one after the other in UTF-8; ends: int64 [C+1], where each begins and the last ends; one entry without texts.
    """

    offsets: Tensor
    code: Tensor
    texts: Tensor
    ends: Tensor

    @property
    def span(self) -> int:
        """A number above all codes."""
        return int(self.code.max()) + 1 if len(self.code) else 1

    @cached_property
    def _code_of(self) -> dict[str, int]:
        whole, ends = self.texts.numpy().tobytes(), self.ends.tolist()
        return {whole[a:b].decode(errors="replace"): code for code, (a, b) in enumerate(pairwise(ends))}

    def codes(self, names: Sequence[Any]) -> NDArray[np.int64]:
        """int64 [m]: the code of each text, -1 for another; where there are no texts, the codes themselves are given.

        Raises TypeError for integers where there are texts, and for anything else where there are none.
        """
        named = len(self.ends) > 1
        told = np.asarray(names).tolist()
        for one in told:
            if not isinstance(one, str if named else int):
                raise TypeError(f"expected {'texts' if named else 'integer codes'}, got {one!r}")
        found = [self._code_of.get(one, -1) if named else one for one in told]
        return np.array([code if -1 <= code < self.span else -1 for code in found], np.int64)

    def state(self) -> State:
        return State.of(offsets=self.offsets, code=self.code, texts=self.texts, ends=self.ends)

    @classmethod
    def from_state(cls, state: State) -> Kind:
        code = state.tensor("code", torch.int32, None, least=0)
        texts = state.tensor("texts", torch.uint8, None)
        texts.numpy().tobytes().decode()
        return cls(state.offsets("offsets", "items", len(code)), code, texts, state.offsets("ends", None, len(texts)))


def kinds_of(catalogue: Catalogue) -> dict[str, Kind]:
    """The kinds that a catalogue has."""
    found: dict[str, tuple[Tensor, Tensor]] = {}
    if catalogue.author is not None:
        known = torch.from_numpy(catalogue.author != UNKNOWN)
        found["author"] = offsets_of(known.long()), torch.tensor(catalogue.author, dtype=torch.int32)[known]
    for name in ("category", "keyword"):
        lists = getattr(catalogue, name)
        if lists is not None:
            found[name] = torch.tensor(lists.offsets), torch.tensor(lists.values, dtype=torch.int32)
    return {name: Kind(*table, *_packed(catalogue.names.get(name, []))) for name, table in found.items()}


def _packed(texts: Sequence[str]) -> tuple[Tensor, Tensor]:
    each = [text.encode() for text in texts]
    whole = np.frombuffer(b"".join(each), np.uint8).copy()
    return torch.from_numpy(whole), offsets_of(torch.tensor([len(one) for one in each], dtype=torch.int64))
