"""What the page shows of the data's profile, which ingest keeps with the snapshot."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from components.evaluate.sources import Sources
from components.shared.artifacts.snapshot import SPLITS
from components.shared.profile.advice import warnings_of
from components.shared.profile.profile import NOTE
from components.shared.profile.texts import measured

_BARS = 20
_SHOWN_CLASSES = 10


def profile_of(sources: Sources) -> dict[str, Any] | None:
    """Returns the profile with its bars; None for a snapshot that has none (an older one).

    Lengths are those of the features: every example's, in tokens of the backbone.
    """
    if NOTE not in sources.snapshot.files:
        return None
    profile: dict[str, Any] = sources.snapshot.read_json(NOTE)
    if "lengths" in profile:
        limit = sources.features.read_json("tokenizer.json")["truncation"]["max_length"]
        profile["lengths"] = measured(_tokens(sources), limit, profile["lengths"])
        profile["warnings"] = warnings_of(profile)
    classes = [(label, sum(counts.values())) for label, counts in profile["classes"]]
    profile["class_bars"] = _bars(classes[:_BARS])
    rest = sum(count for _, count in classes[_BARS:])
    if rest:
        profile["class_bars"].append((f"{profile['class_count'] - _BARS:,} more", rest, 0.0))
    profile["length_bars"] = _bars(_lengths(profile["lengths"]["bins"])) if "lengths" in profile else []
    pictures = profile.setdefault("pictures", None)
    profile["size_bars"] = _bars(_largest_first(pictures["sizes"])) if pictures else []
    for part, name in ((pictures, "modes"), (pictures, "formats"), (profile, "scripts")):
        if part and name in part:
            part[name] = dict(_largest_first(part[name]))
    shown = [(label, profile["examples"][label]) for label, _ in classes if label in profile["examples"]]
    profile["shown"] = shown[:_SHOWN_CLASSES]
    return profile


def _largest_first(counts: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """A file's keys are sorted by name."""
    return sorted(counts.items(), key=lambda item: -item[1])


def _tokens(sources: Sources) -> np.ndarray:
    """Returns the length of each example, as the features hold it: cut to what the backbone takes."""
    found = []
    for split in SPLITS:
        with pa.memory_map(str(sources.features.file(f"{split}.arrow"))) as file:
            reader = pa.ipc.open_file(file)
            batches = (reader.get_batch(number) for number in range(reader.num_record_batches))
            found += [batch.column("length").to_numpy() for batch in batches]
    return np.concatenate(found)


def _lengths(bins: Sequence[Sequence[int]]) -> list[tuple[str, int]]:
    named, low = [], 0
    for high, count in bins:
        named.append((f"{low + 1}–{high}" if high else f"over {low}", count))
        low = high
    return [(name, count) for name, count in named if count]


def _bars(counts: Sequence[tuple[str, int]]) -> list[tuple[str, int, float]]:
    most = max((count for _, count in counts), default=1)
    return [(name, count, count / most) for name, count in counts]
