"""Components `imported`: objects of installed distributions, of the right kind or refused in words that say what was found."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic_core import PydanticCustomError
from torch import nn, optim

from benchmarks.stages import call
from tasks.contracts.trained import MODEL, TrainedModel, read_model, write_model
from tasks.core.components import Component
from tasks.core.errors import ArtifactError, ParamsError
from tasks.core.imported import distribution_of
from tasks.learning.inference import Preparation, predict, rebuild
from tests.tasks.learning.test_learning import LOSSES, OPTIMIZERS, build, linear
from tests.tasks.test_train import QUICK, processed

MODELS = Component("tasks.models")
PACKAGE = """
from torch import nn, optim

class Net(nn.Module):
    def __init__(self, labels, shape, width=4):
        super().__init__()
        values = shape[0] * shape[1] * shape[2]
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(values, width), nn.ReLU(), nn.Linear(width, labels))

    def forward(self, images):
        return self.layers(images)

class Twice(Net):
    def forward(self, images):
        return (self.layers(images), self.layers(images))

class Trained(nn.Linear):
    pass

class Closure(optim.SGD):
    def step(self, closure):
        closure()

def make_net(labels: int, shape: tuple[int, int, int]) -> Net:
    return Net(labels, shape)

def lying(labels: int, shape: tuple[int, int, int]) -> nn.Module:
    return "no module"

def wild(labels, shape):
    raise SystemExit("called")

number = 3
"""


def install(site: Path) -> Path:
    """A distribution of a user, `wild-flowers` 1.2, with the package `flowers`, as an installer leaves it in `site`."""
    (site / "flowers").mkdir(parents=True)
    (site / "flowers/__init__.py").write_text(PACKAGE)
    information = site / "wild_flowers-1.2.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: wild-flowers\nVersion: 1.2\n")
    (information / "RECORD").write_text("flowers/__init__.py,,\nwild_flowers-1.2.dist-info/METADATA,,\n")
    return site


@pytest.fixture
def flowers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The package of the user's distribution, installed for one test."""
    monkeypatch.syspath_prepend(str(install(tmp_path / "site")))
    distribution_of.cache_clear()
    return "flowers"


def model(named: str, **options: Any) -> dict[str, Any]:
    return {"name": "imported", "import": named, "arguments": {"labels": "classes", "shape": "shape"}, **options}


def refused(component: Component, stated: dict[str, Any]) -> str:
    with pytest.raises(PydanticCustomError) as error:
        component.choose(stated)
    return "\n".join((error.value.context or {})["lines"])


def test_a_model_of_torchvision_is_built_with_its_options_and_the_number_of_classes() -> None:
    from torchvision.models import squeezenet1_1

    stated = {"name": "imported", "import": "torchvision.models:squeezenet1_1", "options": {"dropout": 0.1}}
    torch.manual_seed(0)
    ours = build(MODELS, stated, (3, 40, 40), 7).eval()
    torch.manual_seed(0)
    theirs = squeezenet1_1(dropout=0.1, num_classes=7).eval()
    images = torch.rand(3, 3, 40, 40)
    assert torch.equal(ours(images), theirs(images))


@pytest.mark.parametrize("name", ["Net", "make_net"])
def test_a_users_model_is_handed_what_the_data_are_and_comes_back_from_its_file(
    flowers: str, name: str, params_with: Callable[..., Path]
) -> None:
    stated = f"{{name: imported, import: '{flowers}:{name}', arguments: {{labels: classes, shape: shape}}}}"
    root = processed(params_with(QUICK, ("{name: mlp, hidden: [64]}", stated)))
    call("train", root)
    described, weights = read_model(root)
    stored = json.loads((root / MODEL).read_text())["model"]
    assert (stored["import"], stored["version"]) == (f"flowers:{name}", "wild-flowers 1.2")
    images = torch.zeros(2, 1, 2, 2, dtype=torch.uint8)
    logits = predict(rebuild(described, weights), images, Preparation(described.mean, described.deviation))
    assert logits.shape == (2, 3)


def stored(root: Path, **changed: str) -> None:
    trained = TrainedModel(
        model=MODELS.choose(model("flowers:Net")), shape=(1, 2, 2), classes=["a", "b"], mean=[0.0], deviation=[1.0]
    )
    write_model(root, trained, {})
    document = json.loads((root / MODEL).read_text())
    document["model"] |= changed
    (root / MODEL).write_text(json.dumps(document))


@pytest.mark.usefixtures("flowers")
def test_a_stored_model_says_which_distribution_is_missing(tmp_path: Path) -> None:
    stored(tmp_path, **{"import": "ferns:Net", "version": "ferns 3"})
    with pytest.raises(
        ArtifactError, match=r"model\.json names a model that cannot be built here .*no installed distribution.*'ferns'"
    ):
        read_model(tmp_path)


