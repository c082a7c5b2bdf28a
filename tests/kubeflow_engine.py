"""What runs behind Kubeflow's API, for tests: the tasks of a submitted run, by the rules that a real cluster showed.

Each step runs its own code, as the package holds it, in this process, with a disk of its own: what comes in is brought
there from the bucket before, what it made is brought to the bucket afterwards, as the launcher does. An artifact gets a
new number each time that it is made. The key of Kubeflow's cache holds those numbers, the parameters and the image. An
importer with `reimport=False` finds the artifact of an address and so its number; it takes no output of a task.
"""

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from kfp import dsl
from kfp.dsl.types import artifact_types

from components.shared.storage import storage
from tests.kubeflow_state import Kubeflow

_TRUE = re.compile(r"inputs\.parameter_values\['([\w-]+)'\] == true")


class TaskFailure(Exception):  # noqa: N818
    """A task did not succeed."""


@dataclass(frozen=True)
class Made:
    """An artifact, as ML Metadata knows it."""

    number: int
    uri: str
    metadata: dict[str, Any]


Values = dict[str, Any]
"""Parameters and artifacts (`Made`) by name."""


@dataclass
class Engine:
    """Runs what was submitted.

    Attributes:
        kubeflow: Where it was.
        folder: For the disks of the pods.
        environment: Of every pod, after its own: where this machine has what the cluster's names lead to.
        pods: Run and step of each pod that ran a step's code.
        artifacts: All that were made, by number.
    """

    kubeflow: Kubeflow
    folder: Path
    environment: Mapping[str, str]
    pods: list[tuple[str, str]] = field(default_factory=list)
    artifacts: list[Made] = field(default_factory=list)
    _cached: dict[str, Values] = field(default_factory=dict)

    def run(self, run_id: str, last: str = "") -> dict[str, str]:
        """Runs a run to its end, and sets what the API tells of it.

        Args:
            run_id: The run.
            last: A step after which nothing is of interest any more.

        Returns:
            The state of each step; "SKIPPED": its pod was not needed.
        """
        run = self.kubeflow.runs[run_id]
        version = self.kubeflow.versions[run["pipeline_version_reference"]["pipeline_version_id"]]
        execution = _Execution(self, run_id, version["pipeline_spec"], run["runtime_config"]["pipeline_root"], last)
        defined = execution.spec["root"].get("inputDefinitions", {}).get("parameters", {})
        defaults = {name: told.get("defaultValue") for name, told in defined.items()}
        try:
            execution.dag(execution.spec["root"], {**defaults, **run["runtime_config"].get("parameters", {})})
            state = "SUCCEEDED"
        except TaskFailure:
            state = "FAILED"
        self.kubeflow.progress(run_id, state, **execution.states)
        return execution.states

    def number(self, uri: str, metadata: Mapping[str, Any]) -> Made:
        """Takes down an artifact that was made."""
        made = Made(len(self.artifacts) + 1, uri, dict(metadata))
        self.artifacts.append(made)
        return made

    def imported(self, uri: str, reimport: bool) -> Made:
        """Returns the artifact of an address; a new one where there is none, or a new one is asked for."""
        known = [] if reimport else [made for made in self.artifacts if made.uri == uri]
        return known[-1] if known else self.number(uri, {})


