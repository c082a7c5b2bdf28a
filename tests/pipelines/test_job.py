import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.finetune.settings import CHOICES
from components.shared.errors import InputError, quote_all
from pipelines.finetune import finetune_pipeline
from pipelines.jobs.job import load_job

JOB: dict[str, Any] = {
    "model": "topics",
    "task": "text-classification",
    "data": {"source": "data", "inputs": ["text"], "label": "topic"},
    "backbone": "google-bert/bert-base-uncased",
}


IMAGES: dict[str, Any] = {
    "model": "things",
    "task": "image-classification",
    "data": {"source": "data"},
    "backbone": "timm/resnet10t",
}


def write(path: Path, **changes: Any) -> Path:
    path.write_text(yaml.safe_dump({**JOB, **changes}))
    return path


def write_images(path: Path, **changes: Any) -> Path:
    return write(path, **{**IMAGES, **changes})


def refusal(path: Path, *changes: str) -> str:
    with pytest.raises(InputError) as caught:
        load_job(path, changes)
    return str(caught.value)


def test_a_short_job_has_a_default_for_all_the_rest(tmp_path: Path) -> None:
    job = load_job(write(tmp_path / "job.yaml"))
    assert (job.strategy, job.training.epochs, job.data.max_rejects) == ("auto", 0, 0.01)


def test_all_faults_are_told_at_once_with_path_found_allowed_and_nearest(tmp_path: Path) -> None:
    data = {"source": 3, "inputs": "text", "lable": "topic", "splits": {"dev": "tset"}}
    training = {"epoch": 3, "epochs": -1, "learning_rate": "fast", "pooling": "men"}
    path = write(tmp_path / "job.yaml", task="text-clasification", model="a/b", data=data, training=training)
    message = refusal(path)
    assert message.splitlines()[0] == f"{path} has 10 faults:"
    for line in [
        "model: 'a/b' cannot be a model's name: it holds '/'. A name such as 'aws-operations' can.",
        "task: found 'text-clasification'; allowed: 'image-classification', 'image-multi-label-classification', "
        "'image-multi-task', 'image-regression', 'multi-label-classification', 'multi-task', "
        "'question-answering', 'text-classification', 'text-regression', 'text-retrieval', "
        "'token-classification'. Did you mean "
        "'text-classification'?",
        "data.source: found 3; input should be a valid string",
        "data.inputs: found 'text'; input should be a valid list",
        "data.splits.dev: found 'tset'; input should be 'train', 'validation' or 'test'",
        "training.epochs: found -1; input should be greater than or equal to 0",
        "training.pooling: found 'men'; allowed: 'auto', 'first', 'last', 'mean', 'max'. Did you mean 'mean'?",
    ]:
        assert f"  {line}" in message.splitlines()
    assert "training.learning_rate: found 'fast'; input should be a valid number" in message
    assert "data.lable: there is no such field" in message
    assert "Did you mean 'label'?" in message
    assert "training.epoch: there is no such field" in message


