"""What other libraries call the things that parameters name, so that an error can say what they are called here."""

from difflib import get_close_matches

# Options of torch, timm, Keras and transformers, by their names there; the first of ours that the chosen component has is meant.
OPTIONS: dict[str, tuple[str, ...]] = {
    "adjust_lr_fn": ("adjust_learning_rate",),
    "alpha_f": ("final_fraction",),
    "base_lr": ("learning_rate",),
    "betas": ("beta1 and beta2",),
    "beta_1": ("beta1",),
    "beta_2": ("beta2",),
    "d": ("clip_threshold",),
    "decay_rate": ("gamma",),
    "drop_rate": ("dropout",),
    "eps": ("epsilon",),
    "eta_min": ("final_fraction",),
    "every_epochs": ("step_size",),
    "factor": ("gamma",),
    "gamma": ("factor",),
    "hidden_layer_sizes": ("hidden",),
    "hidden_size": ("hidden",),
    "lr": ("learning_rate",),
    "lr_decay": ("learning_rate_decay",),
    "min_lr": ("min_fraction", "final_fraction"),
    "min_lr_ratio": ("final_fraction",),
    "ns_steps": ("newton_schulz_steps",),
    "p": ("dropout",),
    "smoothing": ("label_smoothing",),
    "weight": ("class_weights",),
}
# What the option of a component is elsewhere is another key here, or follows from one.
LENGTH = "the length of the run is train.epochs, and every schedule has it from there"
WARMUP = "train.warmup.epochs is the warm-up before any schedule"
KEYS: dict[str, str] = {
    "T_max": LENGTH,
    "epochs": LENGTH,
    "steps_per_epoch": LENGTH,
    "total_iters": LENGTH,
    "total_steps": LENGTH,
    "num_training_steps": LENGTH,
    "max_epochs": "it is train.epochs here",
    "num_epochs": "it is train.epochs here",
    "max_lr": "the highest learning rate is train.optimizer.learning_rate",
    "lr": "it is train.optimizer.learning_rate here",
    "learning_rate": "it is train.optimizer.learning_rate here",
    "auto_lr_find": "train.optimizer.learning_rate: auto runs a range test",
    "lr_find": "train.optimizer.learning_rate: auto runs a range test",
    "num_warmup_steps": WARMUP,
    "warmup_epochs": WARMUP,
    "warmup_t": WARMUP,
    "cycle_momentum": "the momentum stays as it is",
    "num_classes": "the data say how many classes there are",
    "in_channels": "the data say how many channels there are",
    "reduction": "a loss is the mean over the batch",
    "weight_decay": "train.regularisation.l2 adds it to the gradient, as torch does, but not to that of biases",
}
# Names of components that do not resemble ours, in lower case, without underscores and hyphens.
COMPONENTS: dict[str, str] = {
    "nll": "cross_entropy",  # a loss takes logits here, and torch's nll_loss of their log-softmax is the cross-entropy
    "nllloss": "cross_entropy",
    "negativeloglikelihood": "cross_entropy",
}


def option_hint(key: str, own: list[str]) -> str:
    """What an option is called here, as a part of a sentence; empty where the table does not know it."""
    for ours in OPTIONS.get(key, ()):
        if set(ours.split(" and ")) <= set(own):
            return f"it is {ours} here"
    return KEYS.get(key, "")


def nearest(found: str, allowed: list[str]) -> str | None:
    """The name that was probably meant: `CrossEntropyLoss` is cross_entropy, `BCEWithLogitsLoss` bce."""
    if COMPONENTS.get(_plain(found)) in allowed:
        return COMPONENTS[_plain(found)]
    plain = {_plain(name): name for name in allowed}
    close = get_close_matches(_plain(found), plain, n=1, cutoff=0.5)
    within = sorted((name for name in plain if len(name) > 2 and name in _plain(found)), key=len)
    return next((plain[name] for name in [*close, *within[-1:]]), None)


def _plain(name: str) -> str:
    return name.casefold().replace("_", "").replace("-", "")