@dataclass
class _Execution:
    """One run of a package."""

    engine: Engine
    run_id: str
    spec: dict[str, Any]
    root: str
    last: str
    states: dict[str, str] = field(default_factory=dict)
    ended: bool = False

    def dag(self, component: Mapping[str, Any], given: Values) -> None:
        """Runs the tasks of a graph, each after those that it waits for."""
        outputs: dict[str, Values] = {}
        waiting = dict(component["dag"]["tasks"])
        while waiting and not self.ended:
            name = next(name for name in waiting if outputs.keys() >= set(waiting[name].get("dependentTasks", ())))
            task = waiting.pop(name)
            taken = self._inputs(task, given, outputs)
            outputs[name] = self._task(name, task, taken) if _holds(task, taken) else {}

    def _inputs(self, task: Mapping[str, Any], given: Values, outputs: Mapping[str, Values]) -> Values:
        taken: Values = {}
        for name, told in (task.get("inputs") or {}).get("parameters", {}).items():
            if "taskOutputParameter" in told:
                source = told["taskOutputParameter"]
                taken[name] = outputs[source["producerTask"]][source["outputParameterKey"]]
            elif "componentInputParameter" in told:
                taken[name] = given[told["componentInputParameter"]]
            else:
                constant = told["runtimeValue"]["constant"]
                taken[name] = self.run_id if constant == dsl.PIPELINE_JOB_ID_PLACEHOLDER else constant
        for name, told in (task.get("inputs") or {}).get("artifacts", {}).items():
            if "taskOutputArtifact" in told:
                source = told["taskOutputArtifact"]
                taken[name] = outputs[source["producerTask"]][source["outputArtifactKey"]]
            else:
                taken[name] = given[told["componentInputArtifact"]]
        return taken

    def _task(self, name: str, task: Mapping[str, Any], taken: Values) -> Values:
        component = self.spec["components"][task["componentRef"]["name"]]
        if "dag" in component:
            self.dag(component, taken)
            return {}
        executor = self.spec["deploymentSpec"]["executors"][component["executorLabel"]]
        if "importer" in executor:
            return {"artifact": self._import(executor["importer"], task, taken)}
        key = _key(executor["container"], component, taken)
        outputs = self.engine._cached.get(key) if task["cachingOptions"].get("enableCache") else None
        self.states[name] = "SKIPPED" if outputs else "RUNNING"
        if outputs is None:
            outputs = self.engine._cached[key] = self._pod(name, component, executor["container"], taken)
            self.states[name] = "SUCCEEDED"
        self.ended = name == self.last
        return outputs

    def _import(self, importer: Mapping[str, Any], task: Mapping[str, Any], taken: Values) -> Made:
        if any("taskOutputParameter" in told for told in task["inputs"]["parameters"].values()):
            raise TaskFailure("an importer takes a pipeline's input, not a task's output")
        told = importer["artifactUri"]
        uri = taken[told["runtimeParameter"]] if "runtimeParameter" in told else told["constant"]
        return self.engine.imported(uri, importer.get("reimport", False))

    def _pod(self, name: str, component: Mapping[str, Any], container: Mapping[str, Any], taken: Values) -> Values:
        number = len(self.engine.pods)
        self.engine.pods.append((self.run_id, name))
        disk = self.engine.folder / f"pod-{number}"
        defined = component.get("outputDefinitions", {})
        pipeline = self.spec["pipelineInfo"]["name"]
        address = f"{self.root}/{pipeline}/{self.run_id}/{name}/{number}"
        targets = {key: _class(told)(key, f"{address}/{key}") for key, told in defined.get("artifacts", {}).items()}
        taking = component.get("inputDefinitions", {}).get("parameters", {})
        types = {key: told["parameterType"] for key, told in taking.items()}
        with mock.patch.object(artifact_types, "_S3_LOCAL_MOUNT_PREFIX", f"{disk}/"), self._environment(container):
            sources = {key: dsl.Artifact(key, made.uri, made.metadata) for key, made in taken.items() if _is_made(made)}
            for artifact in sources.values():
                storage.download_folder(artifact.uri, Path(artifact.path), ["*"])
            given = {key: _typed(types[key], value) for key, value in taken.items() if key in types}
            returned = self._call(name, container, {**given, **sources, **targets})
            for artifact in targets.values():
                _upload(Path(artifact.path), artifact.uri)
        made = {key: self.engine.number(artifact.uri, artifact.metadata) for key, artifact in targets.items()}
        return {**made, **returned}

    def _call(self, name: str, container: Mapping[str, Any], given: Values) -> Values:
        """Runs the code that the package holds; returns what it returns, by name."""
        namespace: dict[str, Any] = {}
        exec(container["command"][-1], namespace)
        function = namespace[container["args"][container["args"].index("--function_to_execute") + 1]]
        try:
            returned = function(**given)
        except SystemExit as stop:
            self.states[name] = "FAILED"
            raise TaskFailure(f"{name} ended with exit code {stop.code}") from stop
        if returned is None:
            return {}
        names = getattr(function.__annotations__["return"], "_fields", ("Output",))
        return dict(zip(names, returned if isinstance(returned, tuple) else (returned,), strict=True))

    @contextlib.contextmanager
    def _environment(self, container: Mapping[str, Any]) -> Iterator[None]:
        own = {told["name"]: told["value"] for told in container.get("env", ())}
        with mock.patch.dict(os.environ, {**own, **self.engine.environment}):
            yield


def _class(told: Mapping[str, Any]) -> type[dsl.Artifact]:
    kinds = (dsl.Dataset, dsl.Model, dsl.Metrics, dsl.ClassificationMetrics, dsl.HTML, dsl.Artifact)
    return next(kind for kind in kinds if kind.schema_title == told["artifactType"]["schemaTitle"])


def _holds(task: Mapping[str, Any], taken: Values) -> bool:
    condition = task.get("triggerPolicy", {}).get("condition")
    found = _TRUE.fullmatch(condition) if condition else None
    assert found or not condition, f"a condition that this engine does not know: {condition}"
    return not found or taken[found[1]] is True


def _key(container: Mapping[str, Any], component: Mapping[str, Any], taken: Values) -> str:
    """Returns the key of Kubeflow's cache."""
    inputs = {name: f"artifact {value.number}" if _is_made(value) else value for name, value in taken.items()}
    outputs = component.get("outputDefinitions", {})
    return json.dumps([container["image"], container["command"], container["args"], inputs, outputs], sort_keys=True)


def _is_made(value: Any) -> bool:
    return isinstance(value, Made)


def _typed(kind: str, value: Any) -> Any:
    """Returns a parameter as it arrives: numbers within lists and mappings are all doubles."""
    if kind == "NUMBER_INTEGER":
        return int(value)
    return json.loads(json.dumps(value), parse_int=float) if kind in ("STRUCT", "LIST") else value


def _upload(path: Path, uri: str) -> None:
    for file in sorted(file for file in path.rglob("*") if file.is_file()):
        storage.write_whole(f"{uri}/{file.relative_to(path).as_posix()}", file.read_bytes())
    if path.is_file():
        storage.write_whole(uri, path.read_bytes())
