"""Training on several devices: one worker process for each, started through accelerate and torch's elastic agent."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import signal
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from corpus.errors import EntropylawError

if TYPE_CHECKING:
    from accelerate.commands.config.config_args import ClusterConfig

CONFIGS = Path(__file__).parent / "launch_configs"

# The stages that may run elsewhere: those that want the accelerators of another machine.
HeavyStage = Literal["sft", "kto", "evaluate"]

# What accelerate calls the strategies in its configuration files.
DISTRIBUTED_TYPES = {"ddp": "MULTI_GPU", "fsdp": "FSDP", "deepspeed": "DEEPSPEED"}


@dataclass(frozen=True)
class LaunchParams:
    """The section ``launch`` of params.yaml: where heavy stages run, and how training uses several devices.

    ``strategy``: one process (single), the whole model on each device (ddp), or one model spread over all devices
    (fsdp, deepspeed). ``processes``: on all machines together, one for each device; None: what ``config_file`` says, or
    as many as this machine has GPUs. ``config_file``: an accelerate configuration in place of the shipped one.
    ``command``: the words of another program that runs the ``stages``, such as a cluster's queue, see
    ``fill_command``; None: they run here.
    """

    strategy: Literal["single", "ddp", "fsdp", "deepspeed"] = "single"
    processes: int | None = None
    config_file: str | None = None
    command: str | None = None
    stages: tuple[HeavyStage, ...] = ("sft", "kto")

    def __post_init__(self) -> None:
        if self.command is not None:
            fill_command(self.command, ["entropylaw"])
        if self.processes is not None and self.processes < 1:
            raise ValueError("processes must be positive")
        if self.strategy == "single" and (self.processes is not None or self.config_file is not None):
            raise ValueError("processes and config_file need a strategy: ddp, fsdp or deepspeed")


def fill_command(command: str, words: Sequence[str]) -> list[str]:
    """The words of ``launch.command`` with a stage's command line in its place.

    ``{command}``, a word of its own, becomes the words of the command line. ``{line}`` becomes one word, the command
    line as a shell reads it. Raises ValueError unless exactly one of the two is there, once.

    >>> fill_command("srun --gres=gpu:4 {command}", ["entropylaw", "train", "sft", "my data.jsonl"])
    ['srun', '--gres=gpu:4', 'entropylaw', 'train', 'sft', 'my data.jsonl']
    >>> fill_command("sbatch --wait --wrap {line}", ["entropylaw", "train", "sft", "my data.jsonl"])
    ['sbatch', '--wait', '--wrap', "entropylaw train sft 'my data.jsonl'"]
    """
    try:
        given = shlex.split(command)
    except ValueError as error:
        raise ValueError(f"command: {command!r} cannot be split into words: {error}") from None
    if sorted(word for word in given if word in ("{command}", "{line}")) not in (["{command}"], ["{line}"]):
        raise ValueError(f"command: {command!r} must have {{command}} or {{line}} once, as a word of its own")
    if given[0] in ("{command}", "{line}"):
        raise ValueError(f"command: {command!r} must begin with a program")
    filled: list[str] = []
    for word in given:
        filled += words if word == "{command}" else [shlex.join(words)] if word == "{line}" else [word]
    return filled


def is_worker(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this process is one of several that train together: torch sets their numbers in the environment.

    >>> is_worker({"LOCAL_RANK": "0", "RANK": "0", "WORLD_SIZE": "2"}), is_worker({})
    (True, False)
    """
    return "LOCAL_RANK" in environment


