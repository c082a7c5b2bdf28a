"""What the docker runner gives to a step. That steps run so is tested in tests/containers, where there is an engine."""

from pathlib import Path
from typing import Any

import pytest

from components.shared.artifacts.cache import CACHE
from components.shared.errors import ServiceError
from pipelines.local import containers


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HF_HOME", "XDG_CACHE_HOME", "MLFLOW_TRACKING_URI", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "TMPDIR"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "home"


def arguments(source: str, backbone: str) -> dict[str, Any]:
    return {"source": source, "backbone": backbone, "label": "~"}


def test_credentials_and_endpoints_reach_a_step_and_the_rest_does_not(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = {"AWS_SECRET_ACCESS_KEY": "s", "MLFLOW_TRACKING_TOKEN": "t", "HF_TOKEN": "h", "HTTPS_PROXY": "http://p"}
    for name, value in {**passed, "GRAFT_KFP_TOKEN": "k", "PYTHONPATH": "/x", "LD_PRELOAD": ""}.items():
        monkeypatch.setenv(name, value)
    given = containers.environment()
    assert passed.items() <= given.items()
    assert not {"GRAFT_KFP_TOKEN", "PYTHONPATH", "LD_PRELOAD", "HOME", "PATH"} & given.keys()


def test_a_file_of_credentials_is_mounted_for_reading(home: Path) -> None:
    credentials = home / ".aws/credentials"
    credentials.parent.mkdir(parents=True)
    credentials.write_text("[default]\n")
    given = containers.environment()
    assert given["AWS_SHARED_CREDENTIALS_FILE"] == str(credentials)
    assert containers.mounts(arguments("s3://b/p", "timm/vit"), given)[credentials] is False


def test_data_and_backbone_are_mounted_where_they_are_for_reading(home: Path) -> None:
    work = Path.cwd()
    (work / "data").mkdir()
    (work / "bert").mkdir()
    given = {"HF_HOME": str(home / "hub"), "MLFLOW_TRACKING_URI": f"sqlite:///{work}/.graft/mlflow.db"}
    expected = {work / "data": False, work / "bert": False, home / "hub": True, work / ".graft": True}
    assert containers.mounts(arguments("data", "random:bert"), given) == expected


def test_what_earlier_runs_left_is_mounted_for_reading_and_what_tells_of_it_for_writing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE, str(Path.cwd() / ".graft/cache"))
    found = containers.mounts(arguments("s3://b/p", "timm/vit"), {CACHE: containers.environment()[CACHE]})
    assert found == {Path.cwd() / ".graft/runs": False, Path.cwd() / ".graft/cache": True}


@pytest.mark.parametrize("source", ["s3://bucket/raw", "hf://owner/name"])
@pytest.mark.parametrize("backbone", ["google-bert/bert-base-uncased", "models:/x/3", "random:timm/vit"])
def test_what_is_no_path_is_not_mounted(home: Path, source: str, backbone: str) -> None:
    assert containers.mounts(arguments(source, backbone), {}) == {}


def test_a_tilde_is_this_users_home(home: Path) -> None:
    expanded = containers.expand(arguments("~/data", "random:~/bert"))
    assert expanded == {"source": f"{home}/data", "backbone": f"random:{home}/bert", "label": "~"}


@pytest.mark.parametrize(
    ("engine", "expected"),
    [
        ({}, {"user": "1234:99", "group_add": [99, 7]}),
        ({"SecurityOptions": ["name=seccomp", "name=rootless"]}, {"user": "0:0"}),
    ],
)
def test_a_step_is_the_user(monkeypatch: pytest.MonkeyPatch, engine: dict[str, Any], expected: dict[str, Any]) -> None:
    monkeypatch.setattr("os.getuid", lambda: 1234)
    monkeypatch.setattr("os.getgid", lambda: 99)
    monkeypatch.setattr("os.getgroups", lambda: [99, 7])
    assert containers.identity(engine) == expected


def test_gpus_reach_a_step_where_the_engine_can_give_them() -> None:
    (request,) = containers.identity({"Runtimes": {"runc": {}, "nvidia": {}}})["device_requests"]
    assert request["Capabilities"] == [["gpu"]]


def test_without_an_engine_the_mend_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    with pytest.raises(ServiceError, match="No container engine answers at unix:///nowhere.* set DOCKER_HOST"):
        containers.check()
