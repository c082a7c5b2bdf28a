"""Formats that are not read: what to do instead."""

from collections.abc import Sequence

from components.shared.storage.storage import File

_SAVE = "Save it as .xlsx or CSV"
_UNPACK = "Unpack it"
_PARQUET = "Convert it to Parquet"
_INSTEAD = {
    ".xls": _SAVE, ".ods": _SAVE, ".numbers": _SAVE, ".xlsb": _SAVE, ".gsheet": "Download it as CSV",
    ".db": "Name it as a database: data.source: sqlite:///PATH, and data.query", ".rar": _UNPACK, ".7z": _UNPACK,
    ".sqlite": "Name it as a database: data.source: sqlite:///PATH, and data.query", ".lz4": _UNPACK, ".z": _UNPACK,
    ".sqlite3": "Name it as a database: data.source: sqlite:///PATH, and data.query",
    ".avro": _PARQUET, ".orc": _PARQUET, ".h5": _PARQUET, ".hdf5": _PARQUET, ".tfrecord": _PARQUET, ".npz": _PARQUET,
    ".npy": _PARQUET, ".sav": _PARQUET, ".dta": _PARQUET, ".rds": _PARQUET, ".rdata": _PARQUET, ".arff": _PARQUET,
    ".pkl": "It is a pickle, which may run code, and is never opened: write it as Parquet",
    ".pickle": "It is a pickle, which may run code, and is never opened: write it as Parquet",
    ".yaml": "Write it as JSON", ".yml": "Write it as JSON", ".docx": "Save it as text", ".pdf": "Save it as text",
    ".html": "Save it as CSV", ".spacy": "Export it as JSON Lines", ".crdownload": "Its download did not end",
}  # fmt: skip
_BEGINNINGS = {
    b"\xd0\xcf\x11\xe0": ("a document of an old Office, or one with a password", _SAVE),
    b"SQLite format 3": ("a database of SQLite", "Name it so: data.source: sqlite:///PATH, and data.query"),
    b"Obj\x01": ("an Avro file", _PARQUET),
    b"ORC": ("an ORC file", _PARQUET),
    b"Rar!": ("a RAR archive", _UNPACK),
    b"7z\xbc\xaf": ("a 7-Zip archive", _UNPACK),
    b"%PDF": ("a PDF", "Save it as text"),
    b"\x89HDF": ("an HDF5 file", _PARQUET),
    b"RDX": ("a file of R", _PARQUET),
    b"\x80\x04\x95": ("a pickle, which may run code, and is never opened", "Write it as Parquet"),
    b"version https://git-lfs": ("a pointer of Git LFS, and the data lies elsewhere", "Bring it: git lfs pull"),
}


def advice_on(files: Sequence[File]) -> str:
    """Returns what to do with files none of which is read, by their names; "" where nobody knows."""
    for file in files:
        for ending, instead in _INSTEAD.items():
            if file.name.lower().endswith(ending):
                return f" {ending} is not read. {instead}."
    if any(file.name.lower().endswith(".txt") for file in files):
        return " Files of .txt are read where each lies in the folder of its class (spam/1.txt), or is a table."
    return ""


def told_by(head: bytes) -> str:
    """Returns what a file that begins so is, and what to do; "" where nobody knows."""
    if b"mimetypeapplication/vnd.oasis" in head[:80]:
        return f"it is a document of LibreOffice. {_SAVE}."
    for begin, (what, instead) in _BEGINNINGS.items():
        if head.startswith(begin):
            return f"it is {what}. {instead}."
    return ""
