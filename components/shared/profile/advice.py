"""What somebody should know before training on the data, each with what to write in the job to mend it."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from components.shared import tasks
from components.shared.errors import quote_all
from components.shared.sources.labels import joined
from components.shared.tasks.strata import NONE

_FEW = 200  # examples
_FLOOR = 5  # training examples of a class
_FAR_APART = 20  # times as many examples
_CUT = 0.05  # of the texts
_REJECTS = 0.01  # data.max_rejects
_LABEL_IN_TEXT = 0.3
_TEST_PART = 0.1


def warnings_of(profile: Mapping[str, Any]) -> list[dict[str, str]]:
    """Returns the warnings of a profile, the gravest first: `level` ("problem", "hint"), `what`, `mend`."""
    checks = (_classes, _variants, _rare, _faults, _repeated, _leaking, _lengths, _pictures, _balance, _few, _scripts)
    found = [warning for check in checks for warning in check(profile)]
    return sorted(found, key=lambda warning: warning["level"] != "problem")


def variants_of(labels: list[str]) -> list[list[str]]:
    """Returns groups of labels that differ in case, blanks or Unicode form alone."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for label in labels:
        key = unicodedata.normalize("NFKC", label).casefold()
        groups["".join(letter for letter in key if letter.isalnum()) or key].append(label)
    return [sorted(group) for group in groups.values() if len(group) > 1]


def _problem(what: str, mend: str) -> dict[str, str]:
    return {"level": "problem", "what": what, "mend": mend}


def _hint(what: str, mend: str) -> dict[str, str]:
    return {"level": "hint", "what": what, "mend": mend}


def _total(profile: Mapping[str, Any]) -> int:
    return int(sum(profile["splits"].values()))


def _kinds(profile: Mapping[str, Any]) -> str:
    """Returns what the answers are called: "classes", "labels"."""
    return tasks.get(profile["task"], profile.get("task_args")).target.kinds[1]


def _of_several(profile: Mapping[str, Any]) -> str:
    """Returns the task of such inputs that takes several labels."""
    kind = tasks.get(profile["task"]).input_type
    found = [name for name in tasks.names() if (task := tasks.get(name)).target.several and task.input_type == kind]
    return " or ".join(found)


