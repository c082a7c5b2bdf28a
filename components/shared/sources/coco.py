"""COCO: images, annotations and categories in three lists of one JSON file, which are joined by their numbers.

Of an object detection set the class of an image (`label`) is that of its objects, where they are all of one class, and
all that is on it are its `labels`: none, where somebody looked and found nothing.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from components.shared.sources.pieces import JsonText

_LISTS = re.compile(r'"(images|annotations)"\s*:\s*\[\s*\{')
_KEYS = re.compile(r'"(image_id|file_name)"\s*:')


def is_coco(head: str) -> bool:
    """Tells whether a JSON file begins as COCO's do."""
    return head.lstrip().startswith("{") and bool(_LISTS.search(head)) and bool(_KEYS.search(head))


def labels_of(text: JsonText) -> Mapping[Any, list[str]] | None:
    """Returns the names of the classes of what is on each image, by its number; None where there are captions alone.

    Args:
        text: The file.

    Raises:
        ValueError: It is damaged.
    """
    names: dict[Any, str] = {}
    classes_are_told = False
    classes: dict[Any, tuple[Any, ...]] = {}
    for key, rows in _lists(text, ("annotations", "categories")):
        for row in rows:
            classes_are_told = classes_are_told or "category_id" in row or key == "categories"
            if key == "categories":
                names[row.get("id")] = str(row.get("name", row.get("id")))
            elif (number := row.get("category_id")) is not None and number not in (
                known := classes.get(row.get("image_id"), ())
            ):
                classes[row.get("image_id")] = (*known, number)
    if not classes_are_told:
        return None
    return {image: [names.get(number, str(number)) for number in numbers] for image, numbers in classes.items()}


def coco_rows(text: JsonText, labels: Mapping[Any, list[str]] | None) -> Iterator[dict[str, Any]]:
    """Yields the images, each with its `label` (several are a list; None where nothing was annotated) and `labels`.

    Raises:
        ValueError: The file is damaged.
    """
    for _, rows in _lists(text, ("images",)):
        for row in rows:
            found = (labels or {}).get(row.get("id"), [])
            one = (found[0] if len(found) == 1 else found) or None
            yield {**row, "label": one, "labels": None if labels is None else found}


def _lists(text: JsonText, names: tuple[str, ...]) -> Iterator[tuple[str, Iterator[dict[str, Any]]]]:
    for key in text.members() if text.peek() == "{" else ():
        if key in names and text.peek() == "[":
            yield key, (row for row in text.array() if isinstance(row, dict))
        elif text.peek() == "[":
            for _ in text.array():
                pass
        else:
            text.value()
