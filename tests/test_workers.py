from pathlib import Path

import pytest

from tests import workers

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("path", workers.FIRST)
def test_what_goes_first_is_there(path: str) -> None:
    assert (ROOT / path).exists()