def _classes(profile: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    count, total = profile["class_count"], _total(profile)
    if count < 2 and profile["exclusive"]:
        yield _problem(f"There is {count or 'no'} class in {profile['label']!r}.", "data.label: a column of classes")
    elif total > 20 and count > total / 3:
        yield _problem(
            f"{profile['label']!r} has {count:,} {_kinds(profile)} for {total:,} examples: it may be an id, or free "
            "text.",
            "data.label: a column of classes",
        )
    several, joint = joined({label: sum(counts.values()) for label, counts in profile["classes"]})
    if several and profile["exclusive"]:
        yield _problem(
            f"{len(several):,} labels are several in one cell, such as {quote_all(several, 3)}: {profile['task']} "
            "takes one for each example.",
            f'task: {_of_several(profile)}, task_args: {{delimiter: "{joint}"}}; or keep the one that matters in a '
            "column of its own",
        )
    given = {split for split in profile["splits"] if split}
    if given and "train" not in given and "" not in profile["splits"]:
        yield _problem(
            f"The given splits are {quote_all(sorted(given))}: none is for training.", "data.splits: {test: train}, say"
        )


def _variants(profile: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    groups = variants_of([label for label, _ in profile["classes"]])
    if groups:
        shown = "; ".join(" and ".join(map(repr, group)) for group in groups[:5])
        yield _problem(
            f"{_kinds(profile).capitalize()} differ in nothing but case, blanks or punctuation: {shown}.",
            "data.normalize_labels: true, if they are one",
        )


def _rare(profile: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    part = 1.0 if "train" in profile["splits"] else 1 - 2 * _TEST_PART
    counts = {label: counts.get("train", part * counts.get("", 0)) for label, counts in profile["classes"]}
    rare = sorted(
        (label for label in counts if counts[label] < _FLOOR and label != NONE),
        key=lambda label: (counts[label], label),
    )
    if rare and len(counts) > 1:
        sizes = dict(profile["classes"])
        shown = ", ".join(f"{label!r} ({sum(sizes[label].values())})" for label in rare[:6])
        more = f", and {len(rare) - 6} more" if len(rare) > 6 else ""
        yield _problem(
            f"{len(rare)} of {profile['class_count']:,} {_kinds(profile)} have fewer than {_FLOOR} training examples: "
            f"{shown}{more}.",
            "label more of them, or data.rare_classes: drop, or merge (into 'other')",
        )


def _faults(profile: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    count, read = sum(number for number, _ in profile["faults"].values()), profile["read"]
    again = profile["duplicates"]["contradictions"]
    if count:
        kinds = ", ".join(f"{number:,} {kind} (first: {place})" for kind, (number, place) in profile["faults"].items())
        told = f"{count:,} of {read:,} rows cannot be used: {kinds}."
        if set(profile["faults"]) == {"missing label"}:
            yield _hint(told, "label them, or data.unlabelled: hold, which sets them aside")
        elif count > _REJECTS * read:
            share = min(1.0, round(1.2 * count / read + 0.005, 2))
            yield _problem(told, f"mend the rows, or data.max_rejects: {share:g}")
        else:
            yield _hint(told, "nothing: they are set aside")
    if again:
        told = f"{again:,} inputs stand there again with another label: all of their rows are set aside."
        if 2 * again > _REJECTS * read:
            yield _problem(
                told, f"correct the labels, or data.max_rejects: {min(1.0, round(2.4 * again / read + 0.01, 2)):g}"
            )
        else:
            yield _hint(told, "correct the labels, if they matter")


def _repeated(profile: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    told = profile["duplicates"]
    if told["leaks"]:
        yield _problem(
            f"{told['leaks']:,} inputs stand in more than one of the given splits: a model that knows them by heart "
            "looks better than it is.",
            "nothing, if they are few: all but one are set aside (test before validation before train)",
        )
    if told["near_leaks"]:
        one = told["near_examples"][0] if told["near_examples"] else None
        shown = f", such as {one[1][:60]!r} in {one[0]} and {one[3][:60]!r} in {one[2]}" if one else ""
        yield _problem(
            f"{told['near_leaks']:,} inputs have a near-duplicate in another split{shown}.",
            "make the splits anew (files without train or test in their names): what is alike stays together",
        )
    if told["exact"] > 0.05 * profile["read"]:
        what = f"{told['exact']:,} of {profile['read']:,} rows are exact duplicates."
        yield _hint(what, "nothing: one of each is kept")


def _leaking(profile: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    for odd in profile["odd"]:
        if odd["input"] and odd["kind"] in ("leak", "id", "constant"):
            yield _problem(f"The input {odd['column']!r} is odd: {odd['what']}.", "data.inputs: without it")
        elif odd["kind"] == "leak":
            yield _hint(
                f"Of {odd['column']!r}, {odd['what']}.", f"nothing, as long as data.inputs leaves {odd['column']!r} out"
            )
        elif odd["kind"] == "split":
            yield _hint(
                f"The column {odd['column']!r} names splits, which is not looked at.",
                "write a file for each split (train.csv, test.csv), if these splits are to be kept",
            )
    if (share := profile.get("label_in_text", 0.0)) > _LABEL_IN_TEXT:
        yield _problem(
            f"{share:.0%} of the texts hold the name of their own class: the answer may stand in the question.",
            "take it out of the text, if it is not there when the model is used",
        )


def _lengths(profile: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    told = profile.get("lengths")
    if not told or told["cut"] <= _CUT:
        return
    lost = f"; {told['lost']:.0%} of all tokens are lost by it" if told["lost"] >= 0.005 else ""
    what = f"{told['cut']:.0%} of the texts are longer than {told['max_length']} tokens, and cut there{lost}."
    wanted = _round_up(told["p95"])
    if told["limit"] > told["max_length"]:
        mend = (
            f"training.max_length: {min(told['limit'], wanted)} (the backbone takes {told['limit']}); it takes longer"
        )
    elif told["limit"] or wanted <= told["max_length"]:
        mend = (
            "a backbone that takes more (answerdotai/ModernBERT-base: 8,192), if what matters stands late in the text"
        )
    else:
        mend = f"training.max_length: {wanted}, and a backbone that takes so many (answerdotai/ModernBERT-base: 8,192)"
    yield _hint(what, mend)


def _round_up(length: int) -> int:
    return next(edge for edge in (64, 128, 256, 512, 1024, 2048, 4096, 1 << 30) if edge >= length)


def _pictures(profile: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    told = profile.get("pictures")
    if not told:
        return
    if told["telling"]:
        names = " and ".join(told["telling"])
        yield _problem(
            f"The {names} of a picture tells its class: a model can learn that instead of what is to be seen.",
            f"bring all classes to the same {names} before you train",
        )
    if 0 < told["short_side"]["median"] < 48:
        yield _hint(
            f"Half of the pictures have at most {told['short_side']['median']} pixels a side; they are blown up to "
            "what the backbone takes.",
            "backbone_args: {img_size: …}, where the backbone can be built for less",
        )


def _balance(profile: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    sizes = [(label, sum(counts.values())) for label, counts in profile["classes"]]
    if len(sizes) < 2 or sizes[0][1] < _FAR_APART * max(sizes[-1][1], 1):
        return
    share, metrics = sizes[0][1] / max(_total(profile), 1), tasks.get(profile["task"]).metrics
    even = next((metric for metric in metrics if metric.decides and metric.hits and not metric.proportion), None)
    if not metrics[0].proportion or even is None:
        return
    yield _hint(
        f"{sizes[0][0]!r} has {sizes[0][1]:,} examples ({share:.0%}), {sizes[-1][0]!r} {sizes[-1][1]:,}: "
        f"{metrics[0].title} hides how the small classes do.",
        f"promotion: {{metric: {even.name}}}",
    )


def _few(profile: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    if (total := _total(profile)) < _FEW:
        yield _hint(
            f"{total:,} examples are few: a test of {round(_TEST_PART * total)} tells little.",
            "label more, or data.test_fraction: 0.3",
        )


def _scripts(profile: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    scripts = profile.get("scripts") or {}
    other = sum(share for script, share in scripts.items() if script != "Latin")
    if other > 0.1:
        names = ", ".join(f"{script} {share:.0%}" for script, share in scripts.items() if share >= 0.01)
        yield _hint(
            f"The texts are written in {names}.",
            "a multilingual backbone, such as intfloat/multilingual-e5-small",
        )
