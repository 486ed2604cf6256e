"""Finished runs are kept and found again; whatever is not exactly the run's own result is measured anew."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from monitor.calibration.kept_runs import Progress, Run, find_run, finish_runs, keep_run, keep_until_done


@dataclass(frozen=True)
class Result:
    l: float  # noqa: E741 - the paper's letter
    losses: tuple[float, ...]


THIRDS = Result(1 / 3, (2 / 3, 1e-17, 5.0))


def make_run(depends_on: object = "data", result: Result = THIRDS, done: list[object] | None = None) -> Run[Result]:
    def measure(progress: Progress) -> Result:
        if done is not None:
            done.append(depends_on)
        progress(1, 3)
        return result

    return Run(depends_on, 3, Result, measure)


def test_a_kept_run_has_every_digit_of_the_one_that_was_done(tmp_path: Path) -> None:
    assert find_run(make_run(), tmp_path) is None
    keep_run(make_run(), THIRDS, tmp_path)
    assert find_run(make_run(), tmp_path) == THIRDS


def test_only_what_is_missing_is_done_and_all_comes_in_order(tmp_path: Path) -> None:
    keep_run(make_run("b"), THIRDS, tmp_path)
    done: list[object] = []
    told: list[int] = []
    others = [replace(THIRDS, l=float(k)) for k in range(3)]
    runs = [make_run(name, other, done) for name, other in zip("abc", others, strict=True)]
    assert finish_runs(runs, tmp_path, lambda done, total: told.append(done)) == [others[0], THIRDS, others[2]]
    assert done == ["a", "c"]
    assert told == [1, 3, 6, 7, 9]
    assert finish_runs(runs, tmp_path) == [others[0], THIRDS, others[2]] and done == ["a", "c"]


def test_without_a_folder_every_run_is_done_every_time() -> None:
    done: list[object] = []
    for _ in range(2):
        assert finish_runs([make_run(done=done)], None) == [THIRDS]
    assert len(done) == 2


def change_a_digit(text: str) -> str:
    assert text.count("0.6666666666666666") == 1
    return text.replace("0.6666666666666666", "0.6666666666666667")


def recount(change: Callable[[dict[str, object]], object]) -> Callable[[str], str]:
    """Damage whose checksum is right."""

    def damage(text: str) -> str:
        import hashlib

        document = json.loads(text)
        change(document["result"])
        digest = hashlib.blake2b(json.dumps(document["result"]).encode(), digest_size=16).hexdigest()
        return json.dumps({**document, "checksum": digest})

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        change_a_digit,
        lambda text: text.replace('"l"', '"m"'),
        lambda text: "[1, 2]",
        lambda text: "null",
        lambda text: "{}",
        lambda text: text.replace('"result"', '"results"'),
        recount(lambda result: result.pop("losses")),
        recount(lambda result: result.update(l="5.0")),
        recount(lambda result: result.update(l=float("nan"))),
    ],
)
def test_a_damaged_file_is_not_believed_and_the_run_is_done_again(damage: Callable[[str], str], tmp_path: Path) -> None:
    keep_run(make_run(), THIRDS, tmp_path)
    (file,) = tmp_path.iterdir()
    whole = file.read_text()
    file.write_text(damage(whole))
    assert find_run(make_run(), tmp_path) is None
    assert finish_runs([make_run()], tmp_path) == [THIRDS]
    assert file.read_text() == whole


def test_binary_rubbish_and_a_folder_in_its_place_are_not_believed(tmp_path: Path) -> None:
    keep_run(make_run(), THIRDS, tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(b"\xff\xfe\x00")
    assert find_run(make_run(), tmp_path) is None
    file.unlink()
    file.mkdir()
    assert find_run(make_run(), tmp_path) is None


def test_the_result_of_another_run_is_not_believed_under_this_ones_name(tmp_path: Path) -> None:
    keep_run(make_run("this"), THIRDS, tmp_path)
    (this,) = tmp_path.iterdir()
    keep_run(make_run("other"), replace(THIRDS, l=9.0), tmp_path)
    (other,) = set(tmp_path.iterdir()) - {this}
    this.write_bytes(other.read_bytes())
    assert find_run(make_run("this"), tmp_path) is None
    assert find_run(make_run("other"), tmp_path) == replace(THIRDS, l=9.0)


def test_the_folder_outlasts_an_interruption_and_goes_when_all_is_done(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    with pytest.raises(KeyboardInterrupt), keep_until_done(folder) as kept:
        keep_run(make_run(), THIRDS, kept)
        raise KeyboardInterrupt
    with keep_until_done(folder) as kept:
        assert find_run(make_run(), kept) == THIRDS
    assert not folder.exists()
    with keep_until_done(folder):
        pass
