from collections.abc import Iterator

import pytest

from tests.components.shared.promoters import Starter, starter


@pytest.fixture(scope="package")
def fork() -> Iterator[Starter]:
    """Starts processes quickly."""
    with starter() as started:
        yield started
