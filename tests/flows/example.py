"""DVC's public example pipeline, https://github.com/iterative/example-get-started, rebuilt small.

The stages, files, parameters and plots are those of its dvc.yaml, with `evaluate` as DVC's Get Started adds it: which questions of
StackOverflow are about R. The scripts are written anew, without pandas and scikit-learn, and the questions are made up.
"""

import random
from pathlib import Path

from tests.conftest import Project

STAGES = ("prepare", "featurize", "train", "evaluate")

PIPELINE = """
stages:
  prepare:
    cmd: python src/prepare.py data/data.xml
    deps:
      - data/data.xml
      - src/prepare.py
    params:
      - prepare.seed
      - prepare.split
    outs:
      - data/prepared
  featurize:
    cmd: python src/featurization.py data/prepared data/features
    deps:
      - data/prepared
      - src/featurization.py
    params:
      - featurize.max_features
      - featurize.ngrams
    outs:
      - data/features
  train:
    cmd: python src/train.py data/features model.pkl
    deps:
      - data/features
      - src/train.py
    params:
      - train.min_split
      - train.n_est
      - train.seed
    outs:
      - model.pkl
  evaluate:
    cmd: python src/evaluate.py model.pkl data/features
    deps:
      - data/features
      - model.pkl
      - src/evaluate.py
    outs:
      - eval/importance.png
      - eval/live/plots:
          cache: false
      - eval/prc:
          cache: false
    metrics:
      - eval/live/metrics.json:
          cache: false
plots:
  - ROC:
      template: simple
      x: fpr
      y:
        eval/live/plots/sklearn/roc/train.json: tpr
        eval/live/plots/sklearn/roc/test.json: tpr
  - Confusion-Matrix:
      template: confusion
      x: actual
      y:
        eval/live/plots/sklearn/cm/train.json: predicted
        eval/live/plots/sklearn/cm/test.json: predicted
  - Precision-Recall:
      template: simple
      x: recall
      y:
        eval/prc/train.json: precision
        eval/prc/test.json: precision
  - eval/importance.png
artifacts:
  stackoverflow-dataset:
    path: data/data.xml
    type: dataset
  text-classification:
    path: model.pkl
    type: model
    labels: [nlp, classification, stackoverflow]
"""

PARAMS = """prepare:
  split: 0.20
  seed: 20170428

featurize:
  max_features: 40
  ngrams: 2

train:
  seed: 20170428
  n_est: 20
  min_split: 0.01
"""

PREPARE = """
import random, sys
from pathlib import Path
from xml.etree import ElementTree
from ruamel.yaml import YAML

params = YAML(typ="safe").load(Path("params.yaml"))["prepare"]
chance, folder = random.Random(params["seed"]), Path("data/prepared")
folder.mkdir(parents=True, exist_ok=True)
with (folder / "train.tsv").open("w") as train, (folder / "test.tsv").open("w") as test:
    for row in ElementTree.parse(sys.argv[1]).getroot():
        file = train if chance.random() > params["split"] else test
        print(row.get("Id"), int("<r>" in row.get("Tags")), f"{row.get('Title')} {row.get('Body')}", sep="\\t", file=file)
"""

FEATURIZE = """
import pickle, sys
from collections import Counter
from pathlib import Path
from ruamel.yaml import YAML

params = YAML(typ="safe").load(Path("params.yaml"))["featurize"]

def grams(text):
    words = text.lower().split()
    return {" ".join(words[at:at + n]) for n in range(1, params["ngrams"] + 1) for at in range(len(words) - n + 1)}

def rows(name):
    return [line.split("\\t") for line in (Path(sys.argv[1]) / name).read_text().splitlines()]

counts = Counter(gram for _, _, text in rows("train.tsv") for gram in sorted(grams(text)))
names = sorted(counts, key=lambda gram: (-counts[gram], gram))[:params["max_features"]]
Path(sys.argv[2]).mkdir(parents=True, exist_ok=True)
for name in ("train", "test"):
    matrix = [(int(label), [int(gram in grams(text)) for gram in names]) for _, label, text in rows(f"{name}.tsv")]
    (Path(sys.argv[2]) / f"{name}.pkl").write_bytes(pickle.dumps((matrix, names)))
"""

