"""What `make images` does around the engine's own work."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from components.shared.images import LIGHT, TRAINER
from images import build
from pipelines.cluster.deployment import load_deployment

DIGEST = "registry.example.com/team/light-python@sha256:" + "a" * 64


def test_the_images_are_tagged_as_the_components_name_them() -> None:
    assert [build.tag(name) for name in build.IMAGES] == [LIGHT, TRAINER]


@pytest.mark.parametrize(
    "text",
    [
        "images: {light: a/b:1, trainer: c}  # ours",
        "images:\n  # pinned\n  light: a/b:1  # old\n  trainer: c\n",
        "x: {light: a/b:1}\nimages: {trainer: c, light: a/b:1}\ny:\n  light: a/b:1\n",
    ],
)
def test_a_digest_goes_into_the_deployment_file_and_nothing_else_changes(text: str) -> None:
    before, section, after = text.partition("images:")
    expected = before + section + after.replace("a/b:1", DIGEST, 1)
    assert build.with_image(text, "light", DIGEST) == expected


@pytest.mark.parametrize("example", ["deployment.yaml", "deployment-on-premise.yaml"])
def test_the_examples_take_digests(tmp_path: Path, example: str) -> None:
    file = tmp_path / "deployment.yaml"
    file.write_text((build.ROOT / "examples" / example).read_text())
    build.write_digests({"light": DIGEST, "trainer": DIGEST.replace("light", "trainer")}, file)
    images = load_deployment(file).images
    assert (images.light, images.trainer) == (DIGEST, DIGEST.replace("light", "trainer"))


def test_a_deployment_file_without_images_is_told() -> None:
    with pytest.raises(SystemExit, match="has no section 'images:'"):
        build.with_image("mlflow: x\n", "light", DIGEST)
    with pytest.raises(SystemExit, match="has no 'light'"):
        build.with_image("images: {trainer: x}\n", "light", DIGEST)


def test_without_an_engine_the_mend_is_told(tmp_path: Path) -> None:
    command = [sys.executable, str(build.ROOT / "images/build.py")]
    done = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True)
    assert done.returncode == 1
    assert "docker or podman was expected on the PATH" in done.stderr


def test_the_lock_is_read_with_every_entry_of_a_package() -> None:
    pytest.importorskip("pip")
    from images import install

    lock = textwrap.dedent(
        """\
        numpy==2.2.0 ; python_full_version < '3.12' \\
            --hash=sha256:11
        numpy==2.4.0 ; python_full_version >= '3.12' \\
            --hash=sha256:22
        ruamel-yaml==1.0 \\
            --hash=sha256:33
        """
    )
    entries = install.read_lock(lock)
    assert list(entries) == ["numpy", "ruamel-yaml"]
    assert entries["numpy"].count("--hash") == 2
    assert "".join(entries.values()) == lock