DATA: dict[str, Any] = {"source": "d", "inputs": ["a"], "label": "l"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"data": {"source": "d", "inputs": ["a", "b", "c"], "label": "l"}},
            "data.inputs: found ['a', 'b', 'c']; text-classification takes 1 or 2 columns, not 3",
        ),
        (
            {"data": {"source": "d", "inputs": ["{{$.x}}"], "label": "l"}},
            "data.inputs.0: found '{{$.x}}'; '{{' begins a placeholder of Kubeflow Pipelines: rename it",
        ),
        ({"data": {**DATA, "label": "{{x}}"}}, "data.label: found '{{x}}'; '{{' begins a placeholder"),
        ({"data": {"source": "d", "inputs": ["l"], "label": "l"}}, "data.label: found 'l'; it is among data.inputs"),
        (
            {"data": {"source": "d", "inputs": ["a"], "label": "l", "test_fraction": 0.95}},
            "data.test_fraction: found 0.95; with validation_fraction 0.1 it leaves nothing for training",
        ),
        (
            {"data": {"source": "d", "inputs": ["a"], "label": "l", "validation_fraction": 0.95}},
            "data.test_fraction: found 0.1; with validation_fraction 0.95 it leaves nothing for training",
        ),
        (
            {"data": {**DATA, "labels": [True, False]}},
            "data.labels: found [True, False]; yes, no, on, off, true and false are truth",
        ),
        (
            {"data": {**DATA, "labels": {"ham": [1], "spam": ["1"]}}},
            "data.labels: found {'ham': [1], 'spam': ['1']}; the code 1 stands for two labels: one was expected",
        ),
        ({"data": {**DATA, "group": "l"}}, "data.group: found 'l'; it is data.label: another column was expected"),
        ({"data": {**DATA, "group": "g", "time": "t"}}, "data.time: found 't'; with data.group an example may be both"),
        (
            {"data": {**DATA, "rare_classes": "dorp"}},
            "data.rare_classes: found 'dorp'; allowed: 'keep', 'drop', 'merge'. Did",
        ),
        (
            {"backbone": "random:timm/resnet10t", "evaluation": {"transfer_check": True}},
            "evaluation.transfer_check: found True; a backbone with pretrained weights was expected",
        ),
        (
            {
                "task": "image-classification",
                "data": {"source": "d", "inputs": ["image"], "label": "l"},
                "strategy": ["lexical", "probe"],
            },
            "strategy: found ['lexical', 'probe']; 'lexical' reads words, and image-classification has none",
        ),
        (
            {"strategy": "gradients"},
            "strategy: found 'gradients'; 'gradients' reads gradients, and text-classification has none",
        ),
        ({"training": {"gradients": True}}, "training.gradients"),
    ],
)
def test_values_that_do_not_fit_together(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    assert message in refusal(write(tmp_path / "job.yaml", **changes))


def test_labels_are_taken_as_written_and_codes_lead_to_them(tmp_path: Path) -> None:
    job = load_job(write(tmp_path / "job.yaml", data={**DATA, "labels": [0, 1.0, "two"]}))
    assert job.arguments()["labels"] == ["0", "1", "two"]
    job = load_job(write(tmp_path / "job.yaml", data={**DATA, "labels": {"spam": [1, "yes"], "ham": 0}}))
    given = job.arguments()
    assert sorted(given["labels"]) == ["ham", "spam"]
    assert given["label_codes"] == {"1": "spam", "yes": "spam", "0": "ham"}


FIELDS = [
    ("training.minutes", [0, 2.5], [-1, float("inf")]),
    ("training.learning_rate", [0, 1e-6, 9], [-1, 10, float("nan"), float("inf")]),
    ("training.pixel_gib", [0, 0.5], [-1, float("inf")]),
    ("training.cache_gib", [0, 0.5], [-1, float("inf")]),
    ("training.device_gib", [-1, 0, 0.5], [-2, float("inf"), "all"]),
    ("training.read_ahead", [-1, 0, 4], [-2, 65, 1.5]),
    ("training.cuda_graphs", ["auto", "false"], ["true", "off"]),
    ("training.trainable_blocks", [0, 12], [-1, 1.5]),
    ("training.layer_decay", [0, 0.65, 1], [-0.1, 1.1]),
    ("training.head_factor", [0.1, 10], [0, -1]),
    ("training.lora_rank", [1, 64], [0, 2.5]),
    ("training.lora_alpha", [0.5, 32], [0, -1]),
    ("training.label_smoothing", [0, 0.1], [-0.1, 1]),
    ("training.crop_scale", [0, 0.08, 1], [-0.1, 1.1]),
    ("training.flip", [-1, 0, 1], [-1.1, 1.1]),
    ("training.color_jitter", [0, 0.4], [-0.1, 1]),
    ("training.mixup", [0, 0.8], [-0.1, "some"]),
    ("training.pooling", ["auto", "first", "last", "mean", "max"], ["min"]),
    ("training.precision", ["auto", "float32", "bfloat16"], ["float16"]),
    ("data.max_pixels", [1, 10**9], [0, 2.5]),
    ("checkpoint.uri", ["", "kept/here", "s3://bucket/kept"], ["gs://bucket/kept", 3]),
    ("checkpoint.minutes", [0.5, 10], [0, -1]),
    ("evaluation.transfer_check", [True, False], ["perhaps", 3]),
    ("evaluation.learning_curve", [[], [8], [8, 32, 128]], [[0], [8, 8], [32, 8], [8.5], 8]),
]


@pytest.mark.parametrize(("field", "taken", "refused"), FIELDS, ids=[field for field, *_ in FIELDS])
def test_what_a_field_takes_and_what_it_does_not(
    tmp_path: Path, field: str, taken: list[Any], refused: list[Any]
) -> None:
    section, name = field.split(".")
    path = tmp_path / "job.yaml"
    given = IMAGES.get(section, {})
    argument = f"checkpoint_{name}" if section == "checkpoint" else name
    for value in taken:
        assert load_job(write_images(path, **{section: {**given, name: value}})).arguments()[argument] == value
    for value in refused:
        message = refusal(write_images(path, **{section: {**given, name: value}}))
        assert message.startswith(f"{path} has a fault:\n  {field}"), message
        assert f": found {value!r}; " in message or isinstance(value, list), message


def test_texts_alone_are_computed_without_padding(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    assert load_job(write(path, training={"unpadding": False})).arguments()["unpadding"] == "false"
    assert "training.unpadding: found True; allowed: 'auto', 'false'" in refusal(
        write(path, training={"unpadding": True})
    )
    told = refusal(write_images(path, training={**IMAGES.get("training", {}), "unpadding": "false"}))
    assert "training.unpadding: found 'false'; it has no effect with image-classification" in told


class TestStrategy:
    def test_one(self, tmp_path: Path) -> None:
        assert load_job(write(tmp_path / "job.yaml", strategy="probe-then-full")).strategy == "probe-then-full"

    def test_a_list_is_a_sweep(self, tmp_path: Path) -> None:
        path = write(tmp_path / "job.yaml", strategy=["probe", "partial", "full"])
        assert load_job(path).arguments()["strategy"] == "probe,partial,full"
        assert load_job(path, ["strategy=probe, lora"]).strategy == "probe,lora"
        assert load_job(path, ["strategy=[gradual]"]).strategy == "gradual"

    @pytest.mark.parametrize(
        ("strategy", "message"),
        [
            ("ful", "found 'ful'; allowed: {all}, or a list of them. Did you mean 'full'?"),
            (["probe", "lroa"], "found ['probe', 'lroa']; allowed: {all}, or a list of them. Did you mean 'lora'?"),
            (["probe", 3], "found ['probe', 3]; allowed: {all}, or a list of them."),
            ([], "found []; allowed: {all}, or a list of them."),
            (["full", "probe", "full"], "found ['full', 'probe', 'full']; each strategy once was expected"),
            (
                ["auto", "probe"],
                "found ['auto', 'probe']; auto alone was expected: it looks for the best strategy itself",
            ),
            (3, "found 3; input should be a valid string"),
        ],
    )
    def test_others_are_refused(self, tmp_path: Path, strategy: Any, message: str) -> None:
        told = refusal(write(tmp_path / "job.yaml", strategy=strategy)).splitlines()
        assert told[1:] == ["  strategy: " + message.format(all=quote_all(CHOICES))]


@pytest.mark.parametrize(("given", "taken"), [(True, "true"), (False, "false"), ("auto", "auto")])
def test_words_beside_the_backbone_can_be_switched(tmp_path: Path, given: Any, taken: str) -> None:
    assert load_job(write(tmp_path / "job.yaml", training={"lexical": given})).arguments()["lexical"] == taken


class TestBackboneArguments:
    def test_values_that_json_knows_are_kept_as_they_are(self, tmp_path: Path) -> None:
        given = {"img_size": 32, "channels": [8, 16], "drop_path_rate": 0.1, "act_layer": "gelu", "flag": True, "x": {}}
        path = write(tmp_path / "job.yaml", backbone_args=given)
        assert repr(load_job(path).backbone_args) == repr(dict(sorted(given.items())))  # yaml.safe_dump sorts
        assert load_job(path, ["backbone_args.img_size=64"]).backbone_args["img_size"] == 64

    @pytest.mark.parametrize(
        "value", ["", "2026-01-01", ".nan", "-.inf", "[1, null]", "{1: a}", "{a: {b: .inf}}", str(2**53 + 1), "9" * 400]
    )
    def test_others_are_refused(self, tmp_path: Path, value: str) -> None:
        path = tmp_path / "job.yaml"
        path.write_text(write(path).read_text() + f"backbone_args:\n  depth: {value}\n")
        assert re.search("backbone_args: found .*; texts, numbers, true, false, and lists and", refusal(path))

    def test_it_is_a_mapping(self, tmp_path: Path) -> None:
        message = refusal(write(tmp_path / "job.yaml", backbone_args=["img_size", 32]))
        assert "backbone_args: found ['img_size', 32]; input should be a valid dictionary" in message


class TestColumns:
    """Left out, they are what the data's columns tell: see components.shared.profile.reading."""

    def test_they_may_be_left_out(self, tmp_path: Path) -> None:
        data = load_job(write(tmp_path / "job.yaml", data={"source": "data"})).data
        assert (data.inputs, data.label) == ([], "")

    def test_a_label_among_the_inputs_is_refused(self, tmp_path: Path) -> None:
        path = write_images(tmp_path / "job.yaml", data={"source": "hf://uoft-cs/cifar10", "inputs": ["img"]})
        assert "data.label: found 'img'; it is among data.inputs" in refusal(path, "data.label=img")


class TestFieldsOfTheOtherKind:
    """What means nothing to the task is refused, whatever its value: it is no silent wish."""

    def test_of_images_with_texts(self, tmp_path: Path) -> None:
        values = {"pixel_gib": 64.0, "crop_scale": 0.8, "flip": 0.5, "color_jitter": 0.1, "mixup": "much"}
        path = write(tmp_path / "job.yaml", training=values, data={**JOB["data"], "max_pixels": 100})
        fields = ["data.max_pixels", *(f"training.{name}" for name in values)]
        self.check(refusal(path), fields, "text-classification")

    def test_of_texts_with_images(self, tmp_path: Path) -> None:
        data = {"source": "data", "max_characters": 100}
        path = write_images(tmp_path / "job.yaml", data=data, training={"max_length": 128})
        self.check(refusal(path), ["data.max_characters", "training.max_length"], "image-classification")

    def check(self, message: str, fields: list[str], task: str) -> None:
        first, *lines = message.splitlines()
        assert first.endswith("a fault:" if len(fields) == 1 else f" has {len(fields)} faults:")
        assert sorted(line.strip().partition(":")[0] for line in lines) == sorted(fields)
        assert all(line.endswith(f"it has no effect with {task}: remove it") for line in lines)


def test_faults_of_an_image_job_do_not_hide_each_other(tmp_path: Path) -> None:
    """Each of them is told, those of one section that fit to none of another, too."""
    path = write_images(
        tmp_path / "job.yaml",
        data={"source": "data", "inputs": ["a", "b"], "validation_fraction": 0.95, "max_characters": 3},
        backbone="random:timm/resnet10t",
        backbone_args={"img_size": None},
        strategy=["probe", "ful"],
        training={"epochs": -1, "max_length": 64, "flip": 2, "crop": 1},
        evaluation={"transfer_check": True, "learning_curve": [8, 4], "learning_curv": [8]},
    )
    faulty = [line.strip().partition(":")[0] for line in refusal(path).splitlines()[1:]]
    assert sorted(faulty) == [
        "backbone_args",
        "data.inputs",
        "data.max_characters",
        "data.test_fraction",
        "evaluation.learning_curv",
        "evaluation.learning_curve",
        "evaluation.transfer_check",
        "strategy",
        "training.crop",
        "training.epochs",
        "training.flip",
        "training.max_length",
    ]


def test_a_scientific_number_without_a_point_is_a_number(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(write(path).read_text() + "training: {learning_rate: 5e-4}\n")
    assert load_job(path).training.learning_rate == 5e-4


def test_fields_can_be_set_on_top(tmp_path: Path) -> None:
    path = write(tmp_path / "job.yaml")
    job = load_job(path, ["training.epochs=7", "data.inputs=[a, b]", "model=other"])
    assert (job.training.epochs, job.data.inputs, job.model) == (7, ["a", "b"], "other")
    assert "training.epoch: there is no such field" in refusal(path, "training.epoch=1")
    assert "FIELD=VALUE was expected" in refusal(path, "training.epochs")


def test_a_list_of_label_columns_travels_as_one_text(tmp_path: Path) -> None:
    path = write(tmp_path / "job.yaml", data={**DATA, "label": ["rude", "toxic"]})
    assert "data.label: found ['rude', 'toxic']; text-classification takes one column, not several" in refusal(path)
    path = write(tmp_path / "job.yaml", data={**DATA, "label": ["rude"]})
    assert load_job(path).arguments()["label"] == "rude"
    path = write(tmp_path / "job.yaml", data={**DATA, "label": ["rude", DATA["inputs"][0]]})
    assert "the model would see the answer" in refusal(path)


def test_task_args_are_options_of_the_task(tmp_path: Path) -> None:
    told = refusal(write(tmp_path / "job.yaml", task_args={"delimiter": "|"}))
    assert "text-classification has no option 'delimiter' (task_args); it has none." in told
    assert load_job(write(tmp_path / "job.yaml", task_args={})).arguments()["task_args"] == {}


def test_files_that_are_no_jobs(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    assert "There is no job file" in refusal(path)
    path.write_text("model: [")
    assert "is no valid YAML" in refusal(path)
    path.write_text("model: a\nmodel: b\n")
    assert "the field 'model' is given twice" in refusal(path)
    path.write_text("- a list")
    assert "holds no job" in refusal(path)
    path.write_text("model: !!python/object/apply:os.system [true]")
    assert "is no valid YAML" in refusal(path)


@pytest.mark.parametrize("write_job", [write, write_images])
def test_every_field_of_a_job_is_a_parameter_of_the_pipeline_with_the_same_default(
    tmp_path: Path, write_job: Callable[[Path], Path]
) -> None:
    arguments = load_job(write_job(tmp_path / "job.yaml")).arguments()
    parameters = inspect.signature(finetune_pipeline.pipeline_func).parameters
    assert set(arguments) == set(parameters)
    for name, parameter in parameters.items():
        if parameter.default is not inspect.Parameter.empty and name not in ("task", "inputs", "label"):
            assert arguments[name] == parameter.default, name