TRAIN = '''
import pickle, random, sys
from pathlib import Path
from ruamel.yaml import YAML

params = YAML(typ="safe").load(Path("params.yaml"))["train"]
chance = random.Random(params["seed"])
matrix, names = pickle.loads((Path(sys.argv[1]) / "train.pkl").read_bytes())

def tree():
    """A tree of one split, which a bootstrap sample chose among a few columns."""
    sample = chance.choices(matrix, k=len(matrix))
    best = (0.0, 0, 0.5, 0.5)
    for column in chance.sample(range(len(names)), 6):
        sides = [[label for label, values in sample if values[column] == side] for side in (0, 1)]
        if min(map(len, sides)) >= max(1, params["min_split"] * len(sample)):
            without, having = (sum(side) / len(side) for side in sides)
            best = max(best, (abs(having - without), column, without, having))
    return best

Path(sys.argv[2]).write_bytes(pickle.dumps([tree() for _ in range(params["n_est"])]))
'''

EVALUATE = """
import json, pickle, sys
from pathlib import Path
from PIL import Image, ImageDraw

model = pickle.loads(Path(sys.argv[1]).read_bytes())

def write(file, document):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document))

metrics = {"avg_prec": {}, "roc_auc": {}}
for name in ("train", "test"):
    matrix, names = pickle.loads((Path(sys.argv[2]) / f"{name}.pkl").read_bytes())
    scored = [(sum(tree[2 + values[tree[1]]] for tree in model) / len(model), label) for label, values in matrix]
    positives = [score for score, label in scored if label]
    negatives = [score for score, label in scored if not label]
    curve = []
    for threshold in sorted({score for score, _ in scored}, reverse=True):
        hits, alarms = (sum(score >= threshold for score in side) for side in (positives, negatives))
        point = {"tpr": hits / len(positives), "fpr": alarms / len(negatives), "precision": hits / (hits + alarms)}
        curve.append(point | {"recall": point["tpr"], "threshold": threshold})
    before = [{"recall": 0.0}, *curve]
    metrics["avg_prec"][name] = sum((one["recall"] - last["recall"]) * one["precision"] for last, one in zip(before, curve))
    pairs = [(high > low) + 0.5 * (high == low) for high in positives for low in negatives]
    metrics["roc_auc"][name] = sum(pairs) / len(pairs)
    write(Path(f"eval/live/plots/sklearn/roc/{name}.json"), {"roc": curve})
    cells = [{"actual": str(label), "predicted": str(int(score > 0.5))} for score, label in scored]
    write(Path(f"eval/live/plots/sklearn/cm/{name}.json"), {"cm": cells})
    write(Path(f"eval/prc/{name}.json"), {"prc": curve})
write(Path("eval/live/metrics.json"), metrics)

picture = Image.new("RGB", (2 * len(names), 50), "white")
for column in range(len(names)):
    height = 50 * sum(tree[0] for tree in model if tree[1] == column) / len(model)
    ImageDraw.Draw(picture).rectangle((2 * column, 50 - height, 2 * column, 50), fill="black")
picture.save("eval/importance.png")
"""

SCRIPTS = {"prepare": PREPARE, "featurization": FEATURIZE, "train": TRAIN, "evaluate": EVALUATE}


COMMON = ("how", "to", "plot", "a", "column", "of", "my", "table", "sort", "merge")


def questions(number: int) -> str:
    """The dump of StackOverflow in small: questions about R have some words more often."""
    chance, rows = random.Random(1), []
    for index in range(number):
        tag, own = chance.choice([("r", ["ggplot", "vector", "dataframe"]), ("python", ["list", "tuple", "decorator"])])
        words = [*chance.choices(COMMON, k=8), chance.choice([*own, *COMMON[:2]])]
        chance.shuffle(words)
        rows.append(f'  <row Id="{index}" Tags="&lt;{tag}&gt;" Title="{" ".join(words[:4])}" Body="{" ".join(words[4:])}" />')
    return "\n".join(["<posts>", *rows, "</posts>", ""])


def build(root: Path) -> Project:
    """The repository before its first run, with the data added by `dvc add`."""
    for name, text in SCRIPTS.items():
        (root / "src").mkdir(parents=True, exist_ok=True)
        (root / f"src/{name}.py").write_text(text)
    (root / "data").mkdir()
    (root / "data/data.xml").write_text(questions(200))
    (root / "dvc.yaml").write_text(PIPELINE)
    (root / "params.yaml").write_text(PARAMS)
    project = Project(root)
    for command in ("git init -q", "dvc init -q", "dvc add -q data/data.xml", "git add -A", "git commit -qm Start"):
        project.run(*command.split())
    return project
