import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from components.shared.artifacts.artifact import open_artifact, write_artifact
from components.shared.errors import InputError, ServiceError


def write(path: Path, text: str = "content", note: str = "a note") -> str:
    with write_artifact(path, "snapshot", {"setting": 1}, {"source": "abc"}) as draft:
        (draft.path / "data.txt").write_text(text)
        draft.write_json("notes/note.json", note)
    return open_artifact(path, "snapshot").digest


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write(tmp_path / "a")
    artifact = open_artifact(tmp_path / "a", "snapshot")
    assert artifact.file("data.txt").read_text() == "content"
    assert artifact.settings == {"setting": 1}
    assert artifact.lineage() == {"source": "abc", "snapshot": artifact.digest}


def test_the_digest_tells_the_content_and_not_how_it_came_to_be(tmp_path: Path) -> None:
    assert write(tmp_path / "a") == write(tmp_path / "b", note="another note")
    assert write(tmp_path / "c", text="other content") != write(tmp_path / "d")


@pytest.mark.parametrize("damage", ["content", "notes", "missing"])
def test_a_file_that_is_wrong_is_named(tmp_path: Path, damage: str) -> None:
    write(tmp_path / "a")
    name = "notes/note.json" if damage == "notes" else "data.txt"
    file = tmp_path / "a" / name
    file.unlink() if damage == "missing" else file.write_text("CONTENT")
    with pytest.raises(InputError, match=f"{name} is (missing|not the file that was written)"):
        open_artifact(tmp_path / "a", "snapshot")


def test_another_kind_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a")
    with pytest.raises(InputError, match="holds a snapshot; a model was expected"):
        open_artifact(tmp_path / "a", "model")


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with write_artifact(tmp_path / "a", "snapshot", {}) as draft:
            (draft.path / "data.txt").write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not (tmp_path / "a").exists()


@pytest.mark.case(8)
def test_what_a_killed_step_left_is_recognised_and_cleared(tmp_path: Path) -> None:
    code = (
        "import os, sys, pathlib; from components.shared.artifacts.artifact import write_artifact\n"
        "with write_artifact(pathlib.Path(sys.argv[1]), 'snapshot', {}) as draft:\n"
        "    (draft.path / 'half.txt').write_text('half'); os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")], check=False)
    assert done.returncode == -signal.SIGKILL
    with pytest.raises(InputError, match="was never completed"):
        open_artifact(tmp_path / "a", "snapshot")
    write(tmp_path / "a")
    assert not (tmp_path / "a/half.txt").exists()


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="holds something already"):
        write(tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize(
    "write",
    [
        "(draft.path / 'data').write_bytes(b'x' * 2_000_000)",
        "import pyarrow as pa, pyarrow.parquet as pq, os; "
        "pq.write_table(pa.table({'a': [os.urandom(2_000_000)]}), draft.path / 'data.parquet')",
        "import numpy, safetensors.numpy as st; st.save_file({'a': numpy.zeros(2_000_000)}, draft.path / 'data')",
        "import tokenizers; words = {f'word number {n} of many': n for n in range(100_000)}; "
        "tokenizers.Tokenizer(tokenizers.models.WordLevel(words)).save(str(draft.path / 'tokenizer.json'))",
    ],
    ids=["python", "pyarrow", "safetensors", "tokenizers"],
)
@pytest.mark.case(4)
def test_a_full_disk_leaves_nothing_and_says_so(tmp_path: Path, write: str) -> None:
    """A file-size limit of the process stands for the disk's: the operating system refuses the write."""
    code = (
        "import resource, signal, sys, pathlib\n"
        "from components.shared.artifacts.artifact import write_artifact\n"
        "from components.shared.process.step import run_step\n"
        "def step():\n"
        "    with write_artifact(pathlib.Path(sys.argv[1]), 'snapshot', {}) as draft:\n"
        f"        {write}\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))\n"
        "run_step(step)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "graft: failure: The disk is full: writing the snapshot" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert not (tmp_path / "a").exists()


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a")
    manifest = json.loads((tmp_path / "a/manifest.json").read_text())
    (tmp_path / "a/manifest.json").write_text(json.dumps({**manifest, "schema_version": 99}))
    with pytest.raises(InputError, match="schema version 99; this graft reads 1"):
        open_artifact(tmp_path / "a", "snapshot")


def test_the_commit_comes_from_the_image_where_it_says_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(os.environ, "GRAFT_GIT_COMMIT", "0123abc")
    write(tmp_path / "a")
    assert open_artifact(tmp_path / "a", "snapshot").producer["git_commit"] == "0123abc"


def test_service_errors_and_input_errors_have_their_exit_codes() -> None:
    assert (ServiceError.exit_code, InputError.exit_code) == (1, 2)
