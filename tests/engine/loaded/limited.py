"""A program that trains below a limit of the host's memory: `limited.py JOB.json EXTRA_MIB`.

The limit is what the process holds at its first training pass plus EXTRA_MIB; 0 is none. Prints one
JSON object.
"""

import json
import resource
import sys
from pathlib import Path
from typing import Any

import torch

from brewslm.contracts import Job
from brewslm.engine import run as training
from brewslm.errors import WorkerError
from tests.engine.loaded.conftest import Listener


def main() -> None:
    """Train, and print values or the error, with the warnings."""
    job = Job.model_validate_json(Path(sys.argv[1]).read_bytes())
    extra_bytes = int(sys.argv[2]) << 20
    if extra_bytes:
        _limit_at_first_pass(extra_bytes)
    listener = Listener()
    told: dict[str, object] = {}
    try:
        told["values"] = training.run(job, listener).values
    except WorkerError as error:
        told |= {"code": error.code, "found": error.found, "remedy": error.remedy}
    sys.stdout.write(json.dumps(told | {"warnings": listener.warnings}))


def _limit_at_first_pass(extra_bytes: int) -> None:
    def limit(_module: torch.nn.Module, _inputs: tuple[Any, ...]) -> None:
        if not torch.is_grad_enabled():
            return
        hook.remove()
        allowed = _data_bytes() + extra_bytes
        resource.setrlimit(resource.RLIMIT_DATA, (allowed, allowed))

    hook = torch.nn.modules.module.register_module_forward_pre_hook(limit)


def _data_bytes() -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmData:"))


if __name__ == "__main__":
    main()
