"""Files that cannot be read as a whole, or that look as if they could not."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from bad_input.case import (
    GOOD,
    TEXT,
    Accepted,
    Case,
    Guard,
    Log,
    Outcome,
    Refused,
    bytes_case,
    write_bytes,
    write_rows,
)

from item2vec.errors import EmptyDataError, SourceError
from item2vec.events import Events

SECTION = "Files"
FILES, LINES, SCAN = "events/files.py", "events/lines.py", "events/scan.py"
LACKING = Guard("events/mapping.py", "if lacking := [", "if False and [")
BROKEN_PACK = Guard(
    FILES,
    "except (EOFError, zlib.error, OSError, pa.ArrowException) as error:",
    "except ZeroDivisionError as error:",
)
EXPANSION = Guard(FILES, "if unpacked > max(EXPANSION_FLOOR, MAX_EXPANSION * size):", "if False:")
REGULAR = Guard(FILES, "if not stat.S_ISREG(mode):", "if False:")
CONTRADICTION = Guard(FILES, 'if (head == PARQUET) != (kind == "parquet"):', "if False:")
BY_PLACE = Guard(
    "events/mapping.py",
    "named = config.columns.get(ours)",
    "named = config.columns.get(ours, [*types, *EVENT_COLUMNS][EVENT_COLUMNS.index(ours)])",
)
DAMAGED = Refused(SourceError, ("damaged or cut short", "log."))


def refused(*texts: str) -> Refused:
    return Refused(SourceError, texts)


def path_case(
    name: str, make: Callable[[Path, str], object], outcome: Outcome, guard: Guard, **keys: object
) -> Case:
    """A case of files that `make` lays down; it returns the path to read."""
    return Case(name, outcome, lambda folder, kind: Log({"path": make(folder, kind)}), guard, **keys)  # type: ignore[arg-type]


def log_in(folder: Path, kind: str, name: str = "log") -> Path:
    folder.mkdir(exist_ok=True)
    return write_rows(folder / f"{name}.{kind}", GOOD)


def cut(data: bytes) -> bytes:
    return gzip.compress(data)[:-40]


def no_duplicates(events: Events) -> None:
    assert events.reconciliation.duplicate == 0


def header_only(folder: Path, kind: str) -> Path:
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(list(GOOD))[:0], folder / "log.parquet")
        return folder / "log.parquet"
    return write_bytes(folder / "log.csv", log_in(folder, "csv").read_bytes().splitlines(True)[0])


BOMB = "gzip, zstd or Parquet pages that unpack to over 200 times the file (and 64 MiB)"


def bomb(folder: Path, kind: str) -> Path:
    size = 70 << 20
    if kind == "parquet":
        table = pa.Table.from_pylist(list(GOOD)).append_column("x", pa.array([bytes(size // 8)] * 8))
        pq.write_table(table, folder / "log.parquet", compression="zstd", use_dictionary=False)
        return folder / "log.parquet"
    return write_bytes(
        folder / f"log.{kind}.gz", gzip.compress(log_in(folder, kind).read_bytes() + b"x" * size, 1)
    )


def flipped(folder: Path, kind: str) -> Path:
    path = folder / "log.parquet"
    keys = {"compression": "none", "use_dictionary": False, "write_statistics": False}
    pq.write_table(pa.Table.from_pylist(list(GOOD)), path, write_page_checksum=True, **keys)
    data = path.read_bytes()
    assert data.count(b"wishlist") == 2
    return write_bytes(path, data.replace(b"i4", b"i5", 1))


def zeroed(data: bytes) -> bytes:
    return data[:4] + bytes(100) + data[104:]


def parts(
    change: Callable[[list[dict[str, object]]], list[dict[str, object]]],
) -> Callable[[Path, str], Path]:
    """Two files of one log, of which `change` alters the first."""

    def make(folder: Path, kind: str) -> Path:
        write_rows(folder / f"a.{kind}", change([dict(row) for row in GOOD[:4]]))
        write_rows(folder / f"b.{kind}", GOOD[4:])
        return folder

    return make


def without_market(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    return [{key: value for key, value in row.items() if key != "market"} for row in rows]


def retyped(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    return [row | {"item_id": n} for n, row in enumerate(rows)]


def link(target: str) -> Callable[[Path, str], Path]:
    """A link called as a log, in a folder with a log called ``real``."""

    def make(folder: Path, kind: str) -> Path:
        log_in(folder, kind, "real")
        (folder / f"link.{kind}").symlink_to(target.format(kind=kind))
        return folder / f"link.{kind}"

    return make


def linked_folder(folder: Path, kind: str) -> Path:
    log_in(folder / "real", kind)
    (folder / "day").mkdir()
    (folder / "day" / "link").symlink_to(folder / "real")
    return folder / "day"


def folder_loop(folder: Path, kind: str) -> Path:
    log_in(folder / "day", kind)
    (folder / "day" / "again").symlink_to(folder / "day")
    return folder / "day"


def glob_loop(folder: Path, kind: str) -> str:
    day = folder_loop(folder, kind)
    (day / "more").symlink_to(day)
    return str(day / "**" / f"*.{kind}")


def pipe(folder: Path, kind: str) -> Path:
    os.mkfifo(folder / f"pipe.{kind}")
    return folder / f"pipe.{kind}"


def pipe_in_folder(folder: Path, kind: str) -> Path:
    log_in(folder / "day", kind)
    pipe(folder / "day", kind)
    return folder / "day"


def pipe_in_glob(folder: Path, kind: str) -> str:
    return str(pipe_in_folder(folder, kind) / f"*.{kind}")


def broken_link_in_folder(folder: Path, kind: str) -> Path:
    log_in(folder / "day", kind)
    (folder / "day" / f"x.{kind}").symlink_to("nowhere")
    return folder / "day"


def named_as_file(folder: Path, kind: str) -> Path:
    return log_in(folder / f"log.{kind}", kind, "part-0").parent


def renamed(name: str) -> Callable[[Path, str], Path]:
    return lambda folder, kind: log_in(folder, kind).rename(folder / name.format(kind=kind))


def bytes_name(folder: Path, kind: str) -> str:
    path = os.fsencode(folder) + b"/l\xff." + kind.encode()
    os.rename(log_in(folder, kind), path)
    return os.fsdecode(path)


CASES: list[Case] = [
    bytes_case(
        "empty file",
        lambda _: b"",
        refused("is empty (0 bytes)"),
        Guard(FILES, "if os.stat(file).st_size == 0:", "if False:"),
    ),
    path_case(
        "header only",
        header_only,
        Refused(EmptyDataError, ("but no rows",)),
        Guard("events/table.py", "if not scan.rows_in:", "if False:"),
        formats=("csv", "parquet"),
    ),
    bytes_case(
        "no header",
        lambda data: data.split(b"\n", 2)[2],
        refused("has no column for"),
        LACKING,
        formats=("csv",),
    ),
    bytes_case(
        "BOM",
        lambda data: b"\xef\xbb\xbf" + data,
        Accepted(),
        Guard(LINES, '.removeprefix(b"\\xef\\xbb\\xbf")', ""),
        formats=TEXT,
        row="UTF-8 byte-order mark",
    ),
    bytes_case(
        "UTF-16",
        lambda data: data.decode().encode("utf-16"),
        refused("UTF-16", "UTF-8"),
        Guard(LINES, 'head.startswith((b"\\xff\\xfe", b"\\xfe\\xff")) or ', ""),
        formats=TEXT,
    ),
    bytes_case(
        "UTF-16 without a mark",
        lambda data: data.decode().encode("utf-16-le"),
        refused("UTF-16", "UTF-8"),
        Guard(LINES, " or head[:4].count(0) in (2, 3)", ""),
        formats=TEXT,
        row="UTF-16",
    ),
    bytes_case("truncated gzip", cut, DAMAGED, BROKEN_PACK, suffix=".gz", formats=TEXT),
    bytes_case(
        "truncated zstd",
        lambda data: pa.compress(data, codec="zstd", asbytes=True)[:-20],
        DAMAGED,
        BROKEN_PACK,
        suffix=".zst",
        formats=TEXT,
    ),
    bytes_case(
        "gzip with something behind it",
        lambda data: gzip.compress(data) + b"more",
        DAMAGED,
        BROKEN_PACK,
        suffix=".gz",
        formats=TEXT,
    ),
    bytes_case(
        "gzip in several members",
        lambda data: gzip.compress(data[:99]) + gzip.compress(data[99:]),
        Accepted(),
        Guard(
            FILES,
            "gzip.open(file)  # noqa: SIM115",
            '__import__("io").BytesIO(zlib.decompressobj(31).decompress(open(file, "rb").read()))',
        ),
        suffix=".gz",
        formats=TEXT,
    ),
    bytes_case(
        "gzip without its suffix",
        gzip.compress,
        Accepted(),
        Guard(FILES, 'PARQUET = b"\\x1f\\x8b"', 'PARQUET = b"\\x1f\\x00"'),
        formats=TEXT,
    ),
    path_case("gzip bomb", bomb, refused("unpacks to over 200 times"), EXPANSION, row=BOMB),
    bytes_case(
        "Parquet without its end",
        lambda data: data[:-30],
        refused("is not a readable Parquet file"),
        Guard(
            SCAN,
            "except (OSError, ValueError, pa.ArrowException) as error:\n            raise SourceError(\n"
            '                f"{file} is not',
            "except ZeroDivisionError as error:\n            raise SourceError(\n"
            '                f"{file} is not',
        ),
        formats=("parquet",),
        row="damaged Parquet",
    ),
    path_case(
        "flipped bit in a Parquet page",
        flipped,
        refused("it is damaged"),
        Guard(SCAN, "page_checksum_verification=True", "page_checksum_verification=False"),
        formats=("parquet",),
        row="damaged Parquet",
    ),
    bytes_case(
        "zeroed Parquet pages",
        zeroed,
        refused("it is damaged"),
        Guard("events/rows.py", "check_pages(scan, read)", "pass"),
        formats=("parquet",),
        row="damaged Parquet",
    ),
    path_case(
        "part with a further column",
        parts(lambda rows: [row | {"x": "y"} for row in rows]),
        Accepted(),
        Guard(SCAN, "    for name in columns:\n", "    for name in scan.columns:\n"),
        formats=("csv", "parquet"),
        row="parts with different schemas: a column nobody needs",
    ),
    path_case(
        "part with columns in another order",
        parts(lambda rows: [dict(reversed(row.items())) for row in rows]),
        Accepted(),
        BY_PLACE,
        row="parts with different schemas: another order",
    ),
    path_case(
        "part without a column",
        parts(without_market),
        refused("a.", "has no column 'market'"),
        Guard(SCAN, "if name not in schema and name in scan.columns:", "if False:"),
        formats=("csv", "parquet"),
        row="parts with different schemas: a mapped column is missing",
    ),
    path_case(
        "part with a column of another type",
        parts(retyped),
        refused("'item_id' as text", "as integer"),
        Guard(SCAN, "if schema.get(name) not in (wanted.get(name), EMPTY):", "if False:"),
        formats=("parquet",),
        row="parts with different schemas: a mapped column of another type",
    ),
    path_case(
        "symlink",
        link("real.{kind}"),
        Accepted(),
        Guard(FILES, "mode = os.stat(file)", "mode = os.lstat(file)"),
    ),
    path_case(
        "broken symlink",
        link("nowhere"),
        refused("leads nowhere"),
        Guard(FILES, "if not os.path.exists(path):", "if False:"),
    ),
    path_case(
        "symlink to itself",
        link("link.{kind}"),
        refused("leads nowhere"),
        Guard(FILES, "if not os.path.exists(path):", "if False:"),
        row="broken symlink",
    ),
    path_case(
        "broken symlink in a folder",
        broken_link_in_folder,
        refused("x.", "cannot be opened"),
        Guard(
            FILES,
            "yield from (Path(base, name) for name in names)",
            "yield from (Path(base, name) for name in names if Path(base, name).exists())",
        ),
        row="broken symlink",
    ),
    path_case(
        "symlink to a folder",
        linked_folder,
        Accepted(),
        Guard(FILES, "followlinks=True", "followlinks=False"),
    ),
    path_case(
        "loop of linked folders",
        folder_loop,
        Accepted(no_duplicates),
        Guard(FILES, "        seen.add(real)\n", ""),
    ),
    path_case(
        "loop of linked folders under **",
        glob_loop,
        Accepted(no_duplicates),
        Guard(FILES, 'if "**" not in pattern:', "if True:"),
        row="loop of linked folders",
    ),
    path_case("FIFO", pipe, refused("is not a regular file"), REGULAR, row="FIFO, device"),
    path_case(
        "FIFO in a folder",
        pipe_in_folder,
        refused("pipe.", "is not a regular file"),
        REGULAR,
        row="FIFO, device",
    ),
    path_case(
        "FIFO in a glob", pipe_in_glob, refused("pipe.", "is not a regular file"), REGULAR, row="FIFO, device"
    ),
    path_case(
        "device", lambda *_: "/dev/zero", refused("is not a regular file"), REGULAR, row="FIFO, device"
    ),
    path_case(
        "folder called as a file",
        named_as_file,
        Accepted(),
        Guard(FILES, "if os.path.isdir(path):", "if False:"),
    ),
    path_case(
        "unknown extension",
        renamed("log.dat"),
        refused("does not tell the format"),
        Guard(FILES, "    if kind is None:", "    if False:"),
        row="wrong extension",
    ),
    path_case(
        "Parquet called CSV",
        lambda folder, _: log_in(folder, "parquet").rename(folder / "log.csv"),
        refused("is a Parquet file"),
        CONTRADICTION,
        formats=("parquet",),
        row="wrong extension",
    ),
    path_case(
        "text called Parquet",
        renamed("log.parquet"),
        refused("is not a Parquet file"),
        CONTRADICTION,
        formats=TEXT,
        row="wrong extension",
    ),
    path_case(
        "CSV called JSON Lines",
        renamed("log.jsonl"),
        refused("is a JSON object; write one object a line"),
        Guard("events/staged.py", "    if not staged.keys:", "    if False:"),
        formats=("csv",),
        row="wrong extension",
    ),
    path_case(
        "JSON Lines called CSV",
        renamed("log.csv"),
        refused("log.csv"),
        LACKING,
        formats=("jsonl",),
        row="wrong extension",
    ),
    bytes_case(
        "zip archive",
        lambda data: b"PK\x03\x04" + data,
        refused("is a zip archive"),
        Guard(FILES, "        if head.startswith(mark):", "        if False:"),
        formats=TEXT,
        row="other archives (zip, bzip2, xz)",
    ),
    path_case(
        "odd characters in a name",
        renamed("l[1]*? '\"\n\u00e9.{kind}"),
        Accepted(),
        Guard(FILES, "if _is_there(path):", "if False:"),
        row="pattern characters, quotes, newlines in a file's name",
    ),
    path_case(
        "name that is not UTF-8",
        bytes_name,
        refused("is not UTF-8; rename"),
        Guard(FILES, "        file.encode()\n", "        pass\n"),
        row="a file's name that is not UTF-8",
    ),
]