@pytest.mark.usefixtures("flowers")
def test_a_stored_model_says_which_version_it_was_trained_with(tmp_path: Path) -> None:
    stored(tmp_path, version="wild-flowers 1.1")
    with pytest.raises(ArtifactError, match=r"version: found 'wild-flowers 1\.1', and 'wild-flowers 1\.2' is installed"):
        read_model(tmp_path)
    stored(tmp_path, version="wild-flowers 1.2+cpu")
    assert read_model(tmp_path)[0].model.name == "imported"


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({}, ".import: missing; expected a value"),
        ({"import": "torch.nn"}, ".import: found 'torch.nn'; expected `package.module:Object`"),
        ({"import": "torch.nn:Module.forward"}, "expected `package.module:Object`"),
        ({"import": "os:system"}, "no installed distribution has a package 'os'"),
        ({"import": "ferns:Net"}, "no installed distribution has a package 'ferns'"),
        ({"import": "torch.nn:Linear", "version": "torch 1.0"}, ".version: found 'torch 1.0', and 'torch 2"),
        (
            {"import": "torch.nn:Linear", "import_": "x"},
            ".import_: unknown option of imported; expected one of import, options",
        ),
        ({"import": "torch.nn:Linear", "options": [1]}, ".options: found [1]"),
        (
            {"import": "torch.nn:Linear", "arguments": {"x": "clases"}},
            "expected one of classes, channels, height, width, shape; did you",
        ),
    ],
)
def test_what_cannot_be_right_is_refused_without_importing_it(stated: dict[str, Any], message: str) -> None:
    assert message in refused(MODELS, {"name": "imported", **stated})


@pytest.mark.usefixtures("flowers")
@pytest.mark.parametrize(
    ("stated", "message"),
    [
        (model("flowers:Nett"), "flowers has no 'Nett'; did you mean 'Net'?"),
        (model("flowers.gone:Net"), "flowers.gone:Net cannot be imported: ModuleNotFoundError: No module named 'flowers.gone'"),
        (model("flowers:number"), "is a value of type int; expected a class derived from torch.nn.modules.module.Module"),
        (model("flowers:wild"), "is the function wild without a return annotation; expected a class"),
        (model("flowers:lying"), "flowers:lying returned a value of type str; expected torch.nn.modules.module.Module"),
        (
            model("flowers:Closure"),
            "is the class flowers.Closure; expected a class derived from torch.nn.modules.module.Module",
        ),
        (model("flowers:Net", options={"depth": 3}), "failed with labels=5, shape=(1, 3, 3), depth=3: TypeError"),
        (model("flowers:Net", options={"labels": 3}), "options holds labels, which is handed over already"),
        (model("flowers:Twice"), "makes tuple of two images; expected logits (2, 5)"),
        (
            model("flowers:Net", arguments={"labels": "height", "shape": "shape"}),
            "makes (2, 3) of two images; expected logits (2, 5)",
        ),
        (
            {"name": "imported", "import": "torchvision.models:resnet18"},
            "does not take images (2, 1, 3, 3) (N, C, H, W): RuntimeError",
        ),
        (model("torch.hub:load"), "is the function load without a return annotation"),
    ],
)
def test_what_is_no_model_for_these_images_is_refused(stated: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError) as error:
        build(MODELS, stated, (1, 3, 3), 5)
    assert message in str(error.value)


@pytest.mark.usefixtures("flowers")
@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"import": "flowers:Trained", "options": {"in_features": 1, "out_features": 1}}, "has weights of its own"),
        ({"import": "torch.nn:CrossEntropyLoss", "options": {"smoothing": 1}}, "failed with smoothing=1: TypeError"),
        ({"import": "torch.optim:SGD"}, "expected a class derived from torch.nn.modules.module.Module or torch.Tensor"),
    ],
)
def test_what_is_no_loss_is_refused(stated: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError) as error:
        build(LOSSES, {"name": "imported", **stated})
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        (
            {"import": "torch.nn:CrossEntropyLoss", "options": {"reduction": "none"}},
            "returned torch.float32 (4,); expected one number",
        ),
        (
            {"import": "torch.nn:BCEWithLogitsLoss"},
            "does not take logits (4, 3) and targets (4,) torch.int64 (targets: labels): ValueError",
        ),
        ({"import": "torch.nn.functional:cross_entropy", "options": {"gamma": 2}}, "unexpected keyword argument 'gamma'"),
    ],
)
def test_a_loss_that_does_not_take_the_batch_or_returns_no_number_says_so(stated: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError) as error:
        build(LOSSES, {"name": "imported", **stated})(torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64))
    assert message in str(error.value)


def test_a_loss_is_handed_shares_of_classes_as_they_are() -> None:
    shares = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.25, 0.75]])
    for targets in ("labels", "one_hot"):
        loss = build(LOSSES, {"name": "imported", "import": "torch.nn:CrossEntropyLoss", "targets": targets})
        assert loss(torch.zeros(2, 3), shares).item() == pytest.approx(math.log(3))


@pytest.mark.usefixtures("flowers")
@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"import": "flowers:Closure"}, "has a step that needs closure; expected an optimizer whose step takes the gradients"),
        (
            {"import": "torch.nn:Linear"},
            "is the class torch.nn.modules.linear.Linear; expected a class derived from torch.optim",
        ),
        ({"import": "torch.optim:SGD", "options": {"lr": 1}}, "options holds lr, which is handed over already"),
        (
            {"import": "torch.optim:SGD", "options": {"momentum": -1}},
            "failed with lr=0.001, momentum=-1: ValueError: Invalid momentum",
        ),
    ],
)
def test_what_is_no_optimizer_for_the_loop_is_refused(stated: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError) as error:
        build(OPTIMIZERS, {"name": "imported", **stated}, linear().parameters())
    assert message in str(error.value)


def test_an_optimizer_of_torch_has_the_learning_rate_and_the_options() -> None:
    made = build(
        OPTIMIZERS,
        {"name": "imported", "import": "torch.optim:Adamax", "learning_rate": 0.2, "options": {"betas": [0.8, 0.9]}},
        nn.Linear(1, 1).parameters(),
    )
    assert isinstance(made, optim.Adamax)
    assert (made.param_groups[0]["lr"], list(made.param_groups[0]["betas"])) == (0.2, [0.8, 0.9])
