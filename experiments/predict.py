"""Adapts to a support set of one's own files and predicts queries.

    python -m experiments.predict --support CSV|FOLDER --query CSV|FOLDER [--workdir DIR]
        [--model NAME] [--features published|plain] [--columns MODALITY:COLUMN,...]
        [--risk SHARE] [--out FILE.csv] [--report FILE.html]

A CSV has a header, a row for each thing, the class in the column "label" and paths that begin at
its folder; a folder holds a folder for each class. Labels of queries may be absent; where they are
there, the accuracy is told, of classes that the support set has. Without --workdir nothing is
trained: pictures, sounds and texts are seen through published encoders where their weights are
installed, or by pixels, log-mel frames and n-grams of letters. What is written beside a query's own
columns:

  predicted       the likeliest class
  p(CLASS)        its probability; where a class has two rows, at the temperature that suits the
                  support rows best, each predicted from all others (those of its class that share
                  its cell in the column "group", if there is one, are left out with it)
  none_of_these   m / (n + 1), where m of those n rows lie nearer to their own class than the query
                  to its nearest: of queries drawn as the support rows were, about one in twenty
                  has 0.95 or more, of queries from elsewhere more. Empty if each class has one row
  contribution(M) of each modality to the logarithm of the predicted class's probability (Shapley
                  values, in nats); they add up to log(probability * classes). Up to 4 modalities
  abstain         with --risk: whether the confidence is below the least at which no larger share
                  of those rows err
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments import compiled, predicted, queries, verdict
from experiments.features import FEATURES
from experiments.names import as_path, parse_pairs


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m experiments.predict", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--support", type=as_path, required=True, help="CSV or folder, with labels")
    parser.add_argument("--query", type=as_path, required=True, help="CSV or folder")
    parser.add_argument("--workdir", type=as_path, help="of a run that was trained")
    parser.add_argument("--model", help="of the run; its first unless given")
    parser.add_argument("--features", choices=FEATURES, default=FEATURES[0], help="without a run")
    parser.add_argument("--columns", default="", help="as image:photo,tabular:height+width")
    parser.add_argument("--risk", type=float, help="share of errors from which it abstains")
    parser.add_argument("--out", type=as_path, default=Path("predictions.csv"), help="the CSV")
    parser.add_argument("--report", type=as_path, help="a page with pictures and nearest rows")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Predicts as the arguments ask, writes the files and tells how good it is."""
    parser = _parser()
    args = parser.parse_args(argv)
    compiled.keep()
    try:
        if args.model and not args.workdir:
            raise ValueError(f"--model {args.model} is of a run: name that run with --workdir")
        queries.check_targets(args.out, args.report, args.support, args.query)
        answers = queries.answer(
            *(args.support, args.query),
            **{"workdir": args.workdir, "model": args.model, "risk": args.risk},
            features=args.features,
            columns=parse_pairs(args.columns),
            say=lambda text: print(text, file=sys.stderr),
        )
        queries.write(answers, args.out, abstains=args.risk is not None)
        if args.report:
            predicted.write_page(answers, args.report)
    except (ValueError, OSError, ImportError) as error:
        raise SystemExit(f"{parser.prog}: {error}") from error
    print("\n".join([*verdict.told(answers), *map(str, filter(None, (args.out, args.report)))]))


if __name__ == "__main__":
    main()
