"""What is added to the logits in training where classes are uneven."""

import numpy as np
import torch
from torch import Tensor

from components.finetune.learning.examples import Examples
from components.finetune.settings import FinetuneSettings
from components.shared.backbones.network import Network


def adjustment(examples: Examples, settings: FinetuneSettings, network: Network) -> Tensor:
    """Returns what is added to the logits in training: for uneven classes the logarithm of their shares.

    So the network need not learn which classes are frequent, and without it all weigh the same (logit adjustment, Menon
    et al. 2021, 2007.07314).
    """
    counts = np.bincount(examples.labels, minlength=network.head.out_features)
    shares = np.maximum(counts, 0.5) / max(1, counts.sum())
    return torch.from_numpy((settings.logit_adjustment * np.log(shares)).astype(np.float32)).to(examples.device)
