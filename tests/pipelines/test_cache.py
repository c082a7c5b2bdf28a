"""The same job submitted twice trains once: on the tests' Kubeflow, whose steps run as on a cluster."""

import json
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest
import yaml
from kfp import compiler, dsl
from mlflow import MlflowClient

from components.shared import tasks
from components.shared.registry import tracking
from components.shared.storage.patience import PATIENCE
from pipelines.cluster.deployment import load_deployment
from pipelines.cluster.kubeflow import connect, experiment_id
from pipelines.cluster.submit import Version, _upload, upload
from pipelines.jobs.job import load_job
from tests.conftest import NUMBERS, s3_environment, write_csv
from tests.kubeflow_engine import Engine
from tests.kubeflow_server import kubeflow_server
from tests.pipelines.test_deployment import DEPLOYMENT, write
from tests.servers import s3_server

ROWS = [{"text": row["input_1"], "topic": row["label"]} for row in tasks.get("text-classification").sample(120, seed=1)]


class Cluster:
    """A cluster with a bucket and a registry, and a job whose data and backbone lie in that bucket.

    Attributes:
        deployment: What differs from the tests' deployment file; changed at will.
    """

    def __init__(self, folder: Path, engine: Engine, backbone: Path) -> None:
        self.folder, self.engine = folder, engine
        self.s3 = boto3.client(
            "s3", endpoint_url=engine.environment["AWS_ENDPOINT_URL_S3"], region_name="us-east-1",
            aws_access_key_id="key", aws_secret_access_key="secret",
        )  # fmt: skip
        self.s3.create_bucket(Bucket="bucket")
        self.prefix = f"{uuid.uuid4()}"  # the bucket of the tests keeps what others left
        self.kubeflow = {"endpoint": engine.kubeflow.url, "namespace": "team-a"}
        self.root = f"s3://bucket/{self.prefix}/graft"
        self.deployment: dict[str, Any] = {}
        self.client = connect(self.load())
        self.mlflow = MlflowClient(engine.environment["MLFLOW_TRACKING_URI"])
        self.uploaded: dict[str, Version] = {}
        self.put_rows(ROWS)
        for file in backbone.iterdir():
            self.put(file, f"bert/{file.name}")

    def load(self) -> Any:
        there = {"pipeline_root": self.root, "kubeflow": self.kubeflow}
        return load_deployment(write(self.folder / "deployment.yaml", **there, **self.deployment))

    def put(self, file: Path, key: str) -> None:
        self.s3.upload_file(str(file), "bucket", f"{self.prefix}/{key}")

    def put_rows(self, rows: list[dict[str, str]]) -> None:
        self.put(write_csv(self.folder / "data.csv", rows), "raw/data.csv")

    def submit(self, *settings: str, last: str = "finetune", cache: bool = True) -> dict[str, str]:
        """Submits the job and runs it; returns which of its steps took from which run what they would have made.

        Args:
            settings: Of the job, `FIELD=VALUE`.
            last: The step after which nothing is of interest any more; "": all run.
            cache: Whether they may.
        """
        data = {"source": f"s3://bucket/{self.prefix}/raw", "inputs": ["text"], "label": "topic"}
        job = {
            "model": "topics",
            "task": "text-classification",
            "data": data,
            "strategy": "full",
            "training": {**NUMBERS, "epochs": 1},
        }
        job |= {"backbone": f"s3://bucket/{self.prefix}/bert"}
        (self.folder / "job.yaml").write_text(yaml.safe_dump(job))
        wanted = load_job(self.folder / "job.yaml", list(settings))
        deployment = self.load() if cache else self.load().without_cache()
        key = json.dumps(deployment.model_dump())
        version = self.uploaded.get(key) or upload(self.client, deployment, wanted)
        self.uploaded[key] = version
        run = self.start(version, wanted.arguments())
        states = self.engine.run(run, last)
        assert set(states.values()) == {"SUCCEEDED"}, states
        made = [found for found in self.engine.artifacts if run in found.uri and "made_by" in found.metadata]
        return {Path(found.uri).parents[1].name: found.metadata["made_by"] for found in made}

    def start(self, version: Version, arguments: dict[str, Any] | None = None) -> str:
        there = {"pipeline_id": version.pipeline_id, "version_id": version.version_id, "pipeline_root": self.root}
        experiment = experiment_id(self.client, self.load())
        return str(self.client.run_pipeline(experiment, "a run", params=arguments, **there).run_id)

    @property
    def trainings(self) -> int:
        """How many models were trained: each has a run in MLflow."""
        return len(self.mlflow.search_runs([found.experiment_id for found in self.mlflow.search_experiments()]))


