"""What is said of predictions: how good they are, as far as that is known."""

import math

import numpy as np

from experiments.queries import LABEL, Answers

ODD = 0.95  # none_of_these from which a query counts as none


def told(answers: Answers) -> list[str]:
    """Lines on predictions: of left-out rows, of labelled queries, of those that abstain."""
    predictor, found = answers.predictor, answers.predictions
    lines = []
    if predictor.left_out is not None:
        right = predictor.left_out.right
        lines.append(f"support rows, each left out: {_share(right)} right")
    if LABEL in answers.query.header:
        lines += _accuracy(answers)
    if predictor.least_confidence > 0:
        lines.append(
            f"{found.abstain.sum()} of {len(found.labels)} queries abstain, with a confidence "
            f"below {predictor.least_confidence:.3f}"
        )
    return lines


def _accuracy(answers: Answers) -> list[str]:
    classes, found = np.array(answers.predictor.classes), answers.predictions
    true = np.array(answers.query.column(LABEL))
    given, known = true != "", np.isin(true, classes)
    right = classes[found.labels] == true
    lines = [f"accuracy: {_share(right[known])} of queries with a label" if known.any() else ""]
    if found.abstain.any() and (kept := known & ~found.abstain).any():
        lines.append(f"accuracy of those that do not abstain: {_share(right[kept])}")
    if (strange := given & ~known).any():
        names = sorted(set(true[strange]))
        text = (
            f"queries of classes that the support set lacks: {strange.sum()} "
            f"({', '.join(names[:5])}{', ...' if len(names) > 5 else ''}): not in the accuracy"
        )
        lines.append(text + _told_apart(answers, strange, known))
    return [line for line in lines if line]


def _told_apart(answers: Answers, strange: np.ndarray, known: np.ndarray) -> str:
    """How many queries of classes that the support set lacks, and of others, are odd."""
    left_out = answers.predictor.left_out
    if left_out is None:
        return ""
    # The largest of n / (n + 1) reaches ODD from this n on.
    if (count := len(left_out.own)) < (least := math.ceil(ODD / (1 - ODD) - 1e-9)):
        return (
            f"; to tell them by none_of_these wants {least} support rows that have another of "
            f"their class, and there are {count}"
        )
    odd = answers.predictions.none_of_these >= ODD
    return (
        f"; {(odd & strange).sum()} of them have none_of_these of {ODD} or more, as have "
        f"{(odd & known).sum()} of the {known.sum()} others"
    )


def _share(right: np.ndarray) -> str:
    """A share of 0 and 1 in %, with its 95% interval (Wilson 1927)."""
    from scipy.stats import binomtest  # takes as long to import as jax itself

    low, high = binomtest(int(right.sum()), len(right)).proportion_ci(0.95, "wilson")
    return f"{right.mean():.1%} ({low:.1%} to {high:.1%}) of {len(right)}"
