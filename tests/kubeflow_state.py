"""What a Kubeflow Pipelines server knows and the rules it keeps, in memory: the v2beta1 calls that graft uses.

Read off backend/src/apiserver of kubeflow/pipelines: names of experiments, pipelines and versions are unique (409),
those of runs and recurring runs are not; lists come in pages; a filter takes certain keys; a recurring run cannot be
changed, only enabled, disabled, deleted; max_concurrency is 1 to 10; cron has six fields, Sunday is 0 and never 7.
"""

import base64
import itertools
import json
import re
import threading
import time
import urllib.parse
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

TOKEN = "a-token-that-nobody-may-see"
_LIST_KEYS = {"display_name", "name", "id", "created_at", "description", "namespace"}
CODES = {400: 3, 401: 16, 403: 7, 404: 5, 409: 6, 500: 13, 503: 14}
_EQUALS, _IS_SUBSTRING = (1, "EQUALS"), (9, "IS_SUBSTRING")


class Refusal(Exception):  # noqa: N818
    """An answer that is none of success."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Fault:
    """What goes wrong with some requests.

    Attributes:
        call: A pattern of those that it befalls, as "POST .*/runs".
        kind: "unavailable" (503, nothing was done), "lost" (done, and no answer), "late" (done, the answer takes too
            long), "dead" (nothing was done, no answer), or a status such as "500".
        times: How often yet.
        after: How many of them go well first.
    """

    call: str
    kind: str
    times: int = 1
    after: int = 0

    def befalls(self, call: str) -> bool:
        """Returns whether a request goes wrong, and counts it."""
        if not self.times or not re.fullmatch(self.call, call):
            return False
        if self.after:
            self.after -= 1
            return False
        self.times -= 1
        return True


@dataclass
class Kubeflow:
    """The server's state, and what it was asked.

    Attributes:
        namespaces: Of the account; {""}: the server has a single user.
        watch: Called after each request that was acted on.
        plugin: The variables that Kubeflow's MLflow plugin gives to each task; none where it is not switched on.
        late: Seconds until a late answer.
    """

    token: str | None = TOKEN
    namespaces: set[str] = field(default_factory=lambda: {"team-a"})
    faults: list[Fault] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    experiments: dict[str, dict[str, Any]] = field(default_factory=dict)
    pipelines: dict[str, dict[str, Any]] = field(default_factory=dict)
    versions: dict[str, dict[str, Any]] = field(default_factory=dict)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    recurring: dict[str, dict[str, Any]] = field(default_factory=dict)
    logs: dict[str, str] = field(default_factory=dict)
    watch: Callable[["Kubeflow"], None] = lambda kubeflow: None
    plugin: dict[str, str] = field(default_factory=dict)
    url: str = ""
    late: float = 1.0
    lock: Any = field(default_factory=threading.RLock)
    clock: Iterator[int] = field(default_factory=lambda: itertools.count(1_800_000_000))

    def fail(self, call: str, kind: str, times: int = 1, after: int = 0) -> None:
        """Lets requests go wrong."""
        self.faults.append(Fault(call, kind, times, after))

    def enabled(self) -> list[dict[str, Any]]:
        """Returns the recurring runs that are enabled."""
        return [item for item in self.recurring.values() if item["status"] == "ENABLED"]

    def progress(self, run_id: str, state: str, **steps: str) -> None:
        """Sets the state of a run and of its steps, as Argo's nodes show in the API: a driver and an executor each."""
        tasks = [_task(run_id, "root", state, ["root-driver"]), _task(run_id, "root-driver", "SUCCEEDED", [])]
        for number, (step, step_state) in enumerate(steps.items(), 1):
            begin = _time(1_800_000_000 + number)
            tasks += [
                _task(run_id, f"{step}-driver", "SUCCEEDED", [], begin),
                _task(run_id, "executor", step_state, [], begin),
                _task(run_id, step, step_state, [f"graft-finetune-xyz-{number}"], begin),
            ]
        self.enter(run_id, state)
        self.runs[run_id]["run_details"] = {"task_details": tasks[::-1]}

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Any:
        """Returns the answer to a request."""
        for verb, pattern, act in _ROUTES:
            if verb == method and (found := re.fullmatch(pattern, path)):
                return act(self, *found.groups(), query=query, body=body)
        raise Refusal(404, "Not Found")

    def healthz(self, query: Any, body: Any) -> Any:
        return {"multi_user": self.namespaces != {""}, "pipeline_store": "database"}

    def list_pipelines(self, query: Any, body: Any) -> Any:
        return _page(self.pipelines, "pipelines", query, self._of(query))

    def create_pipeline(self, query: Any, body: Any) -> Any:
        namespace, name = self._namespace(body), body.get("name") or body.get("display_name")
        if not name:
            raise Refusal(400, "name is required")
        if any((item["name"], item["namespace"]) == (name, namespace) for item in self.pipelines.values()):
            raise Refusal(409, f"Failed to create a new pipeline. The name {name} already exists. Specify a new name")
        return self._add(self.pipelines, "pipeline_id", {"name": name, **body, "namespace": namespace})

    def list_versions(self, pipeline: str, query: Any, body: Any) -> Any:
        _there(self.pipelines, pipeline)
        return _page(self.versions, "pipeline_versions", query, lambda item: item["pipeline_id"] == pipeline)

    def upload_version(self, query: Any, body: Any) -> Any:
        pipeline = query.get("pipelineid")
        if pipeline not in self.pipelines or not body:
            raise Refusal(400, "Failed to create a pipeline version")
        given = (query.get("name"), pipeline)
        if any((item["name"], item["pipeline_id"]) == given for item in self.versions.values()):
            raise Refusal(409, "Failed to create a pipeline version")
        spec, *platform = yaml.load_all(body, yaml.CSafeLoader)
        made = {"name": given[0], "display_name": given[0], "pipeline_id": pipeline, "pipeline_spec": spec}
        made["platform"] = platform[0] if platform else {}
        return self._add(self.versions, "pipeline_version_id", made)

    def list_experiments(self, query: Any, body: Any) -> Any:
        return _page(self.experiments, "experiments", query, self._of(query))

    def create_experiment(self, query: Any, body: Any) -> Any:
        given = (body["display_name"], self._namespace(body))
        if any((item["display_name"], item["namespace"]) == given for item in self.experiments.values()):
            raise Refusal(409, f"Failed to create a new experiment. The name {given[0]} already exists")
        return self._add(self.experiments, "experiment_id", {**body, "namespace": given[1]})

    def list_runs(self, query: Any, body: Any) -> Any:
        return _page(self.runs, "runs", query, self._of(query))

    def create_run(self, query: Any, body: Any) -> Any:
        return self._add(self.runs, "run_id", {**self._checked(body), "state": "PENDING"})

    def get_run(self, run: str, query: Any, body: Any) -> Any:
        return _there(self.runs, run)

    def terminate(self, run: str, query: Any = None, body: Any = None) -> Any:
        """Cancels a run: its history tells so from now on, and its pods are told to end; those count as failed."""
        found = _there(self.runs, run)
        self.enter(run, "CANCELING")
        for task in (found.get("run_details") or {}).get("task_details", []):
            if task["state"] == "RUNNING":
                task["state"] = "FAILED"
        return {}

    def pod(self, run: str, step: str, attempt: int = 0) -> dict[str, str]:
        """Returns the variables of the pod of a step: the package's, those that the launcher adds, the MLflow plugin's.

        The plugin's come last: whatever the pipeline has set, they hold.
        """
        version = self.versions[self.runs[run]["pipeline_version_reference"]["pipeline_version_id"]]
        executors = version["pipeline_spec"]["deploymentSpec"]["executors"]
        given = executors[f"exec-{step}"]["container"].get("env", [])
        pods = version["platform"]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
        fields = {"metadata.labels['pipeline/runid']": run}
        own = {told["name"]: fields[told["fieldPath"]] for told in pods[f"exec-{step}"].get("fieldPathAsEnv", [])}
        launcher = {"KFP_POD_NAME": f"graft-{step}-{attempt}", "KFP_RETRY_INDEX": str(attempt)}
        return {**{told["name"]: told["value"] for told in given}, **own, **launcher, **self.plugin}

    def lose_pod(self, run: str, step: str, attempt: int = 0) -> dict[str, str] | None:
        """Lets a pod be lost: returns the variables of the next attempt's, None where there is none any more.

        Only a lost pod is tried again; a container that exits with an error is not (`templateDefaults`: OnError).
        """
        version = self.versions[self.runs[run]["pipeline_version_reference"]["pipeline_version_id"]]
        tasks = [task for dag in _dags(version["pipeline_spec"]) for name, task in dag["tasks"].items() if name == step]
        retries = int(tasks[0].get("retryPolicy", {}).get("maxRetryCount", 0))
        return self.pod(run, step, attempt + 1) if attempt < retries else None

    @staticmethod
    def final_state(*steps: str) -> str:
        """Returns the state that an exit handler's task sees: RUNNING where the last step was not needed."""
        if "FAILED" in steps:
            return "FAILED"
        return "RUNNING" if "SKIPPED" in steps else "SUCCEEDED"

    def enter(self, run: str, state: str) -> None:
        """Lets a run go into a state, which its history keeps."""
        found = self.runs[run]
        if found.get("state") != state or not found.get("state_history"):
            entry = {"state": state, "update_time": _time(next(self.clock))}
            found.setdefault("state_history", []).append(entry)
        found["state"] = state

    def list_recurring(self, query: Any, body: Any) -> Any:
        return _page(self.recurring, "recurringRuns", query, self._of(query))

    def create_recurring(self, query: Any, body: Any) -> Any:
        made = self._checked(body)
        if not 1 <= int(body.get("max_concurrency", 0)) <= 10:
            raise Refusal(400, "Max concurrency of a recurring run must be at least 1 and at most 10")
        fields = body["trigger"]["cron_schedule"]["cron"].split()
        if len(fields) not in (5, 6) or "7" in fields[5:]:
            raise Refusal(400, "Schedule cron is not a supported format")
        if len(body["display_name"]) > 191 or len(body.get("description", "")) > 191:
            raise Refusal(500, "Data too long for column")
        status = "ENABLED" if body["mode"] == "ENABLE" else "DISABLED"
        return self._add(self.recurring, "recurring_run_id", {**made, "status": status})

    def set_mode(self, item: str, mode: str, query: Any, body: Any) -> Any:
        _there(self.recurring, item).update(mode=mode.upper(), status=f"{mode.upper()}D")
        return {}

    def delete_recurring(self, item: str, query: Any, body: Any) -> Any:
        _there(self.recurring, item)
        orphan = query.get("propagation_policy") == "ORPHAN"
        for run in self.runs.values():  # Kubernetes collects what the recurring run owned
            if not orphan and run.get("recurring_run_id") == item and run["state"] == "RUNNING":
                run["state"] = "FAILED"
        del self.recurring[item]
        return {}

    def log(self, run: str, pod: str, query: Any, body: Any) -> Any:
        _there(self.runs, run)
        return self.logs.get(pod, '{"error_message":"Failed to read logs","error_details":"not found"}')

    def _of(self, query: dict[str, str]) -> Callable[[Any], bool]:
        if experiment := query.get("experiment_id"):
            _there(self.experiments, experiment)
            return lambda item: bool(item["experiment_id"] == experiment)
        namespace = self._namespace(query)
        return lambda item: bool(item["namespace"] == namespace)

    def _checked(self, body: dict[str, Any]) -> dict[str, Any]:
        """Returns a run or recurring run with its namespace, if its experiment, version and arguments fit."""
        experiment = _there(self.experiments, body.get("experiment_id", ""))
        reference = body.get("pipeline_version_reference") or {}
        version = self.versions.get(reference.get("pipeline_version_id"))
        if version is None:
            raise Refusal(500, "Failed to create a run due to error fetching manifest")
        known = version["pipeline_spec"]["root"].get("inputDefinitions", {}).get("parameters", {})
        if unknown := set(body["runtime_config"].get("parameters", {})) - set(known):
            raise Refusal(400, f"parameter(s) provided are not required by pipeline: {sorted(unknown)}")
        return {**body, "namespace": experiment["namespace"]}

    def _namespace(self, given: dict[str, str]) -> str:
        """Returns the namespace that is asked for, if the account may; a server for a single user knows none."""
        if self.namespaces == {""}:
            return ""
        if not given.get("namespace"):
            raise Refusal(400, "Namespace is empty")
        if given["namespace"] not in self.namespaces:
            raise Refusal(403, f"User 'user@example.com' is not authorized in namespace {given['namespace']}")
        return given["namespace"]

    def _add(self, items: dict[str, Any], key: str, made: dict[str, Any]) -> dict[str, Any]:
        made |= {key: str(uuid.uuid4()), "created_at": _time(next(self.clock))}
        items[made[key]] = made
        return made


