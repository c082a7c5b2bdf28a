import pytest

from components.shared.redaction import in_short, redact


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("GET https://ada:secret@mlflow.example.com/a and postgresql://bob:p@host/db failed",
         "GET https://***@mlflow.example.com/a and postgresql://***@host/db failed"),
        ("http://user:SE/CR3T@127.0.0.1:9 is away", "http://***@127.0.0.1:9 is away"),
        ("'http://user:SE@CR3T@host/a'", "'http://***@host/a'"),
        ("https://h/x?token=T0KEN&page=2", "https://h/x?token=***&page=2"),
        ("https://b.s3/k?X-Amz-Credential=AK%2F1&X-Amz-Signature=abc&x=1",
         "https://b.s3/k?X-Amz-Credential=***&X-Amz-Signature=***&x=1"),
        ("https://acc.blob/x?sv=1&sig=abc%3D&se=2", "https://acc.blob/x?sv=1&sig=***&se=2"),
        ("Authorization: Bearer abcdefgh12345678", "Authorization: Bearer ***"),
        ("key AKIAABCDEFGHIJKLMNOP is not known", "key *** is not known"),
        ("hub says hf_abcdefghijklmnopqrstuvwx is stale", "hub says *** is stale"),
        ("http://host:5000/a?page=2 and ada@example.com", "http://host:5000/a?page=2 and ada@example.com"),
    ],
)  # fmt: skip
def test_what_is_secret_is_not_told(given: str, told: str) -> None:
    assert redact(given) == told


def test_what_the_environment_keeps_secret_is_hidden_wherever_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "sEcr3t/with+signs")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ada:pass word/1@mlflow.example.com")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false-but-long")
    assert redact("sEcr3t/with+signs is refused") == "*** is refused"
    assert redact("no http://ada:pass word/1@mlflow.example.com") == "no http://***@mlflow.example.com"
    assert redact("it was pass word/1") == "it was ***"
    assert redact("false-but-long") == "false-but-long"


def test_in_short_it_is_one_line_of_bounded_length() -> None:
    assert in_short("one\n  two\x1b[0m") == "one two [0m"
    assert len(in_short("x" * 9999)) == 500
    assert in_short("x" * 9999).endswith("x…")
