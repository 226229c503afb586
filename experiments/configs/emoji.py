"""The main job: a prototypical network that fuses drawings, names and speech by attention.

Claim: on emoji classes never seen, with support and query drawn by different design teams, the
fusion beats the best single modality; see the table of results in the README.
Cost: 4 to 6 minutes on 2 CPU cores, six models together.
Command: python -m experiments.train
"""

from ml_collections import ConfigDict, FieldReference


def get_config() -> ConfigDict:
    """The default configuration; any value can be overridden, as in --config.train.steps=100."""
    return ConfigDict(
        {
            "seed": 0,
            # More than 1: the models of so many seeds, `seed` and those after it, as one program;
            # each ends in a work directory of its own below the run's.
            "seeds": 1,
            # Programs that draw the figures of training as they come, if they are installed:
            # tensorboard, wandb.
            "track": "",
            "workers": 0,  # models trained side by side; 0: two on CPU, one on an accelerator
            # Over which the tasks of a step, or seeds, and test episodes are spread; 0: as many as
            # jax sees and divide their number. On CPU jax sees one, unless more are asked for: a
            # core each. More than 1 and one task a step: the rows of the task are spread.
            "devices": 0,
            "data": {
                # emoji | folder | csv | grocery | npz | omniglot | speech_commands | tfds
                "name": "emoji",
                "path": "",  # of a folder, CSV or npz, of Omniglot's, or of a prepared TFDS version
                "splits": "digest",  # of names | halves | alphabet (of Omniglot) | a JSON file
                "rotations": False,  # an image turned by 90, 180, 270 degrees is another class
                "reflections": False,  # a training image mirrored is of another class
                "columns": "",  # npz, tfds, csv: modality:key,modality:key; csv: found unless named
                "label": "label",  # csv, tfds: the column or feature that names the class
                "parts": "",  # tfds: its splits to read, as in train,test; all unless named
                # Modalities at mean 0 and deviation 1, number by number, over the training rows.
                "standardise": "",
                "image_size": 32,  # folder, csv, omniglot, tfds
                # Folder, csv, tfds: bytes of a text; 1024 at least for a frozen encoder.
                "text_length": 64,
                "frames": 96,  # folder, csv: of a sound, 20 ms each
                "steps": 128,  # folder, csv: of a series
                "seconds": 5.0,  # folder, csv: of sounds that a frozen encoder hears as waves
                # Images, sounds and series stay off the device until they are asked for: in the
                # files of a folder, csv or tfds, in the memory of the host of all other data.
                "stream": False,
                "ahead": 8,  # steps of training whose rows are then read ahead, at once
                # On several devices: each keeps a part of the training images and sounds, in place
                # of all, and devices give each other what a step draws.
                "divide": False,
            },
            "modalities": "image,text,audio",
            # Modalities, and descriptions of classes, seen once through a published encoder whose
            # features are table rows from then on: image:efficientnet_lite0,text:minilm
            "frozen": "",
            # By modality or kind, as image of image.front; what has none here, by tabular. So has a
            # frozen modality, unless this is linear, linear_unit, mlp or raw.
            "encoders": {
                "image": "conv4",
                "text": "ngrams",
                "audio": "conv_audio",
                "series": "conv_series",
                "tabular": "mlp",
            },
            # bfloat16: networks compute in it, in tests all but encoders that see each row once;
            # parameters, gradients, statistics and losses stay float32.
            "precision": "float32",
            "norm": "calibrated",  # an episode's in training, the training set's at test
            "fusion": "attention",
            # metric | maml | anil | boil | meta_sgd | maml_pp | reptile | imaml | proto_maml
            # | hallucinate | pictures | imputed | am3 | described | tip_adapter | finetune | probe
            # | lora
            "learner": "metric",
            # am3, described, tip_adapter: kinds of class descriptions, each with an encoder; words,
            # for emoji.
            "side": "",
            "side_weight": 1.0,  # described: each description counts as so many support rows
            "inner": {  # the steps of learners that take gradients, from maml to proto_maml
                "rate": 0.1,
                "steps": 5,
                "test_steps": 10,
                # Share of training, from its start, without second derivatives; imaml has its own.
                "first_order": 0.0,
                "multi_step": 0.1,  # maml_pp: share of training in which losses of all steps count
                "strength": 2.0,  # imaml: of the pull towards the start
                "iterations": 5,  # imaml: of conjugate gradients
                "rematerialise": False,  # less memory for many steps, which are computed twice
                # Or a part: network/fusion, network/encoders_image; anil and boil have their own.
                "adapts": "network,head",
            },
            # Of the learners finetune, probe (the head alone) and lora (low-rank adapters and the
            # head): they train as metric does, and are tuned to each support set at test by Adam.
            "finetune": {
                "parts": "network,head",  # of finetune; or last layers, as in network/fusion,head
                "rate": 1e-3,  # of the last layer
                "steps": 25,
                "decay": 1.0,  # a layer's rate over that of the layer above it
            },
            "low_rank": {"rank": 4, "alpha": 4.0},  # of lora, and of a base that begins so
            # A network that is trained before all else, by prototypes, and stays as it is unless
            # `begins` says otherwise: all models are trained at its features. Without steps each
            # model has its own network.
            "base": {
                "steps": 0,
                "chunk": 100,
                "learning_rate": 3e-3,
                "objective": "own",  # as below: own | leave_one_out | supervised
                # frozen | tuned: it is what each model begins with | low_rank: it stays as it is,
                # and each model learns adapters beside its kernels, see `low_rank`
                "begins": "frozen",
                # Of the training classes; the models see the others, whose features look as those
                # of classes never seen do. 1: all train both.
                "share": 1.0,
            },
            "generation": {  # of the learners hallucinate and pictures
                "generator": "wgan",  # wgan | vae; of the learner pictures: wgan_pictures
                "condition": "prototype",  # what it knows of a class: prototype | side | both
                "side": "",  # the description of classes; words, for emoji
                "weights": "equal",  # missing: as many rows as a class has fewer than `rows`
                "rows": 5,  # synthetic ones of a class
                "weight": 1.0,  # equal: they weigh as much as so many real ones together
                "classify": 1.0,  # weight of the loss of queries
                "penalty": 10.0,  # wgan, wgan_pictures: of slopes of the critic other than one
                "learning_rate": 1e-4,
                "critic_rate": 1e-3,  # wgan, wgan_pictures
                "critic_steps": 1,  # wgan, wgan_pictures: for each of the generator
                "triplets": "all",  # of the head triangular: all | hard | semi_hard
                "share": 0.2,  # of synthetic rows in them
                "curve": "",  # values of `rows` with which a model is tested too: 0,1,5
            },
            # Of models that are "taught": image+taught in `compare` is a student with the image
            # alone. A teacher is trained before all others of its run, or in another run.
            "teacher": {
                "workdir": "",  # of a run on the same data; empty: a model of this one teaches
                "model": "",  # its name; empty: the first one
                # What a student has to match: probabilities of the queries' classes | neighbours,
                # of the other rows for which each could be taken | distances of all rows.
                "match": "neighbours",
                "weight": 1.0,  # beside the loss of the queries
                "temperature": 4.0,  # of probabilities and neighbours
            },
            "head": "prototype",  # of all learners but those of `inner` and tip_adapter
            "distance": "squared_euclidean",  # of the heads prototype, feat and soft_kmeans
            "relation": "features",  # what the head relation compares: features | maps
            # own: the learner's (maml_pp: multi_step, reptile: reptile, hallucinate and pictures:
            # generation, imputed: imputation; all others: episodic, or ranking by triplets where
            # metric has the head triangular)
            # | leave_one_out: every row asks | supervised: all training classes at once
            # | views: an episode is seen through all modalities and through fewer, at once
            # | distillation: what a teacher makes of the same episode, see `teacher`
            "objective": "own",
            "views": {  # of the objective views, besides that of all modalities by weight 1
                "alone": 1.0,  # weight of seeing it through one modality, the mean of all
                "cross": 0.0,  # of seeing support and query through one each, two different ones
            },
            "loss": "cross_entropy",  # of episodes: cross_entropy | squared_error
            # Also trained and tested on the same episodes: a modality alone, another fusion,
            # another head, learner, objective (leave_one_out, supervised, views) or optimiser,
            # "raw", the nearest centroid on inputs as they are, each modality of a row less its
            # mean and at unit length, "taught", or several changes: late+views.
            "compare": "concat,image,audio,text,raw",
            "train": {
                "steps": 400,
                "chunk": 100,  # steps of one compiled program; validated and saved after each
                "tasks": 1,
                "block": 0,  # tasks computed at once; 0: all, on CPU one if each has own kernels
                "rows": 128,  # of a step, where the objective is supervised
                "ways": 20,  # more than at test (Snell et al. 2017)
                "shots": _shots(1),
                "queries": 2,
                "warp": 0.0,  # images turned, stretched, shifted in training: entries' deviation
                "drop": 0.0,  # rate at which a fusion's modalities go missing in training
                # Share of tasks whose support and query are each seen through one modality, two
                # different ones drawn at random, so that all of them meet in one space.
                "cross": 0.0,
                # Share of tasks that are seen through one modality, drawn at random: a loss of each
                # by itself, of learners too that the objective views cannot train.
                "alone": 0.0,
                "learning_rate": 3e-3,  # falls to zero along a cosine
                # adam | muon: orthogonal updates of the network's dense and 3x3 kernels, Adam's
                # with Nesterov momentum of all else, at one rate
                "optimizer": "adam",
                # Validations without improvement before it stops, of several seeds all at once;
                # 0: never.
                "patience": 0,
            },
            "validation": {"ways": 20, "shots": _shots(1), "queries": 2, "episodes": 200},
            "test": {
                "settings": ((5, 1), (5, 5), (20, 1)),  # ways, shots
                "queries": 2,
                "episodes": 1000,
                "calibrate": False,  # choose a temperature on validation, and say what it is worth
                # Share of wrong answers: one that is less sure than on validation keeps it is not
                # given; 0: all are.
                "risk": 0.0,
                "unknown": 0,  # classes of which only queries come, to be told from the known ones
                # The same episodes once more, changed. Rates at which modalities are missing:
                # 0.0,0.25,0.5; or of support>query, 0.5>0.0; or of some, image:0.9+text:0.1.
                "missing": "",
                "patterns": "",  # modalities of support>query: text>image,text+audio>image
                # modality:how:level, of support and query unless :support or :query follows:
                # noise (deviations), snr (dB), occlusion (share of the area), babble (dB of
                # signal to noise), bytes (rate): image:noise:1.0,audio:babble:0:query
                "corrupt": "",
            },
            # Support and query from different groups: for emoji, from different design teams.
            "apart": True,
        }
    )


def _shots(number: int) -> FieldReference:
    """Support rows of a class, or (low, high): a number drawn for each class."""
    return FieldReference(number, field_type=object)
