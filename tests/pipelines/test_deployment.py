from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

from components.notify.template import DEFAULT
from components.shared.errors import InputError
from pipelines.cluster.deployment import load_deployment
from pipelines.cluster.kubernetes_fields import cores, size_in_bytes
from pipelines.cluster.steps import AcceleratedStep, UncachedStep

DIGEST = "@sha256:" + 64 * "a"

DEPLOYMENT: dict[str, Any] = {
    "kubeflow": {"endpoint": "https://kubeflow.example.com/pipeline"},
    "images": {"light": f"registry.example.com/light{DIGEST}", "trainer": f"registry.example.com/trainer{DIGEST}"},
    "pipeline_root": "s3://bucket/graft",
    "mlflow": "https://mlflow.example.com",
}


def write(path: Path, **changes: Any) -> Path:
    path.write_text(yaml.safe_dump({**DEPLOYMENT, **changes}))
    return path


def refusal(folder: Path, **changes: Any) -> list[str]:
    """Returns the faults of a deployment file."""
    path = write(folder / "deployment.yaml", **changes)
    with pytest.raises(InputError) as caught:
        load_deployment(path)
    first, *faults = str(caught.value).splitlines()
    assert first == f"{path} has {'a fault' if len(faults) == 1 else f'{len(faults)} faults'}:"
    return [fault.removeprefix("  ") for fault in faults]


def test_a_short_one_has_a_default_for_all_the_rest(tmp_path: Path) -> None:
    deployment = load_deployment(write(tmp_path / "deployment.yaml"))
    assert (deployment.kubeflow.namespace, deployment.kubeflow.experiment) == (None, "graft")
    assert (deployment.images.pull_policy, deployment.security.run_as_non_root) == ("IfNotPresent", True)
    assert deployment.steps.of("finetune") == AcceleratedStep()
    assert deployment.notify is None
    assert deployment.warnings() == []


def test_all_faults_are_told_at_once_with_path_found_expected_and_nearest(tmp_path: Path) -> None:
    told = refusal(
        tmp_path,
        kubeflow={"endpoint": "kubeflow.example.com", "namespace": "Team A", "token": "abc"},
        images={"light": "light@sha256:abc", "trainer": "registry:5000/a/b:1.0", "pull_policy": "IfNotPresnt"},
        pipeline_root="/data",
        labels={"team": "a b"},
        security={"run_as_user": 0},
        steps={
            "all": {"accelerator": {"type": "nvidia.com/gpu"}, "timeout": 0},
            "ingest": {"cache": True},
            "finetune": {
                "requests": {"cpu": "two", "memory": "16"},
                "accelerator": {"type": "gpu", "cuont": 1},
                "tolerations": [{"key": "gpu"}, {"key": "gpu", "operator": "Exist"}, {"effect": "NoSchedule"}],
                "affinity": [{"key": "gpu", "operator": "In"}, {"key": "gpu", "operator": "Gt", "values": ["1", "2"]}],
            },
            "finetun": {},
        },
    )
    assert sorted(told) == [
        "images.light: found 'light@sha256:abc'; an image, such as "
        "registry.example.com/graft/light-python@sha256:DIGEST of 64 hexadecimal digits, was expected",
        "images.pull_policy: found 'IfNotPresnt'; allowed: 'Always', 'IfNotPresent', 'Never'. Did you mean "
        "'IfNotPresent'?",
        "kubeflow.endpoint: found 'kubeflow.example.com'; an address, https://…, was expected",
        "kubeflow.namespace: found 'Team A'; a Kubernetes name (a-z, 0-9, -, .) was expected",
        "kubeflow.token: there is no such field; allowed: 'endpoint', 'namespace', 'service_account', 'experiment', "
        "'timezone'.",
        "labels.team: found 'a b'; a label's value (letters, digits, -, _, .; at most 63) was expected",
        "pipeline_root: found '/data'; a place in object storage, s3://BUCKET/…, was expected",
        "security.run_as_non_root: found True; run_as_user is 0, which is root",
        "steps.all.accelerator: there is no such field; allowed: 'requests', 'limits', 'node_selector', 'affinity', "
        "'tolerations', 'shared_memory', 'scratch', 'timeout', 'retries', 'backoff', 'cache'.",
        "steps.all.timeout: found 0; input should be greater than or equal to 1",
        "steps.finetun: there is no such field; allowed: 'all', 'detect', 'ingest', 'transform', 'finetune', "
        "'evaluate', 'register', 'promote', 'notify'. Did you mean 'finetune'?",
        "steps.finetune.accelerator.cuont: there is no such field; allowed: 'type', 'count'. Did you mean 'count'?",
        "steps.finetune.accelerator.type: found 'gpu'; a resource of the cluster's device plugin, such as "
        "nvidia.com/gpu, was expected",
        "steps.finetune.affinity.0.values: found []; operator In takes at least one",
        "steps.finetune.affinity.1.values: found ['1', '2']; operator Gt takes one",
        "steps.finetune.requests.cpu: found 'two'; a number of cores, such as 4, 0.5 or 500m, was expected",
        "steps.finetune.requests.memory: found '16'; a whole number with a unit, such as 16Gi or 500M, was expected",
        "steps.finetune.tolerations.1.operator: found 'Exist'; allowed: 'Equal', 'Exists'. Did you mean 'Exists'?",
        "steps.finetune.tolerations.2.value: found None; a key was expected, or operator: Exists, which tolerates "
        "every taint",
        "steps.ingest.cache: found True; this step is never cached: its result depends on more than its parameters",
    ]


