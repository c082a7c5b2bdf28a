"""What the cluster gets. The golden file shows a change of the compiled pipeline in review; renew it with

GRAFT_RENEW_GOLDEN=1 python -m pytest tests/pipelines/test_compile.py
"""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.shared.artifacts.cache import CACHE
from components.shared.artifacts.producer import IMAGE
from components.shared.errors import InputError
from components.shared.process.parameters import restore
from pipelines.cluster.compilation import compile_pipeline
from pipelines.cluster.deployment import load_deployment
from pipelines.cluster.steps import Steps
from pipelines.cluster.submit import LOADER
from pipelines.command import cli
from pipelines.jobs.job import load_job
from tests.pipelines.test_deployment import DEPLOYMENT, write

GOLDEN = Path(__file__).parent / "golden" / "finetune.yaml"
JOB = Path(__file__).parent / "golden" / "job.yaml"


@pytest.fixture
def spec(tmp_path: Path) -> Any:
    compile_pipeline(load_job(JOB), tmp_path / "pipeline.yaml")
    return yaml.load((tmp_path / "pipeline.yaml").read_text(), LOADER)


def test_the_compiled_pipeline_is_the_golden_one(spec: Any) -> None:
    if os.environ.get("GRAFT_RENEW_GOLDEN"):
        GOLDEN.write_text(yaml.safe_dump(spec, sort_keys=True, width=120))
    assert spec == yaml.load(GOLDEN.read_text(), LOADER)


def tasks_of(spec: Any) -> dict[str, Any]:
    """Returns the tasks that run something by name, those within conditions and exit handlers too."""
    components = spec["components"]
    found: dict[str, Any] = {}
    for component in (spec["root"], *components.values()):
        for name, task in component.get("dag", {}).get("tasks", {}).items():
            if "executorLabel" in components[task["componentRef"]["name"]]:
                found[name] = task
    return found


def cached_in(spec: Any) -> dict[str, str]:
    """Returns where each step that looks for what was made before does so; none of them is cached by Kubeflow."""
    assert not any(task["cachingOptions"].get("enableCache") for task in tasks_of(spec).values())
    containers = {name: told["container"] for name, told in spec["deploymentSpec"]["executors"].items()}
    told = {name: {pair["name"]: pair["value"] for pair in c.get("env", ())} for name, c in containers.items()}
    found = {name for name in told if CACHE in told[name]}
    assert all(told[name][IMAGE] == containers[name]["image"] for name in found)
    return {name.removeprefix("exec-"): told[name][CACHE] for name in found}


def test_the_jobs_values_are_defaults_and_every_parameter_is_described(spec: Any) -> None:
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    assert parameters["model"]["defaultValue"] == "sentiment"
    assert parameters["learning_rate"] == {
        "defaultValue": 3e-05,
        "description": "Highest learning rate of AdamW; 0: chosen by backbone and data.",
        "isOptional": True,
        "parameterType": "NUMBER_DOUBLE",
    }
    for name, parameter in parameters.items():
        assert parameter.get("description"), name
        assert "defaultValue" in parameter, name


def test_an_image_job_compiles_and_whole_numbers_in_backbone_args_survive(tmp_path: Path) -> None:
    job = {
        "model": "things",
        "task": "image-classification",
        "data": {"source": "s3://bucket/things"},
        "backbone": "random:timm/resnet10t",
        "backbone_args": {"channels": [8, 8, 16, 32], "drop_path_rate": 0.1, "img_size": 32},
        "strategy": ["probe", "full"],
        "training": {"layer_decay": 0.75},
        "evaluation": {"learning_curve": [8, 32]},
    }
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job))
    compile_pipeline(load_job(tmp_path / "job.yaml"), tmp_path / "pipeline.yaml")
    parameters = yaml.safe_load((tmp_path / "pipeline.yaml").read_text())["root"]["inputDefinitions"]["parameters"]
    told = {name: (parameter["parameterType"], parameter["defaultValue"]) for name, parameter in parameters.items()}
    assert told["inputs"] == ("LIST", [])  # as the data's columns tell
    assert told["strategy"] == ("STRING", "probe,full")
    assert told["layer_decay"] == ("NUMBER_DOUBLE", 0.75)
    assert told["transfer_check"] == ("BOOLEAN", False)
    lists = {name: told[name][1] for name in ("backbone_args", "learning_curve")}
    assert repr(lists["learning_curve"]) == "[8.0, 32.0]"  # protobuf's doing; each step undoes it
    assert repr(restore(lists)) == repr({name: job.get(name, [8, 32]) for name in lists})


