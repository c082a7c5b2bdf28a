"""What stands on a backbone: the contract of a head, and the linear head that most tasks have.

Like `network.py` it needs nothing else of graft: a task's `head.py` builds on it, and both go with a registered model.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

Spec = Mapping[str, Any]
"""What a head must know of the data, in JSON: `labels` of classes, `mean` and `deviation` of numbers."""
Outputs = dict[str, Tensor]
Columns = Mapping[str, Sequence[Any]]
"""For each column a list with one value an example: numbers, or arrays of one dimension."""
Level = Literal["pooled", "tokens"]


class Encoded(NamedTuple):
    """What a backbone makes of a batch, at the level that the head asks for.

    Attributes:
        pooled: One vector an example, float [batch, width].
        tokens: One vector a token, float [batch, tokens, width].
        mask: Which of the tokens are there, bool [batch, tokens].
        segments: Where the head asks for them: of which text each token is, int [batch, tokens]; 1 is the first text, 0
            is none.
        beside: What a branch beside the backbone adds to what the head's linear layer gives, [batch, outputs].
    """

    pooled: Tensor | None = None
    tokens: Tensor | None = None
    mask: Tensor | None = None
    segments: Tensor | None = None
    beside: Tensor | None = None


class Head(nn.Module):
    """What a task's `head.py` must offer, under the name `Head`; it is made of a width, and of what data tell.

    Attributes:
        level: Which part of `Encoded` it takes.
        exclusive: Whether an example has one class of several: then words and logit adjustment make sense.
        blended: The target that a blend of two pictures has a part of each of (mixup): numbers of classes, or floats
            between 0 and 1; "" where that makes no sense.
        windows: Whether a long text is read in pieces, and not cut.
        apart: How many texts of an example are read one by one: rows of features that are learned from together.
        worded: Whether it answers for the tokens that stand for words (`starts`, `ends` of `extras`; its encoder gives
            both as columns): then words and their neighbours can be seen beside the backbone, too.
        segmented: Whether it asks of which of two texts a token is: a column `segments` of the features.
    """

    level: ClassVar[Level] = "pooled"
    exclusive: ClassVar[bool] = False
    blended: ClassVar[str] = ""
    windows: ClassVar[bool] = False
    apart: ClassVar[int] = 1
    worded: ClassVar[bool] = False
    segmented: ClassVar[bool] = False

    def __init__(self, width: int, spec: Spec) -> None:
        """Makes it with new weights, drawn from torch's global generator."""
        super().__init__()

    def forward(self, encoded: Encoded) -> Outputs:
        """Returns what loss and prediction are made of: float [batch, …], at the level of tokens [batch, tokens, …]."""
        raise NotImplementedError

    def targets(self, columns: Columns) -> Outputs:
        """Makes tensors of the target columns of a batch; needs the spec alone."""
        raise NotImplementedError

    def asked(self, targets: Outputs) -> Tensor | None:
        """Tells at the level of tokens which of them the loss has something of, bool [batch, tokens]; None: all."""
        return None

    def loss(self, outputs: Outputs, targets: Outputs, smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
        """Returns the sum of the losses, and how many they are: parts of a batch are weighed by that.

        Args:
            outputs: As `forward` makes them.
            targets: As `targets` makes them.
            smoothing: The part of a class' target that is spread over the others.
        """
        raise NotImplementedError

    def decode(self, outputs: Columns, extras: Columns) -> dict[str, list[Any]]:
        """Returns the columns of the task's prediction.

        Args:
            outputs: As `forward` makes them, an array for each row (for each of its tokens, without padding).
            extras: What the task's encoder made beside the features, and `inputs`: raw ones, a tuple for each example.
        """
        raise NotImplementedError

    def linear(self) -> nn.Linear | None:
        """Returns the layer that a probe may fit as a convex problem; None: it is trained by gradient steps."""
        return None

    def parted(self) -> list["Head"]:
        """Returns a new head for each task that it answers for; their outputs, one after the other, are its own.

        So each can be fitted apart, by what is best for it. [] where it is one task.
        """
        return []

    def adopt(self, weights: Mapping[str, Tensor], spec: Spec) -> bool:
        """Keeps what an older head of the same kind knows; returns whether they fit.

        Args:
            weights: Of the older one, by their names in it.
            spec: That it was made of.
        """
        return False

    @staticmethod
    def shortener(tokenizer: Any) -> Callable[[Sequence[Sequence[Any]]], Sequence[Sequence[Any]]]:
        """Returns what makes rows of texts such that a tokenizer (`tokenizers.Tokenizer`) can cut them: mostly any."""
        return lambda rows: rows

    @staticmethod
    def extras(encodings: Sequence[Sequence[Any]]) -> dict[str, list[Any]]:
        """Returns what `decode` needs beside outputs, of texts as the tokenizer reads them.

        Args:
            encodings: Of each example its pieces (`tokenizers.Encoding`): one, or with `windows` perhaps several.

        Returns:
            One value for each piece, in order.
        """
        return {}

    @property
    def kind(self) -> str:
        """What it is called in `model.json`: the folder of its task."""
        return type(self).__module__.rpartition(".")[0].rpartition(".")[2]


class LinearHead(Head, nn.Linear):
    """One linear layer, whose outputs have names (labels, tags) or none; called `logits`."""

    def __init__(self, width: int, spec: Spec) -> None:
        nn.Linear.__init__(self, width, max(1, len(self.names(spec))))
        self.spec = dict(spec)
        nn.init.normal_(self.weight, std=0.02)
        nn.init.zeros_(self.bias)

    @staticmethod
    def names(spec: Spec) -> list[str]:
        """Returns what the outputs are called; [] of one number."""
        return list(spec.get("labels", ()))

    def forward(self, encoded: Encoded) -> Outputs:  # type: ignore[override]
        """Returns `logits`, float [batch, outputs], at the level of tokens [batch, tokens, outputs]."""
        logits = nn.Linear.forward(self, getattr(encoded, self.level))
        return {"logits": logits if encoded.beside is None else logits + encoded.beside}

    def linear(self) -> nn.Linear:
        """Returns itself."""
        return self

    def shared(self, spec: Spec) -> list[tuple[int, int]]:
        """Returns which rows stand for the same as those of a head of another spec: pairs of numbers, its own first."""
        if not (names := self.names(self.spec)):
            return [(0, 0)]
        rows = {name: number for number, name in enumerate(self.names(spec))}
        return [(number, rows[name]) for number, name in enumerate(names) if name in rows]

    def adopt(self, weights: Mapping[str, Tensor], spec: Spec) -> bool:
        """Keeps the rows of the names that an older head knows, if it is as wide; the others stay as they are."""
        if weights["weight"].shape[1] != self.in_features:
            return False
        with torch.no_grad():
            for number, row in self.shared(spec):
                self.weight[number] = weights["weight"][row]
                self.bias[number] = weights["bias"][row]
        return True


def rows_of(outputs: Sequence[Any]) -> np.ndarray:
    """Returns outputs of one array an example as one array."""
    return np.stack([np.asarray(row) for row in outputs]) if len(outputs) else np.zeros((0, 0), np.float32)
