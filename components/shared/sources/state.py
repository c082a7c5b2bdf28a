"""What changes whenever the data does that a source names: names, sizes and stamps of files, a dataset's commit."""

import hashlib
import json

from components.shared.artifacts.resume import told_data
from components.shared.sources.hub import PREFIX, revision
from components.shared.sources.listing import list_source
from components.shared.sources.sql import is_sql


def state_of(source: str) -> str:
    """Returns what stands for the state of a source's data; of a query, nobody can say.

    Raises:
        InputError: There is no such source.
        ServiceError: The store did not answer.
    """
    if is_sql(source):
        return told_data("")
    if source.startswith(PREFIX):
        return told_data(revision(source))
    told = [(file.name, file.size, file.stamp) for file in list_source(source)]
    return told_data(hashlib.sha256(json.dumps(told).encode("utf-8", "surrogateescape")).hexdigest())
