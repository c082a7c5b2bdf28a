"""`python -m components.ingest`: labelled data into a snapshot."""

from components.ingest.ingest import IngestSettings, ingest
from components.shared.process.step import command

command(ingest, IngestSettings, {"snapshot": "folder to write the snapshot to"}, doc=__doc__)
