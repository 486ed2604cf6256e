"""Several worker processes: who starts them, how their failures are told, and that they train the same model."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from corpus.errors import EntropylawError, ParamsError
from corpus.files import write_rows
from corpus.params import parse_section
from corpus.prepare import to_row
from corpus.records import HashedRecord
from entropylaw.cli import app
from entropylaw.repository.shipped_files import shipped_text
from training.launch import (
    CONFIGS,
    DISTRIBUTED_TYPES,
    LaunchParams,
    count_processes,
    launch_workers,
    read_config,
)

Rows = list[HashedRecord]

REPOSITORY = Path(__file__).resolve().parent.parent
DDP = LaunchParams("ddp", processes=2)


def count(strategy: str, processes: int | None, devices: int, **config: int) -> int:
    params = LaunchParams(strategy, processes)
    return count_processes(params, dataclasses.replace(read_config(LaunchParams(strategy)), **config), devices)


def test_a_number_of_processes_without_a_strategy_is_refused() -> None:
    with pytest.raises(ParamsError, match="need a strategy"):
        parse_section(
            LaunchParams,
            {"strategy": "single", "processes": 4, "config_file": None, "command": None, "stages": []},
            "launch",
        )


def test_processes_are_what_was_asked_for_or_the_devices_that_are_there() -> None:
    assert count("ddp", None, devices=4) == 4
    assert count("ddp", 2, devices=4) == 2
    assert count("ddp", 3, devices=0) == 3
    assert count("fsdp", None, devices=2, num_machines=3) == 6
    assert count("fsdp", None, devices=8, num_machines=2, num_processes=16) == 16


@pytest.mark.parametrize(
    ("strategy", "processes", "devices", "config", "said"),
    [
        ("ddp", None, 0, {}, r"launch\.processes: there are no GPUs here"),
        ("ddp", 4, 2, {}, r"launch\.processes: 4 .* the 2 GPUs"),
        ("ddp", 3, 8, {"num_machines": 2}, r"launch\.processes: 3 cannot be divided among 2 machines"),
        ("fsdp", 2, 0, {}, r"launch\.strategy: fsdp needs GPUs"),
        ("deepspeed", 2, 0, {}, r"launch\.strategy: deepspeed needs GPUs"),
    ],
)
def test_what_the_machine_cannot_run_is_said(
    strategy: str, processes: int | None, devices: int, config: dict[str, int], said: str
) -> None:
    with pytest.raises(EntropylawError, match=said):
        count(strategy, processes, devices, **config)


@pytest.mark.parametrize("strategy", DISTRIBUTED_TYPES)
def test_accelerate_knows_every_key_of_the_shipped_configurations(strategy: str) -> None:
    """Unknown keys of the inner sections would be ignored without a word."""
    from accelerate.commands.launch import launch_command_parser

    config = read_config(LaunchParams(strategy))
    known = vars(launch_command_parser().parse_args(["module"]))
    inner = {**(config.fsdp_config or {}), **(config.deepspeed_config or {})}
    assert bool(inner) == (strategy != "ddp")
    assert set(inner) <= set(known)
    assert config.gpu_ids is None and config.num_machines == 1


def test_the_fsdp_configuration_makes_the_plugin_that_saves_whole_models(monkeypatch: pytest.MonkeyPatch) -> None:
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser
    from accelerate.utils import FullyShardedDataParallelPlugin
    from accelerate.utils.launch import prepare_multi_gpu_env
    from torch.distributed.fsdp import StateDictType

    words = ["--config_file", str(CONFIGS / "fsdp.yaml"), "--num_processes", "2", "module"]
    arguments, _, _ = _validate_launch_command(launch_command_parser().parse_args(words))
    for name, value in prepare_multi_gpu_env(arguments).items():
        monkeypatch.setenv(name, value)
    plugin = FullyShardedDataParallelPlugin()
    assert plugin.fsdp_version == 2
    assert plugin.state_dict_type == StateDictType.FULL_STATE_DICT
    assert plugin.reshard_after_forward is True and plugin.cpu_ram_efficient_loading is True


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "no such file"),
        ("distributed_type: [", "not an accelerate configuration"),
        ("just words", "not an accelerate configuration"),
        ("distributed_type: MULTI_GPU\nnum_procs: 2", "not an accelerate configuration.*num_procs"),
        ("distributed_type: FSDP", "distributed_type is FSDP, and launch.strategy ddp needs MULTI_GPU"),
        ("compute_environment: AMAZON_SAGEMAKER\ndistributed_type: 'NO'", "launch.config_file"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_named(text: str | None, said: str, tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(EntropylawError, match=said) as caught:
        read_config(LaunchParams("ddp", config_file=str(path)))
    assert str(path) in str(caught.value)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module that workers can run, and its folder as the current one."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    monkeypatch.setenv("TORCHELASTIC_SIGNALS_TO_HANDLE", "SIGTERM,SIGINT,SIGHUP")
    path = tmp_path / "modules" / "worker_program.py"
    path.parent.mkdir()
    monkeypatch.setenv("PYTHONPATH", f"{path.parent}{os.pathsep}{REPOSITORY}")
    monkeypatch.chdir(tmp_path)
    yield path
    for number, handler in before.items():
        signal.signal(number, handler)


def test_every_worker_gets_its_rank_and_the_same_arguments_and_not_the_current_folder(module: Path) -> None:
    module.write_text(
        "import json, os, sys\n"
        "numbers = [os.environ[name] for name in ('RANK', 'WORLD_SIZE')]\n"
        "print(json.dumps([sys.argv[1:], numbers, os.getcwd() in sys.path]), file=open(numbers[0], 'w'))\n"
    )
    words = ["train", "two words", "--from", "--json", "$HOME"]
    launch_workers(DDP, module.stem, words)
    assert [json.loads(Path(rank).read_text()) for rank in "01"] == [
        [words, ["0", "2"], False],
        [words, ["1", "2"], False],
    ]


@pytest.mark.parametrize(
    ("failure", "said", "code"),
    [
        ("from training.launch import report_failure; report_failure('too few rows'); exit(3)", "^too few rows$", 3),
        ("exit(4)", "process 1 failed", 4),
        ("os.kill(os.getpid(), 9)", "process 1 was ended by SIGKILL.*memory", 128 + 9),
    ],
    ids=["user error", "crash", "killed"],
)
def test_the_first_workers_failure_is_told_once_and_ends_the_others(
    failure: str, said: str, code: int, module: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    module.write_text(f"import os, time\nif os.environ['RANK'] == '1':\n    {failure}\ntime.sleep(60)\n")
    began = time.monotonic()
    with pytest.raises(EntropylawError, match=said) as caught:
        launch_workers(DDP, module.stem, [])
    assert caught.value.exit_code == code
    assert time.monotonic() - began < 50
    assert capfd.readouterr() == ("", "")


def test_an_interruption_reaches_the_workers(module: Path) -> None:
    module.write_text(
        "import os, time\nfrom pathlib import Path\n"
        "try:\n    Path('began' + os.environ['RANK']).touch()\n    time.sleep(60)\n"
        "except KeyboardInterrupt:\n    Path('stopped' + os.environ['RANK']).touch()\n"
    )

    def interrupt() -> None:
        while not (Path("began0").exists() and Path("began1").exists()):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        launch_workers(DDP, module.stem, [])
    assert Path("stopped0").exists() and Path("stopped1").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells a process of its parent's end")
def test_a_killed_launcher_leaves_no_worker_behind(module: Path) -> None:
    module.write_text(
        "import time\nfrom corpus.interrupts import end_with_starter\n"
        "end_with_starter()\nprint('began', flush=True)\ntime.sleep(60)\n"
    )
    launcher = f"import subprocess, sys; subprocess.run([sys.executable, {str(module)!r}])"
    with subprocess.Popen([sys.executable, "-c", launcher], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "began\n"
        began = time.monotonic()
        process.kill()
        assert process.stdout.read() == ""  # at its end: nobody holds the pipe open any more
        assert time.monotonic() - began < 30


@pytest.fixture
def repository(chats: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with params.yaml and forty conversations: five steps of eight, on a model of one layer."""
    write_rows(tmp_path / "sft.jsonl", (to_row(record, row_hash) for record, row_hash in chats[300:340]))
    params = YAML().load(shipped_text("params.yaml"))
    params["sft"].update(epochs=1.0, batch_rows=8, micro_batch_rows=4, learning_rate=5e-3, max_length=64)
    YAML().dump(params, tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def set_launch(repository: Path, **settings: object) -> None:
    params = YAML().load(repository / "params.yaml")
    params["launch"].update(settings)
    YAML().dump(params, repository / "params.yaml")


def run_command(repository: Path, *words: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "entropylaw", *map(str, words)]
    return subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True, check=False)