def test_light_steps_run_without_torch_and_kubeflow_caches_none(spec: Any) -> None:
    images = {name: e["container"]["image"] for name, e in spec["deploymentSpec"]["executors"].items()}
    trainer = {name.removeprefix("exec-") for name, image in images.items() if "trainer" in image}
    assert trainer == {"finetune", "evaluate"}
    assert cached_in(spec) == {}  # where the cache is, a deployment says


def test_no_step_installs_anything_when_it_runs(spec: Any) -> None:
    commands = [" ".join(e["container"]["command"]) for e in spec["deploymentSpec"]["executors"].values()]
    assert not any("pip install" in command for command in commands)


def test_outputs_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no YAML file"):
        compile_pipeline(load_job(JOB), tmp_path / "pipeline.json")
    with pytest.raises(InputError, match="does not exist"):
        compile_pipeline(load_job(JOB), tmp_path / "nowhere/pipeline.yaml")
    with pytest.raises(
        InputError, match="There is no pipeline 'finetun'; there is: 'finetune', 'retrain'. Did you mean"
    ):
        compile_pipeline(load_job(JOB), tmp_path / "pipeline.yaml", pipeline="finetun")


STEPS = {"ingest", "transform", "finetune", "evaluate", "register", "promote"}


def secrets_of(step: str) -> dict[str, Any]:
    """Returns the secrets of `FULL` that a step has a use for."""
    users = {
        "AWS_ACCESS_KEY_ID": {"detect", "ingest", "transform", "finetune", "evaluate", "register"},
        "AWS_SECRET_ACCESS_KEY": {"detect", "ingest", "transform", "finetune", "evaluate", "register"},
        "HF_TOKEN": {"detect", "ingest", "transform", "finetune"},
        "GRAFT_SQL_PASSWORD": {"detect", "ingest"},
        "LICENCE": {"ingest"},
    }
    return {
        name: {"secret": source["secret"], "key": source["key"]}
        for name, source in FULL["secrets"].items()
        if step in users.get(name, {step})
    }


FULL: dict[str, Any] = {
    "images": {**DEPLOYMENT["images"], "pull_policy": "Always", "pull_secrets": ["registry"]},
    "environment": {"AWS_DEFAULT_REGION": "eu-central-1"},
    "secrets": {
        "AWS_ACCESS_KEY_ID": {"secret": "s3", "key": "access"},
        "AWS_SECRET_ACCESS_KEY": {"secret": "s3", "key": "secret"},
        "ANOTHER_NAME": {"secret": "s3", "key": "secret"},
        "HF_TOKEN": {"secret": "hub", "key": "token"},
        "GRAFT_SQL_PASSWORD": {"secret": "database", "key": "password"},
        "LICENCE": {"secret": "bought", "key": "data", "steps": ["ingest"]},
    },
    "labels": {"team": "a"},
    "security": {"run_as_user": 1000, "run_as_group": 1001},
    "steps": {
        "all": {"requests": {"cpu": 1, "memory": "2Gi"}, "limits": {"memory": "4Gi"}, "timeout": 3600, "retries": 2},
        "transform": {"cache": False, "scratch": {"size": "50Gi"}},
        "finetune": {
            "requests": {"cpu": "3500m", "memory": "16Gi"},
            "accelerator": {"type": "nvidia.com/gpu", "count": 2},
            "node_selector": {"pool": "gpu"},
            "affinity": [
                {"key": "nvidia.com/gpu.memory", "operator": "Gt", "values": ["40000"]},
                {"key": "nvidia.com/gpu.product", "operator": "In", "values": ["H100", "H200"], "weight": 50},
                {"key": "slow", "operator": "DoesNotExist"},
            ],
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
            "shared_memory": "8Gi",
            "scratch": {"size": "100Gi", "storage_class": "fast"},
            "timeout": 86400,
            "backoff": 60,
        },
    },
}


