"""The checks that are run where none are stated, and those of them that a good fit needs.

Both are written down, as a diagnosis must not depend on files of the folder of checks that are not listed.
"""

CHECKS = (
    "integrity",
    "near_duplicates",
    "shift",
    "support",
    "learning",
    "batch_order",
    "performance",
    "underfit",
    "undertrained",
    "memorised",
    "label_noise",
    "gap",
    "overtrained",
    "overconfident",
    "calibration",
    "slices",
    "selection",
    "membership",
)
# Their modules say `REQUIRED`; docs/decisions/what-a-good-fit-needs.md says why.
REQUIRED = ("integrity", "learning", "performance", "overtrained", "overconfident")
