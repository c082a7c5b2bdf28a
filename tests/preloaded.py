"""A Python that has imported what takes seconds, and forks: `python -m tests.preloaded SOCKET STORE PARENT`.

Over the socket it is told what a Python would be told by its command line (`-m module …`, `-c code …`), its environment
and its folder, as one line of JSON with the three standard streams beside it. It forks a process that does so, and
sends back the exit code. Where the one that asked dies, what was forked for it is killed. It ends with the process
PARENT, or with its socket's file. STORE is an empty store of MLflow's.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import random
import runpy
import selectors
import shutil
import signal
import socket
import sys
import tempfile
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from tests import disks

ITSELF = "GRAFT_TESTS_PYTHON"
"""Variable: what to run as a Python (`sys.executable`) in what is forked."""
LATE = (  # what steps import on their way
    "boto3", "kfp.local.subprocess_task_handler", "mlflow.pyfunc", "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.store.tracking.sqlalchemy_store", "numpy", "pandas", "pyarrow.dataset", "scipy.optimize", "scipy.stats",
    "sklearn.feature_extraction.text", "sklearn.linear_model", "sklearn.svm", "timm", "torchvision",
    "torch.distributed.elastic", "transformers.models.auto", "transformers.models.bert.modeling_bert",
)  # fmt: skip


def load() -> None:
    """Imports everything, and leaves no thread behind."""
    import components
    import pipelines

    for package in (components, pipelines):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.endswith("__main__"):
                importlib.import_module(found.name)
    for name in LATE:
        importlib.import_module(name)
    _warm()
    assert threading.active_count() == 1, threading.enumerate()  # a fork has one, too
    gc.collect()
    gc.freeze()


def _warm() -> None:
    """Does what each process would do once: templates, patterns and tables are compiled, packages looked through."""
    import sqlalchemy.orm
    from mlflow.utils import requirements_utils
    from transformers import conversion_mapping

    from components.evaluate.page import report
    from components.shared import tasks

    for name in tasks.names():
        environment = report._environment(tasks.get(name))
        for template in environment.list_templates(["j2"]):
            environment.get_template(template)
    sqlalchemy.orm.configure_mappers()
    requirements_utils._init_packages_to_modules_map()
    conversion_mapping.get_checkpoint_conversion_mapping("bert")


def take_stores_from(store: Path) -> None:
    """Lets MLflow's empty store be copied: its migrations take a second each time."""
    from components.shared.artifacts import durable
    from components.shared.registry import embedded

    embedded._make(store)

    def copy(path: Path) -> None:
        new = path.with_name(f"{path.name}.new-{os.getpid()}")
        shutil.copyfile(store, new)
        durable.publish(new, path)

    embedded._make = copy


def serve(path: str, parent: int) -> None:
    """Forks for whoever asks."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{path}.new")
    listener.listen(64)
    Path(f"{path}.new").rename(path)
    asked: dict[int, socket.socket] = {}
    woken, wake = socket.socketpair()
    wake.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake.fileno())
    with selectors.DefaultSelector() as waiting:
        waiting.register(listener, selectors.EVENT_READ)
        waiting.register(woken, selectors.EVENT_READ)
        while Path(path).exists() and _lives(parent):
            for key, _ in waiting.select(timeout=1):
                if key.fileobj is listener:
                    connection = listener.accept()[0]
                    pid = _fork(connection, [listener, woken, wake, *asked.values()])
                    asked[pid] = connection
                    waiting.register(connection, selectors.EVENT_READ, pid)
                elif key.fileobj is woken:
                    woken.recv(4096)
                else:  # a signal for what was forked, or its end
                    told = key.fileobj.recv(1)  # type: ignore[union-attr]
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(key.data, told[0] if told else signal.SIGKILL)
                    if not told:
                        waiting.unregister(key.fileobj)
                        with contextlib.suppress(ProcessLookupError):
                            os.killpg(key.data, signal.SIGKILL)
            _reap(asked, waiting)


def _lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def _reap(asked: dict[int, socket.socket], waiting: selectors.BaseSelector) -> None:
    """Tells of those that have ended."""
    for pid in list(asked):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            connection = asked.pop(pid)
            with contextlib.suppress(KeyError, ValueError):
                waiting.unregister(connection)
            with contextlib.suppress(OSError):
                connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
            connection.close()


def _fork(connection: socket.socket, ours: Sequence[socket.socket]) -> int:
    message, streams, *_ = socket.recv_fds(connection, 1 << 20, 3)
    while not message.endswith(b"\n"):
        message += connection.recv(1 << 20)
    told = json.loads(message)
    if pid := os.fork():
        for stream in streams:
            os.close(stream)
        return pid
    code = 1
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        for held in (connection, *ours):
            held.close()
        code = _run(**told)
    finally:
        os._exit(code)


def _run(arguments: list[str], environment: dict[str, str], folder: str, interrupt: bool) -> int:
    """Does what a Python would with such a command line; returns its exit code."""
    signal.signal(signal.SIGINT, signal.default_int_handler if interrupt else signal.SIG_IGN)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None  # it goes by the environment
    os.chdir(folder)
    sys.executable = environment.get(ITSELF, sys.executable)
    random.seed()
    sys.modules["numpy"].random.seed()
    code = 0
    try:
        _execute(arguments)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        if error.code is not None and not isinstance(error.code, int):
            print(error.code, file=sys.stderr)
    except KeyboardInterrupt:
        traceback.print_exc()
        code = 130
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    return code


def _execute(arguments: list[str]) -> None:
    how, what, *rest = arguments
    main = ModuleType("__main__")
    sys.modules["__main__"] = main
    if how == "-m":
        sys.argv, sys.path[0] = [what, *rest], str(Path.cwd())
        if not hasattr(sys.modules.get(what), "__path__"):
            sys.modules.pop(what, None)  # it is run anew
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        assert how == "-c", arguments
        sys.argv, sys.path[0] = ["-c", *rest], ""
        exec(compile(what, "<string>", "exec"), main.__dict__)


if __name__ == "__main__":
    _path, _store, _parent = sys.argv[1:]
    load()
    disks.wait_for_none()
    take_stores_from(Path(_store))
    serve(_path, int(_parent))