_API = "/apis/v2beta1"
_ROUTES: list[tuple[str, str, Any]] = [
    ("GET", f"{_API}/healthz", Kubeflow.healthz),
    ("GET", f"{_API}/pipelines", Kubeflow.list_pipelines),
    ("POST", f"{_API}/pipelines", Kubeflow.create_pipeline),
    ("POST", f"{_API}/pipelines/upload_version", Kubeflow.upload_version),
    ("GET", f"{_API}/pipelines/([^/:]+)/versions", Kubeflow.list_versions),
    ("GET", f"{_API}/experiments", Kubeflow.list_experiments),
    ("POST", f"{_API}/experiments", Kubeflow.create_experiment),
    ("GET", f"{_API}/runs", Kubeflow.list_runs),
    ("POST", f"{_API}/runs", Kubeflow.create_run),
    ("GET", f"{_API}/runs/([^/:]+)", Kubeflow.get_run),
    ("POST", f"{_API}/runs/([^/:]+):terminate", Kubeflow.terminate),
    ("GET", f"{_API}/recurringruns", Kubeflow.list_recurring),
    ("POST", f"{_API}/recurringruns", Kubeflow.create_recurring),
    ("POST", f"{_API}/recurringruns/([^/:]+):(enable|disable)", Kubeflow.set_mode),
    ("DELETE", f"{_API}/recurringruns/([^/:]+)", Kubeflow.delete_recurring),
    ("GET", "/apis/v1alpha1/runs/([^/]+)/nodes/([^/]+)/log", Kubeflow.log),
]


