"""Published weights: each factory gives a `Pretrained` encoder of rows of a table."""

from fsjax.pretrained.audio_transformer import SpectrogramTransformer, ast, load_ast
from fsjax.pretrained.clip import clip_image, clip_text, load_clip
from fsjax.pretrained.conse import conse
from fsjax.pretrained.efficientnet import (
    EfficientNetLite0,
    efficientnet_lite0,
    load_efficientnet_lite0,
)
from fsjax.pretrained.encoder import Pretrained
from fsjax.pretrained.minilm import MiniLM, load_minilm, minilm
from fsjax.pretrained.soundnet import SoundNet, load_soundnet, soundnet

__all__ = [
    "EfficientNetLite0",
    "MiniLM",
    "Pretrained",
    "SoundNet",
    "SpectrogramTransformer",
    "ast",
    "clip_image",
    "clip_text",
    "conse",
    "efficientnet_lite0",
    "load_ast",
    "load_clip",
    "load_efficientnet_lite0",
    "load_minilm",
    "load_soundnet",
    "minilm",
    "soundnet",
]
