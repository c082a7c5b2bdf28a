"""SQuAD's JSON, versions 1 and 2: articles with paragraphs with questions, as a row a question."""

from collections.abc import Iterator, Mapping
from typing import Any


def rows_of_article(value: Any) -> Iterator[Any]:
    """Yields the questions of an article, or of a paragraph alone; what is neither is a row as it is.

    Columns: `id`, `title`, `question`, `context`, and `answers` as Hugging Face's datasets have them: a mapping of
    `text` and `answer_start`, both lists. They are empty where a question is impossible, and None where nobody has
    answered.
    """
    if not isinstance(value, Mapping):
        yield value
        return
    alone = isinstance(value.get("qas"), list) and "context" in value  # as simpletransformers has them
    paragraphs = [value] if alone else value.get("paragraphs")
    if not isinstance(paragraphs, list):
        yield value
        return
    for paragraph in paragraphs:
        if not isinstance(paragraph, Mapping) or not isinstance(paragraph.get("qas"), list):
            yield paragraph
            continue
        for question in paragraph["qas"]:
            told = question if isinstance(question, Mapping) else {}
            yield {
                "id": told.get("id"),
                "title": value.get("title"),
                "question": told.get("question"),
                "context": paragraph.get("context"),
                "answers": _answers(told),
            }


def _answers(question: Mapping[str, Any]) -> dict[str, list[Any]] | None:
    if question.get("is_impossible"):
        return {"text": [], "answer_start": []}
    answers = question.get("answers")
    if isinstance(answer := question.get("answer"), str) and answers is None:
        answers = [{"text": answer}]
    if not isinstance(answers, list):
        return None
    told = [one for one in answers if isinstance(one, Mapping)]
    return {name: [one.get(name) for one in told] for name in ("text", "answer_start")}