def read_curve(live: Path) -> list[float]:
    lines = (live / "plots" / "metrics" / "train" / "loss.tsv").read_text().splitlines()
    return [float(line.split("\t")[1]) for line in lines[1:]]


@pytest.mark.long
def test_two_processes_train_the_same_model_as_one(repository: Path, base_folder: Path) -> None:
    """Through the command. Gloo stands in for NCCL; batches are dealt out and gradients averaged in the same way."""

    def train(name: str) -> list[str]:
        outputs = ["--out", name, "--report", f"{name}.json", "--live", f"{name}-live"]
        return ["train", "sft", "sft.jsonl", "--from", str(base_folder), *outputs]

    alone = CliRunner().invoke(app, train("alone"))
    assert alone.exit_code == 0, alone.output
    set_launch(repository, strategy="ddp", processes=2)
    done = run_command(repository, *train("together"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("together: sft on ") and "cut at max_length" in done.stdout.splitlines()[1]
    # On a busy machine it takes long enough to say how far it is.
    assert [line for line in done.stderr.splitlines() if not line.startswith("sft, ")] == []
    reports = [json.loads((repository / f"{name}.json").read_text()) for name in ("alone", "together")]
    assert reports[0]["steps"] == reports[1]["steps"] == 5
    curves = [read_curve(repository / f"{name}-live") for name in ("alone", "together")]
    assert len(curves[0]) == 5 and max(curves[0]) - min(curves[0]) > 0.1
    # The same rows in each step, whichever process had them: another order would show in the second digit.
    assert curves[1] == pytest.approx(curves[0], rel=1e-5)


@pytest.mark.slow
def test_a_users_error_of_several_workers_is_one_line_and_its_exit_code(repository: Path) -> None:
    set_launch(repository, strategy="ddp", processes=2)
    done = run_command(repository, "train", "sft", "nothing.jsonl", "--out", "model")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "entropylaw: nothing.jsonl: no such file\n"
