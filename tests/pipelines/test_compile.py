"""What the cluster gets. The golden file shows a change of the compiled pipeline in review; renew it with

GRAFT_RENEW_GOLDEN=1 python -m pytest tests/pipelines/test_compile.py
"""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.shared.errors import InputError
from components.shared.parameters import restore
from pipelines.cluster import compile_pipeline
from pipelines.job import load_job

GOLDEN = Path(__file__).parent / "golden" / "finetune.yaml"
JOB = Path(__file__).parent / "golden" / "job.yaml"


@pytest.fixture
def spec(tmp_path: Path) -> Any:
    compile_pipeline(load_job(JOB), tmp_path / "pipeline.yaml")
    return yaml.safe_load((tmp_path / "pipeline.yaml").read_text())


def test_the_compiled_pipeline_is_the_golden_one(spec: Any) -> None:
    if os.environ.get("GRAFT_RENEW_GOLDEN"):
        GOLDEN.write_text(yaml.safe_dump(spec, sort_keys=True, width=120))
    assert spec == yaml.safe_load(GOLDEN.read_text())


def test_the_jobs_values_are_defaults_and_every_parameter_is_described(spec: Any) -> None:
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    assert parameters["model"]["defaultValue"] == "sentiment"
    assert parameters["learning_rate"] == {
        "defaultValue": 3e-05,
        "description": "Highest learning rate of AdamW.",
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
    assert told["inputs"] == ("LIST", ["image"])
    assert told["strategy"] == ("STRING", "probe,full")
    assert told["layer_decay"] == ("NUMBER_DOUBLE", 0.75)
    assert told["transfer_check"] == ("BOOLEAN", False)
    lists = {name: told[name][1] for name in ("backbone_args", "learning_curve")}
    assert repr(lists["learning_curve"]) == "[8.0, 32.0]"  # protobuf's doing; each step undoes it
    assert repr(restore(lists)) == repr({name: job.get(name, [8, 32]) for name in lists})


def test_light_steps_run_without_torch_and_only_pure_steps_are_cached(spec: Any) -> None:
    images = {name: e["container"]["image"] for name, e in spec["deploymentSpec"]["executors"].items()}
    trainer = {name.removeprefix("exec-") for name, image in images.items() if "trainer" in image}
    assert trainer == {"finetune", "evaluate"}
    cached = {name for name, task in spec["root"]["dag"]["tasks"].items() if task["cachingOptions"].get("enableCache")}
    assert cached == {"transform", "finetune", "evaluate"}


def test_no_step_installs_anything_when_it_runs(spec: Any) -> None:
    commands = [" ".join(e["container"]["command"]) for e in spec["deploymentSpec"]["executors"].values()]
    assert not any("pip install" in command for command in commands)


def test_outputs_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no YAML file"):
        compile_pipeline(load_job(JOB), tmp_path / "pipeline.json")
    with pytest.raises(InputError, match="does not exist"):
        compile_pipeline(load_job(JOB), tmp_path / "nowhere/pipeline.yaml")