def _there(items: dict[str, Any], key: str) -> Any:
    if key not in items:
        raise Refusal(404, f"ResourceNotFoundError: {key} not found")
    return items[key]


def _dags(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yields the groups of tasks of a pipeline: its own, and those within conditions and exit handlers."""
    for component in (spec["root"], *spec["components"].values()):
        if "dag" in component:
            yield component["dag"]


def _time(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _task(run: str, name: str, state: str, nodes: Sequence[str], begin: str = "2027-01-15T08:00:00Z") -> dict[str, Any]:
    children = [{"pod_name": node} for node in nodes]
    made = {"run_id": run, "task_id": str(uuid.uuid4()), "display_name": name, "state": state}
    return {**made, "child_tasks": children, "create_time": begin, "start_time": begin}


def _page(items: dict[str, Any], name: str, query: dict[str, str], fits: Callable[[Any], bool]) -> dict[str, Any]:
    """Returns a page of what fits, the oldest first unless asked otherwise; its token belongs to one filter."""
    criteria = query.get("filter", "")
    start = 0
    if token := query.get("page_token"):
        start, given = json.loads(base64.b64decode(token))
        if given != criteria:
            raise Refusal(400, "page token does not match the supplied sort by and/or filtering criteria")
    chosen = [item for item in items.values() if fits(item) and _matches(item, criteria)]
    if query.get("sort_by", "").endswith("desc"):
        chosen.reverse()
    end = start + min(int(query.get("page_size") or 20) or 20, 200)
    more = base64.b64encode(json.dumps([end, criteria]).encode()).decode() if end < len(chosen) else ""
    return {name: chosen[start:end], "total_size": len(chosen), "next_page_token": more}


def _matches(item: dict[str, Any], criteria: str) -> bool:
    for predicate in json.loads(urllib.parse.unquote(criteria))["predicates"] if criteria else []:
        key, value = predicate["key"], predicate.get("stringValue", predicate.get("string_value"))
        if key not in _LIST_KEYS:
            raise Refusal(400, f"unknown filter key {key}")
        if predicate["operation"] in _EQUALS and item[key] != value:
            return False
        if predicate["operation"] in _IS_SUBSTRING and value not in item[key]:
            return False
    return True
