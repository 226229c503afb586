"""The vocabulary of fsjax: the arrays that flow, and the protocols that parts obey.

Letters in shapes, here and in every docstring: T tasks, W ways, K shots, S support
rows, Q query rows, B any batch, L tokens, D features, C classes in a pool, P most rows
of a class, N rows of a source, E episodes, M modalities.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

Array = jax.Array
Key = jax.Array
Step = jax.Array
Params = Any  # a pytree of arrays
Stats = Any  # a pytree of normalisation statistics; empty for networks without them
Task = Any  # a pytree: what `adapt` learned from one support set
OptState = Any
Batch = Any  # what an objective eats: an Episode, with a leading [T] or without, or rows
Metrics = Mapping[str, Array]


class Inputs(NamedTuple):
    """Rows as seen through several modalities, any of which may be missing."""

    values: Mapping[str, Any]  # modality -> [B, ...]: image [B,H,W,C] uint8, text [B,L] int32,
    # audio [B,frames,mels], tabular [B,K], or Tokens of an encoder that has already run
    present: Mapping[str, Array]  # modality -> [B], 1 observed, 0 missing


class Tokens(NamedTuple):
    """What an encoder makes of one modality."""

    values: Array  # [B, L, D]
    mask: Array  # [B, L], 1 token, 0 padding


class Support(NamedTuple):
    """The labelled examples that a learner adapts to."""

    inputs: Inputs  # [S, ...]
    labels: Array  # [S, W] one-hot or soft; an all-zero row is padding
    side: Inputs  # [W, ...] class descriptions; may be empty


class Episode(NamedTuple):
    """One few-shot task."""

    support: Support
    query: Inputs  # [Q, ...]; carries no labels
    targets: Array  # [Q, W] one-hot; an all-zero row is ignored by losses and metrics


class Labelled(NamedTuple):
    """Rows of any classes, for training that knows no episodes."""

    inputs: Inputs  # [B, ...]
    targets: Array  # [B, C] one-hot over all classes of a pool; an all-zero row is ignored


class Source(NamedTuple):
    """Modalities that were recorded together: one row, one thing."""

    inputs: Inputs  # [N, ...]
    index: Array  # [C, P] int32 rows of each class; beyond count, any row
    count: Array  # [C] int32 rows that each class has
    group: Array  # [N] int32 designer, speaker ...; episodes can keep groups apart


class Pool(NamedTuple):
    """A split of a data set, on the device."""

    sources: Mapping[str, Source]  # each is drawn without replacement per class and episode
    side: Inputs  # [C, ...] class descriptions; may be empty


class Network(NamedTuple):
    """What a Flax module becomes: rows in, features out."""

    init: Callable[[Key, Inputs], Params]
    apply: Callable[..., tuple[Array, Stats]]
    # (params, inputs, *, weight=None, stats=None, key=None, train=False)
    # -> features [B, D], stats; weight [B] of the rows in the statistics


class Head(NamedTuple):
    """A classifier over features; it knows nothing of networks."""

    init: Callable[[Key, Array, Array], Params]  # key, z [S, D], y [S, W]
    fit: Callable[[Params, Array, Array], Task]  # params, z [S, D], y [S, W]
    score: Callable[[Params, Task, Array], Array]  # params, task, z [Q, D] -> logits [Q, W]


class Learner(NamedTuple):
    """A few-shot method."""

    init: Callable[[Key, Support], Params]
    adapt: Callable[..., Task]  # (params, support, *, key=None, train=False)
    predict: Callable[..., Array]  # (params, task, query, *, key=None, train=False) -> [Q, W]


class Condition(NamedTuple):
    """What is known of the classes whose rows are to be generated."""

    prototype: Array  # [B, ...] the mean of their rows; zeros where it is not to be used
    side: Array  # [B, C] what describes them; C may be 0


class Examples(NamedTuple):
    """Real rows beside what a generator is told of their classes."""

    rows: Array  # [B, ...]
    condition: Condition  # [B, ...]
    weight: Array  # [B], 0 for padding, whose rows are finite


class Generator(NamedTuple):
    """Rows of classes of which little is known."""

    init: Callable[[Key, Examples], Params]
    generate: Callable[[Params, Condition, Key], Array]  # [B, ...] of each a row [B, ...]


class Critic(NamedTuple):
    """How real rows look, as rows of their classes."""

    init: Callable[[Key, Examples], Params]
    score: Callable[[Params, Array, Condition], Array]  # params, rows [B, ...], condition -> [B]


class Autoencoder(NamedTuple):
    """A generator whose noise is a code that rows can be given."""

    init: Callable[[Key, Examples], Params]
    generate: Callable[[Params, Condition, Key], Array]  # of codes drawn from N(0, 1)
    encode: Callable[[Params, Array, Condition], tuple[Array, Array]]  # mean, log variance [B, Z]
    decode: Callable[[Params, Array, Condition], Array]  # params, codes [B, Z] -> rows [B, ...]


Objective = Callable[[Params, Batch, Key, Step], tuple[Params, Metrics]]  # -> gradients, metrics
Sample = Callable[[Key], Batch]
# params, episode, key -> features [S + Q, ...] of all rows, zero for padding, and labels [S + Q, W]
Embed = Callable[[Params, Episode, Key], tuple[Array, Array]]


class Best(NamedTuple):
    """The best parameters so far, by a figure measured on validation."""

    params: Params
    figure: Array  # [] the validation figure, larger is better
    step: Array  # [] int32 the step at which it was reached
    misses: Array  # [] int32 validations since then that did not improve on it


class TrainState(NamedTuple):
    """All that a run is: nothing else is carried from step to step."""

    params: Params
    opt_state: OptState
    key: Key  # constant; step i uses fold_in(key, i)
    step: Array  # [] int32 steps done
    best: Best
