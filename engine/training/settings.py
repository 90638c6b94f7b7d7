"""How long and how fast to train."""

from __future__ import annotations

from pydantic import Field

from headrace.section import Section


class TrainSettings(Section):
    """How long and how fast to train; every row is seen once an epoch."""

    epochs: int = Field(default=1, ge=1, description="passes over the rows")
    batch_size: int = Field(default=4096, ge=1, description="rows a step")
    learning_rate: float = Field(default=1e-3, gt=0, description="of dense weights")
    embedding_learning_rate: float = Field(default=1e-2, gt=0, description="of embeddings")
    weight_decay: float = Field(
        default=0.0, ge=0, description="share of the learning rate times itself that a dense weight loses each step"
    )
    embedding_decay: float = Field(
        default=0.0, ge=0, description="the same of an embedding, at each step that reads it"
    )
