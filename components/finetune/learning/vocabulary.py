"""Training of the tokens that are there: the embeddings of all others get no gradient, and are left out of each step.

A vocabulary has 30,000 to 250,000 tokens, of which a dataset has a few thousand. All others would cost a step the
zeros of their gradient, its norm, and AdamW's passes over moments that stay 0: of MiniLM half of all parameters, of a
multilingual network most. So a table of those that are there learns instead, and is put back in the end. What they
learn is the same; the others stay as they were (AdamW would make them smaller, which nobody asked for).
"""

import contextlib
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from components.shared.backbones.network import Network

_WORTH = 0.8  # of the vocabulary: where more of it is there, all of it learns


def narrow(network: Network, tokens: np.ndarray) -> None:
    """Lets a network learn the embeddings of some tokens; it answers about all of them as before.

    Args:
        network: Whose own table of tokens is replaced, where it is a plain one.
        tokens: Ids that batches of training examples have, int64, each once.
    """
    found = _table(network)
    if found is None or type(found[2]) is not nn.Embedding:
        return
    parent, name, table = found
    if table.padding_idx is not None:
        tokens = np.union1d(tokens, [table.padding_idx])
    if len(tokens) <= _WORTH * table.num_embeddings:
        setattr(parent, name, Narrowed(table, torch.from_numpy(tokens).to(table.weight.device)))


def widen(network: Network) -> None:
    """Puts a table that was narrowed back, with what was learned."""
    found = _table(network)
    if found is not None and isinstance(found[2], Narrowed):
        parent, name, table = found
        setattr(parent, name, table.whole())


class Narrowed(nn.Embedding):
    """A table of embeddings, of which some rows learn; in a state it is the whole table.

    Attributes:
        ids: int64 [rows]: the tokens that learn, whose rows `weight` [rows, width] has.
        places: int64 [tokens of the vocabulary]: the row of each, -1: it is one that stays.
        rest: The table as it was, [tokens of the vocabulary, width].
    """

    ids: Tensor
    places: Tensor
    rest: Tensor

    def __init__(self, table: nn.Embedding, ids: Tensor) -> None:
        rest = table.weight.detach()
        super().__init__(len(ids), table.embedding_dim, _weight=rest[ids].clone())
        self._padding = table.padding_idx
        if self._padding is not None:
            self.padding_idx = int((ids == self._padding).nonzero())
        places = torch.full((table.num_embeddings,), -1, dtype=torch.int64, device=rest.device)
        places[ids] = torch.arange(len(ids), device=rest.device)
        for name, tensor in (("ids", ids), ("places", places), ("rest", rest)):
            self.register_buffer(name, tensor, persistent=False)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """Takes ids of the vocabulary; returns float [..., width]."""
        places = self.places[input]
        rows = functional.embedding(places.clamp(min=0), self.weight, self.padding_idx)
        if self.training:  # on examples that have no other tokens
            return rows
        return torch.where((places < 0).unsqueeze(-1), functional.embedding(input, self.rest), rows)

    def whole(self) -> nn.Embedding:
        """Returns the whole table."""
        return nn.Embedding(len(self.rest), self.embedding_dim, self._padding, _weight=self._merged())

    def _merged(self) -> Tensor:
        return self.rest.index_copy(0, self.ids, self.weight.detach())

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        destination[f"{prefix}weight"] = self._merged()

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *others: Any) -> None:
        missing: list[str] = others[2]
        if (whole := state_dict.get(f"{prefix}weight")) is None:
            missing.append(f"{prefix}weight")
            return
        with torch.no_grad():
            self.weight.copy_(whole[self.ids.to(whole.device)])


def _table(network: Network) -> tuple[nn.Module, str, Any] | None:
    """Returns the module that holds the table of tokens, its name there, and the table."""
    table: Any = None
    with contextlib.suppress(NotImplementedError):  # it has none of tokens
        table = getattr(network.encoder, "get_input_embeddings", lambda: None)()
    places = ((parent, name, child) for parent in network.encoder.modules() for name, child in parent.named_children())
    return next(((parent, name, child) for parent, name, child in places if child is table), None)
