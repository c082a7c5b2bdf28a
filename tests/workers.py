"""Which tests run side by side in `make test`, and in what order.

Files are what is dealt to the workers. Those that take longest go first, so that no worker is alone with one at the
end; files that share what takes long to make go to one worker. There is one worker more than cores: many tests wait,
for a process of their own or for a server.
"""

import os
from collections.abc import Sequence
from typing import Any

import pytest

TOGETHER = ("tests/components/evaluate/",)
FIRST = (
    "tests/components/finetune/learning/test_strategies.py",
    *TOGETHER,
    "tests/pipelines/test_run.py",
    "tests/components/shared/test_tasks.py",
    "tests/components/shared/test_promoters.py",
    "tests/pipelines/test_cache.py",
    "tests/pipelines/test_retrain.py",
    "tests/test_readme.py",
    "tests/pipelines/test_resume.py",
    "tests/pipelines/test_multi_task.py",
    "tests/components/finetune/linear/test_heads.py",
    "tests/components/finetune/learning/test_parallel.py",
    "tests/pipelines/test_doctor.py",
    "tests/components/register/test_register.py",
    "tests/components/finetune/",
    "tests/pipelines/test_new_tasks.py",
    "tests/faults/test_storage.py",
    "tests/components/register/",
    "tests/components/shared/test_promotion_servers.py",
    "tests/components/shared/registry/",
    "tests/components/ingest/test_images.py",
    "tests/pipelines/test_question_answering.py",
    "tests/pipelines/test_retrieval.py",
    "tests/pipelines/",
    "tests/components/notify/",
    "tests/components/promote/",
    "tests/components/detect/",
    "tests/components/shared/tasks/",
    "tests/components/shared/test_strangers.py",
    "tests/components/ingest/",
)
"""Beginnings of paths, by the seconds that they take: from a hundred to ten, and those of a file or two each below."""


def longest_first(items: list[pytest.Item]) -> None:
    """Sorts tests, those of a file as they stand in it."""
    items.sort(key=lambda item: _first(item.nodeid, FIRST, len(FIRST)))


def _first(nodeid: str, beginnings: Sequence[str], otherwise: int) -> int:
    return next((n for n, beginning in enumerate(beginnings) if nodeid.startswith(beginning)), otherwise)


def how_many() -> int:
    """Returns the number of workers."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores + 1


def by_file(config: pytest.Config, log: Any) -> Any:
    """Returns what deals files to workers as they come."""
    from xdist.scheduler import LoadFileScheduling

    class ByFile(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return next((folder for folder in TOGETHER if nodeid.startswith(folder)), super()._split_scope(nodeid))

    config.option.loadscopereorder = False  # not by their numbers of tests
    return ByFile(config, log)
