"""The loss of distillation is that of the paper, and a student with the teacher's form becomes the teacher."""

import torch
from torch.nn import functional

from tasks.learning.imitation import imitation_loss

GENERATOR = torch.Generator().manual_seed(0)
STUDENT, TEACHER = (torch.randn(5, 4, generator=GENERATOR) for _ in range(2))
LABELS = torch.tensor([0, 3, 1, 1, 2])


def test_the_loss_is_written_out() -> None:
    t, weight = 4.0, 0.3
    p, q = torch.softmax(TEACHER / t, 1), torch.softmax(STUDENT / t, 1)
    soft = t**2 * (p * (p.log() - q.log())).sum(1).mean()
    hard = -torch.log_softmax(STUDENT, 1)[torch.arange(5), LABELS].mean()
    torch.testing.assert_close(imitation_loss(STUDENT, TEACHER, LABELS, t, weight), 0.7 * soft + 0.3 * hard)


def test_the_soft_part_is_zero_where_both_say_the_same_and_its_gradient_keeps_its_scale() -> None:
    assert imitation_loss(TEACHER, TEACHER, LABELS, 4.0, 0.0).abs() < 1e-6
    # For high temperatures the gradient nears that of half the squared difference of the centred logits, divided by the classes.
    logits = STUDENT.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(imitation_loss(logits, TEACHER, LABELS, 1000.0, 0.0), logits)
    difference = (STUDENT - STUDENT.mean(1, keepdim=True)) - (TEACHER - TEACHER.mean(1, keepdim=True))
    torch.testing.assert_close(gradient, difference / (4 * len(STUDENT)), rtol=0.02, atol=1e-3)


def test_with_all_the_weight_on_the_labels_it_is_cross_entropy() -> None:
    torch.testing.assert_close(imitation_loss(STUDENT, TEACHER, LABELS, 2.0, 1.0), functional.cross_entropy(STUDENT, LABELS))
