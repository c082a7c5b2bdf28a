from collections.abc import Iterator
from typing import Any

import pytest

from tests.faults.proxy import Faults, proxy


@pytest.fixture
def faults() -> Faults:
    """What the proxy before the store does: nothing, until a test says so."""
    return Faults()


@pytest.fixture
def flaky(s3: Any, faults: Faults, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of the store itself; the environment leads to the proxy before it."""
    with proxy(str(s3.meta.endpoint_url), faults) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", address)
        yield s3