class TestSecrets:
    """None gets into a compiled pipeline, and none into a message."""

    @pytest.mark.parametrize(
        "name",
        ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "MLFLOW_TRACKING_PASSWORD", "api_key", "MY_SECRET"],
    )
    def test_a_name_that_looks_like_one_is_refused_with_the_mend(self, tmp_path: Path, name: str) -> None:
        told = refusal(tmp_path, environment={name: "hush-hush"})
        assert told == [
            f"environment.{name}: it looks like a secret, and all who see the pipeline could read it. Put it into a "
            f"Kubernetes secret, and write secrets: {{{name}: {{secret: NAME-OF-THAT-SECRET, key: ITS-KEY}}}} instead"
        ]

    @pytest.mark.parametrize(
        "value",
        [
            "AKIAIOSFODNN7EXAMPLE",
            "https://user:hush@proxy.example.com",
            "hf_" + 34 * "x",
            "ghp_" + 36 * "x",
            "-----BEGIN PRIVATE KEY-----",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
        ],
    )
    def test_so_is_such_a_value_under_any_name(self, tmp_path: Path, value: str) -> None:
        (told,) = refusal(tmp_path, environment={"PLAIN": value})
        assert told.startswith("environment.PLAIN: it looks as if it held a secret")
        assert value not in told

    def test_others_are_taken(self, tmp_path: Path) -> None:
        plain = {
            "AWS_ENDPOINT_URL_S3": "https://minio.example.com:9000",
            "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/secrets/token",
            "TOKENIZERS_PARALLELISM": "false",
            "MAX_TOKENS": "100",
        }
        assert load_deployment(write(tmp_path / "deployment.yaml", environment=plain)).environment == plain

    @pytest.mark.parametrize(
        ("changes", "paths"),
        [
            ({"secrets": {"HF_TOKEN": "hush"}}, ["secrets.HF_TOKEN"]),
            ({"secrets": {"HF_TOKEN": {"secret": "Hush", "key": "hush hush"}}},
             ["secrets.HF_TOKEN.secret", "secrets.HF_TOKEN.key"]),
            ({"secrets": "hush"}, ["secrets"]),
            ({"environment": ["HF_TOKEN=hush"]}, ["environment"]),
            ({"environment": {"HF_TOKEN": ["hush"]}}, ["environment.HF_TOKEN", "environment.HF_TOKEN"]),
            ({"mlflow": "https://user:hush@mlflow.example.com"}, ["mlflow"]),
            ({"mlflow": "mlflow://user:hush@mlflow.example.com"}, ["mlflow"]),
            ({"kubeflow": {"endpoint": "https://user:hush@example.com"}}, ["kubeflow.endpoint"]),
            ({"kubeflow": {"endpoint": "https://example.com", "token": "hush"}}, ["kubeflow.token"]),
            ({"notify": {"url": "https://hooks.example.com/hush"}}, ["notify.url"]),
            ({"notify": {"url": {"secret": "Hush", "key": "hush hush"}}}, ["notify.url.secret", "notify.url.key"]),
            ({"notify": "https://hooks.example.com/hush"}, ["notify"]),
            ({"environment": {"GRAFT_NOTIFY_URL": "https://hooks.example.com/hush"}}, ["environment.GRAFT_NOTIFY_URL"]),
        ],
    )  # fmt: skip
    def test_no_message_shows_one(self, tmp_path: Path, changes: dict[str, Any], paths: list[str]) -> None:
        told = refusal(tmp_path, **changes)
        assert [line.partition(": ")[0] for line in told] == paths
        assert "hush" not in " ".join(told).lower()

    def test_a_variable_is_given_once(self, tmp_path: Path) -> None:
        source = {"secret": "s3", "key": "k"}
        told = refusal(
            tmp_path,
            environment={"REGION": "a", "MLFLOW_TRACKING_URI": "http://mlflow"},
            secrets={"REGION": source, "TMPDIR": source},
        )
        assert told == [
            "environment.MLFLOW_TRACKING_URI: it is set by the field mlflow",
            "secrets.REGION: it is given in environment, too: remove one of the two",
            "secrets.TMPDIR: it is set by the field scratch of the step",
        ]


