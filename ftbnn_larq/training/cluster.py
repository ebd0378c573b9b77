"""The machines that train together, in the environment variable TF_CONFIG. TensorFlow is not needed."""

from __future__ import annotations

import json
import os

from ftbnn_larq.documents import quoted
from ftbnn_larq.errors import ConfigError


def set_workers(workers: str, rank: int) -> None:
    """Set TF_CONFIG for this worker. Call it before TensorFlow is used.

    Arguments:
        workers: `host:port` of every worker, separated by commas; the same list in the same order on all of them.
        rank: position of this worker in the list, from 0. Rank 0 writes the run folder.

    Raises:
        ConfigError: a port is missing, there is only one worker, or the rank is outside the list.
    """
    addresses = [address.strip() for address in workers.split(",")]
    for address in addresses:
        host, colon, port = address.rpartition(":")
        if not (host and colon and port.isdigit()):
            raise ConfigError(f"--workers: {address!r} is not host:port; write it like 192.168.0.2:2222")
    if len(addresses) < 2 or len(set(addresses)) < len(addresses):
        raise ConfigError(f"--workers {workers}: give at least two different workers, separated by commas")
    if not 0 <= rank < len(addresses):
        raise ConfigError(f"--rank {rank}: there are {len(addresses)} workers, take 0 to {len(addresses) - 1}")
    os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": rank}})


def several_machines() -> bool:
    """Whether TF_CONFIG names workers."""
    told = os.environ.get("TF_CONFIG") or "{}"
    try:
        return "worker" in json.loads(told).get("cluster", {})
    except (ValueError, AttributeError, TypeError) as error:
        raise ConfigError(
            f"TF_CONFIG in the environment is {quoted(told)}, and not what TensorFlow takes: unset it, or give "
            "--workers and --rank"
        ) from error