def compiled_for(folder: Path, name: str = "finetune", **deployment: Any) -> tuple[Any, Any]:
    """Returns the pipeline's spec and the platform's, both read back from the package."""
    there = load_deployment(write(folder / "deployment.yaml", **deployment))
    compile_pipeline(load_job(JOB), folder / "pipeline.yaml", there, name)
    pipeline, platform = yaml.load_all((folder / "pipeline.yaml").read_text(), LOADER)
    return pipeline, platform


def by_step(spec: Any, steps: set[str] = STEPS) -> dict[str, Any]:
    """Returns the executors of either spec, by step."""
    spec = spec.get("platforms", {}).get("kubernetes", spec)
    executors = {name.removeprefix("exec-"): told for name, told in spec["deploymentSpec"]["executors"].items()}
    assert set(executors) == steps
    return executors


class TestDeployment:
    @pytest.fixture
    def package(self, tmp_path: Path) -> tuple[Any, Any]:
        return compiled_for(tmp_path, **FULL)

    @pytest.fixture
    def containers(self, package: tuple[Any, Any]) -> dict[str, Any]:
        return {name: told["container"] for name, told in by_step(package[0]).items()}

    @pytest.fixture
    def pods(self, package: tuple[Any, Any]) -> dict[str, Any]:
        return by_step(package[1])

    def test_only_the_step_that_is_to_have_a_gpu_gets_one_and_goes_where_they_are(
        self, containers: dict[str, Any], pods: dict[str, Any]
    ) -> None:
        assert {name for name in STEPS if "accelerator" in containers[name].get("resources", {})} == {"finetune"}
        for field in ("tolerations", "nodeSelector", "nodeAffinity"):
            assert {name for name in STEPS if field in pods[name]} == {"finetune"}, field
        accelerator = containers["finetune"]["resources"]["accelerator"]
        assert (accelerator["resourceType"], accelerator["resourceCount"]) == ("nvidia.com/gpu", "2")
        pod = pods["finetune"]
        assert pod["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
        assert pod["nodeSelector"] == {"labels": {"pool": "gpu"}}
        required, preferred = pod["nodeAffinity"]
        assert [told["key"] for told in required["matchExpressions"]] == ["nvidia.com/gpu.memory", "slow"]  # both hold
        assert "weight" not in required
        assert (preferred["weight"], preferred["matchExpressions"][0]["values"]) == (50, ["H100", "H200"])

    def test_evaluate_gets_one_on_request(self, tmp_path: Path) -> None:
        gpu = {"accelerator": {"type": "nvidia.com/gpu"}, "tolerations": [{"operator": "Exists"}]}
        pipeline, platform = compiled_for(tmp_path, steps={"evaluate": gpu})
        containers, pods = by_step(pipeline), by_step(platform)
        resources = {name: told["container"].get("resources", {}) for name, told in containers.items()}
        assert {name for name in STEPS if "accelerator" in resources[name]} == {"evaluate"}
        assert {name for name in STEPS if "tolerations" in pods[name]} == {"evaluate"}

    def test_secrets_are_named_and_never_inline(self, containers: dict[str, Any], pods: dict[str, Any]) -> None:
        for name in STEPS:
            assert not set(FULL["secrets"]).intersection(told["name"] for told in containers[name]["env"])
            sources = [(told["secretName"], pair) for told in pods[name]["secretAsEnv"] for pair in told["keyToEnv"]]
            named = {pair["envVar"]: {"secret": secret, "key": pair["secretKey"]} for secret, pair in sources}
            assert named == secrets_of(name)
            assert len(sources) == len(named)

    def test_what_was_made_before_is_looked_for_unless_that_is_turned_off(self, tmp_path: Path) -> None:
        def cached(**deployment: Any) -> set[str]:
            return set(cached_in(compiled_for(tmp_path, **deployment)[0]))

        assert cached() == {"transform", "finetune"}
        assert cached(steps={"all": {"cache": True}}) == {"transform", "finetune"}
        assert cached(**FULL) == {"finetune"}
        assert cached(steps={"all": {"cache": False}, "finetune": {"cache": True}}) == {"finetune"}
        assert cached(pipeline_root="gs://bucket/graft") == set()  # boto3 does not reach it

    @pytest.mark.parametrize("root", ["s3://bucket/graft/", "s3://bucket/graft?region=eu-1", "minio://mlpipeline/v2"])
    def test_the_cache_lies_beside_what_runs_leave(self, tmp_path: Path, root: str) -> None:
        places = cached_in(compiled_for(tmp_path, pipeline_root=root)[0])
        expected = "minio://mlpipeline/v2/cache" if "minio" in root else "s3://bucket/graft/cache"
        assert places == {"transform": expected, "finetune": expected}

    def test_a_package_can_be_made_without(self, tmp_path: Path) -> None:
        deployment, package = write(tmp_path / "deployment.yaml", **FULL), tmp_path / "pipeline.yaml"
        assert cli.main(["compile", str(JOB), "--deployment", str(deployment), "-o", str(package), "--no-cache"]) == 0
        assert cached_in(next(yaml.safe_load_all(package.read_text()))) == {}

    def test_each_step_runs_in_the_clusters_image(self, containers: dict[str, Any], pods: dict[str, Any]) -> None:
        images = {name: container["image"] for name, container in containers.items()}
        light, trainer = DEPLOYMENT["images"]["light"], DEPLOYMENT["images"]["trainer"]
        assert images == {**dict.fromkeys(STEPS, light), **dict.fromkeys(["finetune", "evaluate"], trainer)}
        for pod in pods.values():
            assert pod["imagePullPolicy"] == "Always"
            assert [told["secretName"] for told in pod["imagePullSecret"]] == ["registry"]

    def test_variables_lead_to_the_services_and_to_the_scratch(self, containers: dict[str, Any]) -> None:
        variables = {
            name: {told["name"]: told["value"] for told in container["env"]} for name, container in containers.items()
        }
        assert all(told["AWS_DEFAULT_REGION"] == "eu-central-1" for told in variables.values())
        # Each step: one that fails leaves there why. Kubeflow's MLflow plugin may set the first to another address.
        for name in ("MLFLOW_TRACKING_URI", "GRAFT_MLFLOW"):
            assert {told[name] for told in variables.values()} == {"https://mlflow.example.com"}
        assert {told["GRAFT_PATIENCE"] for told in variables.values()} == {"300"}
        assert {told["GRAFT_RUN_PAGES"] for told in variables.values()} == {
            "https://kubeflow.example.com/pipeline/#/runs/details/"
        }
        # Of 3500m of a node's CPU four threads, not as many as the node has cores.
        assert {name: told["OMP_NUM_THREADS"] for name, told in variables.items()} == {
            **dict.fromkeys(STEPS, "1"),
            "finetune": "4",
        }
        assert {name for name, told in variables.items() if told.get("TMPDIR") == "/tmp"} == {
            "transform",
            "finetune",
        }

    def test_each_step_knows_its_run_by_its_pods_label_and_not_by_a_parameter(
        self, containers: dict[str, Any], pods: dict[str, Any]
    ) -> None:
        """A parameter would be part of the cache's key."""
        label = {"name": "GRAFT_PIPELINE_RUN", "fieldPath": "metadata.labels['pipeline/runid']"}
        assert all(label in pod["fieldPathAsEnv"] for pod in pods.values())

    def test_memory_and_disk_are_mounted(self, pods: dict[str, Any]) -> None:
        disk = {"volumeName": "scratch", "mountPath": "/tmp"}
        assert pods["transform"]["emptyDirMounts"] == [{**disk, "sizeLimit": "50Gi"}]
        memory = {"volumeName": "shared-memory", "mountPath": "/dev/shm", "medium": "Memory", "sizeLimit": "8Gi"}
        assert pods["finetune"]["emptyDirMounts"] == [memory]
        (volume,) = pods["finetune"]["genericEphemeralVolume"]
        assert volume == {**disk, "size": "100Gi", "storageClassName": "fast", "accessModes": ["ReadWriteOnce"]}

    def test_sizes_times_and_tries(self, package: tuple[Any, Any], containers: Any, pods: dict[str, Any]) -> None:
        wanted = {name: containers[name]["resources"] for name in STEPS}
        amounts = ("resourceCpuRequest", "resourceMemoryRequest", "resourceCpuLimit", "resourceMemoryLimit")
        assert [wanted["finetune"].get(name) for name in amounts] == ["3500m", "16Gi", None, None]
        assert [wanted["ingest"].get(name) for name in amounts] == ["1", "2Gi", None, "4Gi"]
        seconds = {name: int(pod["activeDeadlineSeconds"]) for name, pod in pods.items()}
        assert seconds == {**dict.fromkeys(STEPS, 3600), "finetune": 86400}
        tries = {name: task["retryPolicy"] for name, task in package[0]["root"]["dag"]["tasks"].items()}
        assert {name: told["maxRetryCount"] for name, told in tries.items()} == dict.fromkeys(STEPS, 2)
        assert (tries["finetune"]["backoffDuration"], tries["finetune"]["backoffFactor"]) == ("60s", 2.0)

    def test_every_pod_is_labelled_and_without_rights(self, pods: dict[str, Any]) -> None:
        for pod in pods.values():
            assert pod["podMetadata"]["labels"] == {"team": "a"}
            assert pod["securityContext"] == {"runAsUser": "1000", "runAsGroup": "1001", "runAsNonRoot": True}

    def test_the_rest_of_the_pipeline_stays_as_it_is(self, spec: Any, package: tuple[Any, Any]) -> None:
        pipeline = package[0]
        assert pipeline["defaultPipelineRoot"] == "s3://bucket/graft"
        assert pipeline["pipelineInfo"] == spec["pipelineInfo"]
        assert pipeline["root"]["inputDefinitions"] == spec["root"]["inputDefinitions"]
        assert pipeline["components"] == spec["components"]

    def test_the_same_content_compiles_to_the_same_package(self, tmp_path: Path) -> None:
        packages = []
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            compiled_for(tmp_path / name, **FULL)
            packages.append((tmp_path / name / "pipeline.yaml").read_bytes())
        assert packages[0] == packages[1]

    def test_every_step_of_the_pipeline_can_be_given_something(self, spec: Any) -> None:
        assert set(spec["root"]["dag"]["tasks"]) == STEPS
        assert set(Steps.model_fields) == {"all", "detect", *STEPS, "notify"}


def test_the_command_compiles_for_a_deployment_and_warns_of_tags(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = {**DEPLOYMENT["images"], "light": "registry.example.com/light:1.0"}
    deployment, package = write(tmp_path / "deployment.yaml", images=images), tmp_path / "pipeline.yaml"
    arguments = ["compile", str(JOB), "--deployment", str(deployment), "-o", str(package)]
    assert cli.main(arguments) == 0
    told = capsys.readouterr()
    assert told.out == f"wrote {package}\n"
    assert told.err.startswith("graft: warning: images.light is 'registry.example.com/light:1.0', without a digest")
    assert len(told.err.splitlines()) == 1
    write(deployment, mlflow="nowhere")
    package.unlink()
    assert cli.main(arguments) == 2
    assert "mlflow: found 'nowhere'; an address" in capsys.readouterr().err
    assert not package.exists()