class TestNotify:
    URL: ClassVar[dict[str, str]] = {"secret": "chat", "key": "webhook"}

    def test_the_address_is_in_a_secret_and_the_rest_has_defaults(self, tmp_path: Path) -> None:
        notify = load_deployment(write(tmp_path / "deployment.yaml", notify={"url": self.URL})).notify
        assert notify is not None
        assert notify.url.model_dump() == self.URL
        assert (notify.events, notify.template) == (["promotion", "refusal", "failure"], DEFAULT)

    def test_an_address_in_the_file_is_refused_with_the_mend(self, tmp_path: Path) -> None:
        assert refusal(tmp_path, notify={"url": "https://hooks.example.com/T0"}) == [
            "notify.url: whoever sees the address may post there. Put it into a Kubernetes secret, and write url: "
            "{secret: NAME-OF-THAT-SECRET, key: ITS-KEY}"
        ]

    def test_all_faults_are_told_at_once(self, tmp_path: Path) -> None:
        template = {"text": "$modle at $5", "blocks": [{"text": "{{x}}"}, "https://user:hush@example.com", "$page"]}
        told = refusal(tmp_path, notify={"template": template, "events": ["promotion", "refusals"], "on": []})
        assert [line.partition(": ")[0] for line in told] == [
            "notify.url", "notify.events.1", "notify.template", "notify.on",
        ]  # fmt: skip
        assert told[1].endswith("allowed: 'promotion', 'refusal', 'failure'. Did you mean 'refusal'?")
        for fault in (
            "text: a $ stands alone; write $$",
            "text: there is no placeholder $modle; there are $sentence, $model, ",
            "Did you mean 'model'?",
            "blocks.0.text: '{{' means something to Kubeflow",
            "blocks.1: it looks as if it held a secret",
        ):
            assert fault in told[2]
        assert "hush" not in told[2]

    @pytest.mark.parametrize("changes", [{"events": []}, {"template": {"when": None}}, {"template": "text"}])
    def test_other_kinds_of_values(self, tmp_path: Path, changes: dict[str, Any]) -> None:
        (told,) = refusal(tmp_path, notify={"url": self.URL, **changes})
        assert told.startswith(f"notify.{next(iter(changes))}: ")

    def test_its_variable_is_set_by_it_alone(self, tmp_path: Path) -> None:
        told = refusal(tmp_path, secrets={"GRAFT_NOTIFY_URL": self.URL})
        assert told == ["secrets.GRAFT_NOTIFY_URL: it is set by the field notify.url"]


