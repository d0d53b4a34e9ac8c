"""A job on a real local Ray cluster, in a process of its own: `python -m tests.drills.cluster_job`.

Its one argument is JSON: `requests`, `out`, `batch`, and the arguments of `StoryWriter`.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import Any, Final

STORE_BYTES: Final = 500_000_000


class Noted:
    """A `StoryWriter` that writes down who it is, so that a drill knows whom to kill."""

    def __init__(self, notes: str, **options: Any) -> None:
        from langchain_tale import StoryWriter

        self._writer = StoryWriter(**options)
        with open(notes, "a", encoding="utf-8") as file:  # noqa: PTH123 (a path from afar)
            file.write(f"{os.getpid()} {self._writer.worker}\n")

    def __call__(self, batch: Any) -> Any:
        return self._writer(batch)


def main() -> None:
    import ray

    from langchain_tale import untold_requests

    job = json.loads(sys.argv[1])
    ray.init(
        num_cpus=4,
        object_store_memory=STORE_BYTES,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        _temp_dir=job["temp"],
    )
    ray.data.DataContext.get_current().enable_progress_bars = False
    try:
        requests = untold_requests(job["requests"], job["out"])
        requests.repartition(target_num_rows_per_block=job["batch"]).map_batches(
            Noted,
            fn_constructor_kwargs={"notes": job["notes"], **job["writer"]},
            compute=ray.data.ActorPoolStrategy(size=2, max_tasks_in_flight_per_actor=1),
            batch_size=job["batch"],
        ).write_parquet(job["out"])
    finally:
        ray.shutdown()
    print("done")  # noqa: T201 (its result)


if __name__ == "__main__":
    main()
