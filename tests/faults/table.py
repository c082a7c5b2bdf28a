"""The faults that Graft is tried with: `make test-faults` runs their tests and ends with this table.

A test belongs to a case by its mark, `@pytest.mark.case(6)`. Quick ones are part of `make test`, too, and stand where
what they try is tested; those that take longer are marked `faults` as well, and stand in this folder:

| case | where its tests are |
| --- | --- |
| 1, 2, 3, 15 | `test_checkpoints.py` here: training that is killed, told to stop, or out of memory |
| 4 | `test_checkpoints.py`, `test_embedded.py` in `tests/components/shared/registry`: a small disk, full or read-only;
      `tests/components/shared/artifacts/test_artifact.py`: a limit of the process stands for one |
| 5, 6, 7, 9 | `test_storage.py` here: a store that is busy, breaks off, lies or refuses; `test_checkpoints.py` |
| 8, 20 | `test_mlflow.py` here and `tests/components/register`: a registry that is away; a step that is done twice |
| 10 to 13, 16, 17, 19 | with the readers of data: `tests/components/ingest`, `tests/components/shared/sources` |
| 14 | `tests/components/finetune`, `tests/components/shared/test_gate.py` |
| 18 | `test_strangers.py` and `test_registry.py` in `tests/components/shared`: models by strangers |

Faults come out of `proxy.py`, which stands between a client and a real server, and from the operating system.
"""

import collections
from typing import Any

import pytest

CASES = {
    1: ("SIGKILL in training, at ten random points", "resumes; same final weights as an unbroken CPU run"),
    2: ("SIGKILL while a checkpoint is written", "the previous one is used"),
    3: ("SIGTERM in training, evaluation, warm-up", "a checkpoint within seconds, exit code for 'retry me'"),
    4: ("disk full at checkpoint, artifact, MLflow", "exit 1, last good intact"),
    5: ("S3 503/SlowDown/time-out/reset on 0-90 % of calls", "finishes, or a clear failure within a bound"),
    6: ("upload or download truncated, bit flipped", "noticed, retried, never committed"),
    7: ("403 or expired credentials on resume", "fails; never starts again from step 0"),
    8: ("a whole step repeated after success", "one version, same digests"),
    9: ("shard corrupted between steps", "names the shard, trains nothing"),
    10: ("duplicate ids, same or conflicting labels", "counted / refused"),
    11: ("same or near-same example across splits", "refused above the threshold"),
    12: ("unknown label, label order changed", "refused, both lists shown"),
    13: ("empty class, one class, empty set", "refused before a GPU is used"),
    14: ("NaN or infinite loss or metric", "stops, not registered, never better"),
    15: ("out of memory", "smaller micro-batch, or its own exit code"),
    16: ("invalid UTF-8, NUL, one huge row", "quarantined, threshold enforced"),
    17: ("image bomb, truncated JPEG, wrong extension", "rejected within a memory cap"),
    18: ("pickle in a model, remote code, bad safetensors", "refused, canary untouched"),
    19: ("archive with '../', absolute path, symlink, zip bomb", "nothing outside the target"),
    20: ("MLflow down for a minute, then for good", "waits, then fails; a re-run finishes"),
}
"""What is broken on purpose, and what must happen."""


class Table:
    """Counts what became of the tests of each case, and prints it at the end."""

    def __init__(self) -> None:
        self.cases: dict[str, list[int]] = {}
        self.counts: dict[int, collections.Counter[str]] = collections.defaultdict(collections.Counter)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            numbers = [number for mark in item.iter_markers("case") for number in mark.args]
            assert set(numbers) <= CASES.keys(), f"{item.nodeid}: there is no case {numbers}"
            self.cases[item.nodeid] = numbers

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when == "call" or report.outcome != "passed":
            for number in self.cases.get(report.nodeid, []):
                self.counts[number][report.outcome] += 1

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        terminalreporter.section("what was broken on purpose")
        for number, (broken, expected) in CASES.items():
            told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(self.counts[number].items()))
            terminalreporter.write_line(f"{number:>2}  {told or 'no test':<22}  {broken}: {expected}")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Table())
