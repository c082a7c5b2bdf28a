from collections.abc import Mapping

import pytest
import requests

from components.shared.errors import ServiceError
from components.shared.registry import tracking
from components.shared.storage import network
from tests.servers import file_server, free_port


def failure(address: str) -> BaseException:
    with pytest.raises(Exception) as caught:  # noqa: PT011  (whatever the library raises)
        requests.get(address, timeout=2).raise_for_status()
    return caught.value


def test_why_a_server_was_not_reached() -> None:
    refused = failure(f"http://127.0.0.1:{free_port()}/a?secret=1")
    assert network.reason(refused) == "connection refused"
    assert network.passes(refused)
    assert network.reason(failure("http://nowhere.invalid")) == "its name is not known"
    assert network.reason(ValueError("a column is missing")) == ""
    assert not network.passes(ValueError("a column is missing"))


@pytest.mark.parametrize(("status", "told"), [(0, "connection refused"), (503, "it answered 503"), (500, "500")])
def test_mlflow_is_told_without_its_librarys_words(status: int, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    answers: Mapping[str, tuple[int, dict[str, str], bytes]] = {
        "/api/2.0/mlflow/registered-models/get": (status, {}, b"no")
    }
    with file_server(answers) as address:
        uri = address if status else f"http://127.0.0.1:{free_port()}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        with pytest.raises(ServiceError, match=told) as caught, tracking.explained("looking"):
            tracking.client().get_registered_model("topics")
    assert "Max retries" not in str(caught.value)
    assert "HTTPConnectionPool" not in str(caught.value)