class TestSteps:
    def test_a_step_has_its_own_before_those_of_all(self, tmp_path: Path) -> None:
        steps = {
            "all": {
                "requests": {"cpu": 1, "memory": "2Gi"},
                "timeout": 60,
                "retries": 2,
                "node_selector": {"pool": "a"},
            },
            "finetune": {"requests": {"cpu": 4}, "timeout": 600, "node_selector": {"gpu": "yes"}},
        }
        deployment = load_deployment(write(tmp_path / "deployment.yaml", steps=steps))
        finetune, transform = (deployment.steps.of(name) for name in ("finetune", "transform"))
        assert (finetune.requests.cpu, finetune.requests.memory) == ("4", "2Gi")
        assert (finetune.timeout, finetune.retries, finetune.node_selector) == (600, 2, {"gpu": "yes"})
        assert (transform.requests.cpu, transform.timeout, transform.node_selector) == ("1", 60, {"pool": "a"})

    def test_the_limit_of_all_does_not_hold_down_a_step_that_requests_more(self, tmp_path: Path) -> None:
        steps = {"all": {"limits": {"memory": "4Gi", "cpu": "8"}}, "finetune": {"requests": {"memory": "16Gi"}}}
        finetune = load_deployment(write(tmp_path / "deployment.yaml", steps=steps)).steps.of("finetune")
        assert finetune.requests.model_dump() == {"cpu": None, "memory": "16Gi"}
        assert finetune.limits.model_dump() == {"cpu": "8", "memory": None}

    def test_caching_all_leaves_those_out_that_never_are(self, tmp_path: Path) -> None:
        steps = load_deployment(write(tmp_path / "deployment.yaml", steps={"all": {"cache": True}})).steps
        cached = {name for name in type(steps).model_fields if name != "all" and steps.of(name).cache}
        assert cached == {"transform", "finetune"}
        assert isinstance(steps.evaluate, AcceleratedStep)
        assert isinstance(steps.of("evaluate"), UncachedStep)

    @pytest.mark.parametrize(
        ("step", "message"),
        [
            ({"requests": {"memory": "4Gi"}, "limits": {"memory": "4G"}},
             "limits: memory 4G is less than the 4Gi of requests"),
            ({"requests": {"cpu": 2}, "limits": {"cpu": "1500m"}}, "limits: cpu 1500m is less than the 2 of requests"),
            ({"tolerations": [{"key": "gpu", "operator": "Exists", "value": "yes"}]},
             "tolerations.0.value: found 'yes'; operator Exists takes no value"),
        ],
    )  # fmt: skip
    def test_what_kubernetes_would_refuse_later(self, tmp_path: Path, step: dict[str, Any], message: str) -> None:
        assert refusal(tmp_path, steps={"finetune": step}) == [f"steps.finetune.{message}"]

    def test_shared_memory_is_memory(self, tmp_path: Path) -> None:
        message = "steps.finetune: shared_memory 8Gi counts as memory: less than its limit, 8Gi, was expected"
        limits = {"limits": {"memory": "8Gi"}}
        assert refusal(tmp_path, steps={"finetune": {**limits, "shared_memory": "8Gi"}}) == [message]
        assert refusal(tmp_path, steps={"all": limits, "finetune": {"shared_memory": "8Gi"}}) == [message]
        larger = {"shared_memory": "8Gi", "requests": {"memory": "16Gi"}}  # the limit of all counts no more
        load_deployment(write(tmp_path / "deployment.yaml", steps={"all": limits, "finetune": larger}))


def test_quantities() -> None:
    assert [cores(cpu) for cpu in ("2", "0.5", "500m", ".25")] == [2, 0.5, 0.5, 0.25]
    assert [size_in_bytes(size) for size in ("1K", "1Ki", "3G", "2Gi")] == [1000, 1024, 3 * 10**9, 2 << 30]


def test_an_image_without_a_digest_is_worth_a_warning(tmp_path: Path) -> None:
    images = {**DEPLOYMENT["images"], "trainer": "registry.example.com/trainer:1.0"}
    (warning,) = load_deployment(write(tmp_path / "deployment.yaml", images=images)).warnings()
    assert warning.startswith("images.trainer is 'registry.example.com/trainer:1.0', without a digest")


def test_files_that_are_no_deployments(tmp_path: Path) -> None:
    path = tmp_path / "deployment.yaml"
    with pytest.raises(InputError, match="There is no deployment file"):
        load_deployment(path)
    path.write_text("- a list")
    with pytest.raises(InputError, match="holds no deployment: fields were expected, the first of them 'kubeflow'"):
        load_deployment(path)
    path.write_text("mlflow: a\nmlflow: b\n")
    with pytest.raises(InputError, match="the field 'mlflow' is given twice"):
        load_deployment(path)
