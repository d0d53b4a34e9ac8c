"""The output of a run as its checkpoint: a job over the same output tells what is missing.

Ray Data's own checkpoints (`CheckpointConfig`) would count every row that was written, also of
requests that were left untold.
"""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from langchain_tale.bulk.asked import ID
from langchain_tale.bulk.cluster.tables import FAILED, TOLD, pyarrow
from langchain_tale.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

_log: Final = logging.getLogger(__name__)
_NEEDS: Final = "Runs on many machines need an extra: pip install 'langchain-tale[scale]'."
_NO_ROWS: Final = "{path} holds no rows that a StoryWriter has given; choose another output."


def untold_requests(requests: Any, out: str | Path, *, retry_failed: bool = False) -> Any:
    """The requests that an output has no story of.

    Rows of requests that will be told again are taken out of the output, so that it has each
    request once. A file that a job had not finished when it was killed is put aside, as
    `_….torn`. All ids of the output are held in memory.

    Args:
        requests: A dataset of Ray Data, or the path of JSON lines, which Ray reads.
        out: The directory that `write_parquet` writes to, or its URI; it need not be there yet.
        retry_failed: Whether what has failed is told again, and not only what was left untold.

    Returns:
        The dataset of these requests.

    Raises:
        ConfigurationError: The extra is missing, or a Parquet file there is none of ours.

    Example:
        ```python
        untold_requests("requests.jsonl", "stories/").map_batches(StoryWriter, …)
        ```
    """
    done = done_ids(out, retry_failed=retry_failed)
    dataset = _ray_data().read_json(str(requests)) if isinstance(requests, str | Path) else requests
    if not len(done):
        return dataset
    return dataset.map_batches(
        partial(_without, done=done), batch_format="pyarrow", zero_copy_batch=True
    )


def done_ids(out: str | Path, *, retry_failed: bool) -> Any:
    """The ids that an output is done with, as an Arrow array; all other rows leave it."""
    arrow = pyarrow()
    kept = [TOLD] if retry_failed else [TOLD, FAILED]
    found = [_ids_of(place, path, kept) for place, path in _files(out)]
    return arrow.concat_arrays(found) if found else arrow.array([], arrow.string())


def _ids_of(place: Any, path: str, statuses: list[str]) -> Any:
    import pyarrow as pa  # noqa: PLC0415 (an extra)
    import pyarrow.compute as pc  # noqa: PLC0415 (an extra)
    import pyarrow.parquet as pq  # noqa: PLC0415 (an extra)

    try:
        table = pq.read_table(path, filesystem=place)
    except pa.ArrowInvalid:
        place.move(path, _aside(path, "torn"))
        _log.warning("%s was not finished, and is put aside as .torn", path)
        return pa.array([], pa.string())
    if not {ID, "status"} <= set(table.column_names):
        raise ConfigurationError(_NO_ROWS.format(path=path))
    kept = table.filter(pc.is_in(table["status"], value_set=pa.array(statuses)))
    if not kept.num_rows:
        place.delete_file(path)
    elif kept.num_rows < table.num_rows:
        pq.write_table(kept, _aside(path, "new"), filesystem=place)
        place.move(_aside(path, "new"), path)
    return kept[ID].cast(pa.string()).combine_chunks()


def _aside(path: str, why: str) -> str:
    """A name beside it that readers of Parquet pass over, as all that begin with an underscore."""
    folder, _, name = path.rpartition("/")
    return f"{folder}/_{name}.{why}"


def _files(out: str | Path) -> Iterator[tuple[Any, str]]:
    """Every Parquet file of an output, with the file system that it is on."""
    pyarrow()
    from pyarrow import fs  # noqa: PLC0415 (an extra)

    where = str(out)
    if "://" in where:
        place, folder = fs.FileSystem.from_uri(where)
    else:
        place, folder = fs.LocalFileSystem(), str(Path(where).absolute())
    listed = place.get_file_info(fs.FileSelector(folder, allow_not_found=True))
    yield from ((place, one.path) for one in listed if one.path.endswith(".parquet"))


def _without(table: Any, *, done: Any) -> Any:
    import pyarrow as pa  # noqa: PLC0415 (an extra)
    import pyarrow.compute as pc  # noqa: PLC0415 (an extra)

    return table.filter(pc.invert(pc.is_in(table[ID].cast(pa.string()), value_set=done)))


def _ray_data() -> Any:
    try:
        import ray.data  # noqa: PLC0415 (an extra, and slow to import)
    except ImportError:
        raise ConfigurationError(_NEEDS) from None
    return ray.data