class Base(NamedTuple):
    """A cluster on which the job ran, and after it another one; with the numbers of their versions."""

    cluster: Cluster
    first: str


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, backbone: Path, empty_database: Path) -> Iterator[Base]:
    folder = tmp_path_factory.mktemp("cluster")
    shutil.copyfile(empty_database, folder / "mlflow.db")
    with s3_server() as address, kubeflow_server(token=None) as kubeflow:
        registry = f"sqlite:///{folder}/mlflow.db"
        led = {"MLFLOW_TRACKING_URI": registry, tracking.DEPLOYED: registry, PATIENCE: "5"}
        environment = {**s3_environment(address), **led}
        cluster = Cluster(folder, Engine(kubeflow, folder / "pods", environment), backbone)
        assert cluster.submit(last="") == {}
        (first,) = kubeflow.runs
        assert cluster.submit("training.seed=8", last="register") == {"transform": first}  # a sweep's features, shared
        assert cluster.trainings == 2
        yield Base(cluster, first)


@pytest.fixture
def cluster(base: Base) -> Iterator[Cluster]:
    base.cluster.deployment = {}
    yield base.cluster
    base.cluster.put_rows(ROWS)


def test_a_second_submit_trains_nothing_whatever_ran_in_between(
    base: Base, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    before = cluster.trainings
    assert cluster.submit(last="") == {"transform": base.first, "finetune": base.first}
    assert cluster.trainings == before
    place = f"s3://bucket/{cluster.prefix}/graft/graft-finetune/{base.first}/finetune/"
    assert f"finetune 100% · taken from {place}" in capsys.readouterr().out


def test_the_version_still_tells_the_run_that_trained_it(base: Base, cluster: Cluster) -> None:
    cluster.submit(last="register")
    assert len(cluster.mlflow.search_model_versions("name='topics'")) == 2  # seed 8 has one, and this: no third one
    version = cluster.mlflow.get_model_version("topics", "1")
    curves = cluster.mlflow.get_run(version.run_id).data.metrics
    assert curves.keys() > {"validation/loss", "train/loss", "test/accuracy"}
    assert version.tags["run_id"] == version.run_id
    assert version.tags["pipeline_run"] == base.first


def test_one_byte_of_one_row_makes_it_anew(cluster: Cluster) -> None:
    before = cluster.trainings
    cluster.put_rows([{**ROWS[0], "text": ROWS[0]["text"] + "."}, *ROWS[1:]])
    assert cluster.submit() == {}
    assert cluster.trainings == before + 1


def test_another_image_makes_it_anew(cluster: Cluster) -> None:
    other = "registry.example.com/other@sha256:" + 64 * "b"
    cluster.deployment["images"] = {**DEPLOYMENT["images"], "trainer": other}
    assert set(cluster.submit()) == {"transform"}
    cluster.deployment["images"] = {**DEPLOYMENT["images"], "light": other}
    assert set(cluster.submit()) == {"finetune"}  # the same features came out, so the same model


def test_another_model_on_the_same_data_shares_its_features(cluster: Cluster) -> None:
    before = cluster.trainings
    assert set(cluster.submit("model=other-topics")) == {"transform"}
    assert cluster.trainings == before + 1  # in that model's experiment


def test_an_alias_that_moved_makes_it_anew(cluster: Cluster) -> None:
    start = ("model=onward", "backbone=models:/topics@start")
    for version, expected in (("1", set()), ("2", set()), ("1", {"transform", "finetune"})):
        cluster.mlflow.set_registered_model_alias("topics", "start", version)
        assert set(cluster.submit(*start)) == expected


def test_on_request_it_is_made_anew(cluster: Cluster) -> None:
    assert cluster.submit(cache=False) == {}
    cluster.deployment["steps"] = {"finetune": {"cache": False}}
    assert set(cluster.submit()) == {"transform"}


def test_a_model_whose_mlflow_run_is_gone_gets_a_run_of_its_own(cluster: Cluster) -> None:
    """As where the registry is another one than when it was trained."""
    cluster.submit("model=passing", last="register")
    (before,) = cluster.mlflow.search_model_versions("name='passing'")
    cluster.mlflow.delete_run(before.run_id)
    cluster.mlflow.delete_registered_model("passing")
    assert set(cluster.submit("model=passing", last="register")) == {"transform", "finetune"}
    (version,) = cluster.mlflow.search_model_versions("name='passing'")
    run = cluster.mlflow.get_run(version.run_id)
    assert run.info.lifecycle_stage == "active"
    assert run.data.tags["model_digest"] == version.tags["model_digest"] == before.tags["model_digest"]
    assert {entry.path for entry in cluster.mlflow.list_artifacts(version.run_id)} > {"model", "report.html"}


class TestKubeflowsOwnCache:
    """Why the steps look for themselves: what a real cluster showed, and the tests' engine does likewise."""

    @pytest.fixture
    def run(self, cluster: Cluster) -> Any:
        """Runs a pipeline twice, and returns which of its steps needed a pod the second time."""

        def run_twice(pipeline: Any) -> set[str]:
            package = cluster.folder / "pipeline.yaml"
            compiler.Compiler().compile(pipeline, str(package))
            version = _upload(cluster.client, "team-a", pipeline.name, package)
            for _ in range(2):
                pods, run = len(cluster.engine.pods), cluster.start(version)
                states = cluster.engine.run(run)
                assert cluster.engine.kubeflow.runs[run]["state"] == "SUCCEEDED", states
            return {step for _, step in cluster.engine.pods[pods:]}

        return run_twice

    def test_it_never_hits_after_a_step_that_is_not_cached(self, run: Any) -> None:
        @dsl.pipeline(name="direct")
        def direct() -> None:
            read(made=write_text().set_caching_options(False).outputs["made"])

        assert run(direct) == {"write-text", "read"}

    def test_it_hits_behind_an_importer_in_a_pipeline_of_its_own(self, run: Any) -> None:
        @dsl.pipeline(name="inner")
        def inner(uri: str) -> None:
            read(made=dsl.importer(artifact_uri=uri, artifact_class=dsl.Artifact, reimport=False).output)

        @dsl.pipeline(name="outer")
        def outer() -> None:
            inner(uri=write_text().set_caching_options(False).outputs["address"])

        assert run(outer) == {"write-text"}

    def test_an_importer_takes_no_output_of_a_task(self, run: Any) -> None:
        @dsl.pipeline(name="flat")
        def flat() -> None:
            address = write_text().set_caching_options(False).outputs["address"]
            dsl.importer(artifact_uri=address, artifact_class=dsl.Artifact, reimport=False)

        with pytest.raises(AssertionError, match="write-text"):
            run(flat)


@dsl.component(base_image="python", install_kfp_package=False)
def write_text(made: dsl.Output[dsl.Artifact]) -> NamedTuple("Outputs", [("address", str)]):
    """Writes the same each time, and lays it at an address named by its content, too."""
    from pathlib import Path

    from components.shared.storage import storage

    Path(made.path).mkdir(parents=True)
    Path(made.path, "text.txt").write_text("the same")
    storage.write_whole("s3://bucket/by-content/text.txt", b"the same")
    return ("s3://bucket/by-content",)


@dsl.component(base_image="python", install_kfp_package=False)
def read(made: dsl.Input[dsl.Artifact], other: str = "") -> None:
    """Reads it."""
    from pathlib import Path

    assert Path(made.path, "text.txt").read_text() == "the same"
