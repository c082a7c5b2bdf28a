"""The images themselves: who runs in them, what they hold and what they leave out."""

import re
from collections.abc import Iterator
from typing import Any

import docker
import pytest

from components.shared.images import LIGHT, TRAINER
from images import build

pytestmark = pytest.mark.containers

AS_ON_A_CLUSTER: dict[str, Any] = {
    "read_only": True, "cap_drop": ["ALL"], "network_mode": "none", "tmpfs": {"/tmp": ""}, "remove": True,
}  # fmt: skip


@pytest.fixture(scope="module")
def engine() -> Iterator[Any]:
    client = docker.from_env()
    yield client
    client.close()


def shell(engine: Any, image: str, script: str, **options: Any) -> str:
    """Returns what a shell in a container prints; the container is as locked up as a pod can be."""
    done = engine.containers.run(image, ["sh", "-ec", script], **{**AS_ON_A_CLUSTER, **options})
    return str(done.decode()).strip()


def python(engine: Any, image: str, script: str, **options: Any) -> str:
    done = engine.containers.run(image, ["python3", "-c", script], **{**AS_ON_A_CLUSTER, **options})
    return str(done.decode()).strip()


@pytest.mark.parametrize("image", [LIGHT, TRAINER])
class TestBothImages:
    def test_version_and_commit_are_labels(self, engine: Any, image: str) -> None:
        labels = engine.images.get(image).labels
        assert labels["org.opencontainers.image.version"] == build.version()
        assert re.fullmatch("[0-9a-f]{40}(-dirty)?", labels["org.opencontainers.image.revision"])
        assert shell(engine, image, "echo $GRAFT_GIT_COMMIT") == labels["org.opencontainers.image.revision"]

    def test_the_user_is_a_number_and_not_root(self, engine: Any, image: str) -> None:
        assert engine.images.get(image).attrs["Config"]["User"] == "1000:1000"
        assert shell(engine, image, "id -u") == "1000"

    @pytest.mark.parametrize("user", ["1000:1000", "123456:0"])
    def test_a_locked_up_container_of_any_user_can_work(self, engine: Any, image: str, user: str) -> None:
        """Caches and temporary files of what the steps import go where they may be written."""
        script = "import mlflow.pyfunc, datasets, transformers, kfp, getpass, tempfile; print(tempfile.gettempdir())"
        script += "\nprint(getpass.getuser()); open('here', 'w').close()"
        assert python(engine, image, script, user=user).splitlines()[-2:] == ["/tmp", "graft"]

    def test_each_packages_version_is_the_locks(self, engine: Any, image: str) -> None:
        script = "import importlib.metadata as m\nfor d in m.distributions(): print(d.name, d.version)"
        lines = (build.ROOT / "requirements.lock").read_text().splitlines()
        locked = {tuple(line.split()[0].split("==")) for line in lines if line[:1].isalnum()}  # numpy is there twice
        told = [line.split() for line in python(engine, image, script).splitlines()]
        found = {(name.lower().replace("_", "-").replace(".", "-"), version) for name, version in told}
        assert len(found) > 80
        assert {name for name, _ in found - locked} == {"graft", "pip"}  # pip is the base's

    def test_no_compiler_no_cache_no_sources_are_left(self, engine: Any, image: str) -> None:
        script = "for name in gcc cc g++ make; do command -v $name || true; done; ls /tmp; test ! -e /build"
        assert shell(engine, image, script) == ""
        found = shell(engine, image, "find / -xdev -name pip -path '*cache*' 2>/dev/null || true")
        assert found == ""

    def test_the_history_tells_nothing_of_where_packages_came_from(self, engine: Any, image: str) -> None:
        history = " ".join(layer["CreatedBy"] for layer in engine.images.get(image).history())
        assert "PIP_" not in history
        assert not [text for text in engine.images.get(image).attrs["Config"]["Env"] if text.startswith("PIP_INDEX")]


def test_light_is_light(engine: Any) -> None:
    assert engine.images.get(LIGHT).attrs["Size"] < 1e9
    script = "import importlib.util\nfor name in {!r}: print(importlib.util.find_spec(name))"
    absent = ["torch", "torchvision", "timm", "sklearn", "skimage", "scipy", "nvidia", "triton"]
    assert set(python(engine, LIGHT, script.format(absent)).splitlines()) == {"None"}


def test_the_trainer_trains_on_gpus(engine: Any) -> None:
    script = "import torch, timm, peft, sklearn, skimage; print(torch.version.cuda)"
    assert python(engine, TRAINER, script).splitlines()[-1][0].isdigit()
