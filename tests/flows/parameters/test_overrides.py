"""Overrides against real copies of params.yaml."""

from collections.abc import Callable
from pathlib import Path

import pytest

from flows.parameters.overrides import overridden_params, override_params
from tasks.core.errors import ParamsError
from tasks.core.settings import load_yaml


def test_changes_only_the_value(params_with: Callable[..., Path]) -> None:
    root = params_with()
    before = (root / "params.yaml").read_text().splitlines()
    override_params(root, ["train.epochs=2", "train.model.hidden=[32,16]"])
    after = (root / "params.yaml").read_text().splitlines()
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert [new.split("#")[0].strip() for _, new in changed] == ["epochs: 2", "model: {name: mlp, hidden: [32, 16]}"]
    assert all(old.split("#")[1] == new.split("#")[1] for old, new in changed)


def test_a_new_section_is_written_on_one_line_below_the_last_key(params_with: Callable[..., Path]) -> None:
    root = params_with()
    before = (root / "params.yaml").read_text()
    override_params(root, ["+preprocess.image={size: [28, 28]}"])
    end = "where the source has no test split of its own\n"
    assert end in before
    assert (root / "params.yaml").read_text() == before.replace(end, f"{end}  image: {{size: [28, 28]}}\n")


def test_no_override_leaves_every_byte(params_with: Callable[..., Path]) -> None:
    root = params_with()
    before = (root / "params.yaml").read_bytes()
    override_params(root, [])
    assert (root / "params.yaml").read_bytes() == before


def test_the_present_value_leaves_every_byte(params_with: Callable[..., Path]) -> None:
    root = params_with()
    before = (root / "params.yaml").read_bytes()
    override_params(root, ["train.optimizer.learning_rate=1e-2", "train.model.hidden=[64]"])
    assert (root / "params.yaml").read_bytes() == before


@pytest.mark.parametrize("written", ["1e-9", "1.0e-9", "0.000000001"])
def test_small_floats_stay_floats_for_every_reader(params_with: Callable[..., Path], written: str) -> None:
    import yaml  # type: ignore[import-untyped]  # YAML 1.1, to which 1e-09 is a string

    root = params_with()
    override_params(root, [f"train.optimizer.learning_rate={written}"])
    readers = (load_yaml(root / "params.yaml"), yaml.safe_load((root / "params.yaml").read_text()))
    assert [document["train"]["optimizer"]["learning_rate"] for document in readers] == [1e-9, 1e-9]


def test_changes_many_at_once(params_with: Callable[..., Path]) -> None:
    root = params_with()
    override_params(
        root,
        [
            "train.model.name=cnn",
            "~train.model.hidden",
            "+train.model.channels=[8]",
            "train.early_stopping.enabled=true",
            "seed=7",
            "download.path=data/other",
        ],
    )
    document = load_yaml(root / "params.yaml")
    assert document["train"]["model"] == {"name": "cnn", "channels": [8]}
    assert document["train"]["early_stopping"]["enabled"] is True
    assert document["seed"] == 7
    assert document["download"]["path"] == "data/other"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["train.optimizer.lerning_rate=0.01"],
            r"lerning_rate: unknown option of adam; .* did you mean 'learning_rate'",
        ),
        (["train.optimizer.name=adm"], r"train.optimizer.name: unknown name 'adm'; .* did you mean 'adam'"),
        (["train.epochs=0"], r"train.epochs: found 0; .*greater than or equal to 1"),
        (["train.epochs=2.5"], r"train.epochs: found 2.5 \(float\)"),
        (["train.epochs=true"], r"train.epochs: found True \(bool\)"),
        (["train.epochs=nan"], r"train.epochs: found nan"),
        (["train.epochs.x=3"], r"train.epochs: found \{'x': 3\} \(dict\)"),
        (["train=3"], r"train: found 3 \(int\)"),
        (["~train.epochs"], r"train.epochs: missing"),
        (
            ["~train.foo"],
            r"~train.foo: there is no key train.foo; name one that exists, or leave it out; params.yaml is unchanged",
        ),
        (["~train.epochs=9"], r"train.epochs is 150, not 9; to drop it whatever its value is, write ~train.epochs"),
        (["+train.epochs=3"], r"the key train.epochs exists; to change its value, write train.epochs=VALUE without the \+"),
        (["train.model.hidden=64"], r"train.model.hidden: expected a list such as \[64\], found 64"),
        (["train.model.name=linear", "train.model.hidden=[3]"], r"\nLeave train.model.hidden out of -S: it belongs to another"),
        (["train.epochs"], r"'train.epochs' cannot be read; expected KEY=VALUE"),
        (["train.epochs=a=["], r"cannot be read; expected KEY=VALUE"),
        (["=3"], r"'=3' has no key; expected KEY=VALUE"),
        (["train.epochs=1,2"], r"'train.epochs=1,2' names several values"),
        (["train.epochs=range(1,3)"], r"names several values"),
        (["train.epochs=${nope}"], r"\$\{nope\}: there is no key nope; name one that exists, or give a value"),
        (
            ["train.model.name=linear"],
            r"train.model.hidden: is an option of cnn, lenet, mlp, not of linear; drop it (?s:.)*-S '~train.model.hidden'",
        ),
        (["train.epochs=2", "train.optimizer.name=adm"], r"unknown name 'adm'"),
    ],
)
def test_a_bad_override_names_the_offence_and_leaves_every_byte(
    params_with: Callable[..., Path], overrides: list[str], message: str
) -> None:
    root = params_with()
    before = (root / "params.yaml").read_bytes()
    with pytest.raises(ParamsError, match=message):
        override_params(root, overrides)
    assert (root / "params.yaml").read_bytes() == before
    assert sorted(file.name for file in root.iterdir()) == ["dvc.yaml", "params.yaml"]


def test_a_preview_only_reads(params_with: Callable[..., Path]) -> None:
    root = params_with()
    before = (root / "params.yaml").read_bytes()
    assert overridden_params(root, ["train.epochs=2"])["train"]["epochs"] == 2
    assert (root / "params.yaml").read_bytes() == before


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"params\.yaml is missing"):
        override_params(tmp_path, ["seed=1"])