def is_first_process(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this process prints and writes files: the first of several, or the only one.

    >>> is_first_process({"RANK": "1"}), is_first_process({"RANK": "0"}), is_first_process({})
    (False, True, True)
    """
    return int(environment.get("RANK", "0")) == 0


def count_devices() -> int:
    """How many GPUs this machine has."""
    import torch

    return torch.cuda.device_count()


def read_config(params: LaunchParams) -> ClusterConfig:
    """The accelerate configuration of the strategy, the shipped one or the user's own.

    Raises EntropylawError when the file is missing, is no such configuration, or is for another strategy.
    """
    from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file

    path = Path(params.config_file) if params.config_file else CONFIGS / f"{params.strategy}.yaml"
    try:
        config = load_config_from_file(str(path))
    except FileNotFoundError:
        raise EntropylawError(f"launch.config_file: {path}: no such file") from None
    except Exception as error:  # it is checked by being used, so whatever is wrong with it comes as any error
        raise EntropylawError(f"launch.config_file: {path}: not an accelerate configuration: {error}") from None
    if not isinstance(config, ClusterConfig):
        raise EntropylawError(f"launch.config_file: {path}: compute_environment must be LOCAL_MACHINE")
    expected = DISTRIBUTED_TYPES[params.strategy]
    if config.distributed_type.value != expected:
        raise EntropylawError(
            f"launch.config_file: {path}: distributed_type is {config.distributed_type.value}, and "
            f"launch.strategy {params.strategy} needs {expected}"
        )
    return config


def count_processes(params: LaunchParams, config: ClusterConfig, devices: int) -> int:
    """How many processes train together, on all machines. ``devices``: how many GPUs this machine has.

    Raises EntropylawError when that is not known, or when this machine cannot run its part of them.
    """
    if not devices and params.strategy != "ddp":
        raise EntropylawError(
            f"launch.strategy: {params.strategy} needs GPUs, and there are none here; set ddp, which does not"
        )
    machines = config.num_machines
    configured = config.num_processes if config.num_processes > 0 else None
    processes = params.processes or configured or devices * machines
    if not processes:
        raise EntropylawError("launch.processes: there are no GPUs here; set how many processes share the processor")
    if processes % machines:
        raise EntropylawError(f"launch.processes: {processes} cannot be divided among {machines} machines")
    if devices and processes // machines > devices:
        raise EntropylawError(
            f"launch.processes: {processes // machines} on each machine are more than the {devices} GPUs here"
        )
    return processes


def launch_workers(params: LaunchParams, module: str, arguments: Sequence[str]) -> None:
    """Run ``python -m module *arguments`` in as many processes as ``params`` says, and wait for them.

    When workers fail, raises EntropylawError with the exit code of the first that did; the message is what that worker
    handed to ``report_failure``. Raises KeyboardInterrupt when the workers were stopped by Ctrl-C.
    """
    if params.strategy == "deepspeed" and importlib.util.find_spec("deepspeed") is None:
        raise EntropylawError("launch.strategy: deepspeed is not installed; run `pip install 'entropylaw[deepspeed]'`")
    devices = count_devices()
    processes = count_processes(params, read_config(params), devices)
    options = ["--config_file", params.config_file or str(CONFIGS / f"{params.strategy}.yaml")]
    options += ["--num_processes", str(processes)]
    if not devices and "OMP_NUM_THREADS" not in os.environ:
        # accelerate's default is one thread a process, which would leave most of the processor idle.
        options += ["--num_cpu_threads_per_process", str(max(1, (os.cpu_count() or 1) // processes))]
    with tempfile.TemporaryDirectory(prefix="entropylaw-launch-") as reports:
        _run_agent([*options, "--log_dir", reports, "--module", module, *arguments])


def _run_agent(words: list[str]) -> None:
    """Run `accelerate launch WORDS` in this process: only so can one learn which worker failed first, and why."""
    import logging

    from accelerate.commands import launch
    from accelerate.utils import patch_environment
    from torch.distributed import DistError
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous.api import RendezvousError

    # The agent logs every failure and signal with a traceback; the exceptions below say the same.
    logging.disable(logging.CRITICAL)
    try:
        # The workers' path must lack the current folder, because a data repository may have a folder named `reports`.
        # The log level is that of torch's C++ side, which warns on stderr about its own defaults.
        level = os.environ.get("TORCH_CPP_LOG_LEVEL", "ERROR")
        with patch_environment(PYTHONSAFEPATH="1", TORCH_CPP_LOG_LEVEL=level):
            launch.launch_command(launch.launch_command_parser().parse_args(words))
    except ChildFailedError as error:
        raise _explain_failure(*error.get_first_failure()) from None
    except SignalException as error:
        if error.sigval == signal.SIGINT:
            raise KeyboardInterrupt from None
        raise SystemExit(128 + error.sigval) from None
    except (RendezvousError, DistError) as error:
        raise EntropylawError(f"launch: the processes did not find each other: {error}") from None
    except (ValueError, AssertionError, ImportError, ConnectionError) as error:  # accelerate's checks of its options
        raise EntropylawError(f"launch: {error}") from None
    finally:
        logging.disable(logging.NOTSET)


def report_failure(message: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Pass a worker's user error to the process that launched it, which prints it once for all workers.

    Returns whether there is such a process.
    """
    target = environment.get("TORCHELASTIC_ERROR_FILE")
    if target is None:
        return False
    Path(target).write_text(json.dumps({"message": message, "timestamp": int(time.time())}), encoding="utf-8")
    return True


def leave_process_group() -> None:
    """Leave the group of workers; otherwise the communication libraries complain at exit."""
    import torch.distributed

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _explain_failure(rank: int, failure: Any) -> EntropylawError:
    """The error to raise for the worker that failed first. ``failure``: torch's ProcessFailure."""
    if os.path.isfile(failure.error_file):
        error = EntropylawError(failure.message)
    elif failure.exitcode < 0:
        name = failure.signal_name()
        hint = "; most often the machine ran out of memory" if name == "SIGKILL" else ""
        error = EntropylawError(f"launch: process {rank} was ended by {name}{hint}")
    else:
        error = EntropylawError(f"launch: process {rank} failed; its own message is above")
    error.exit_code = failure.exitcode if failure.exitcode > 0 else 128 - failure.exitcode
    return error
