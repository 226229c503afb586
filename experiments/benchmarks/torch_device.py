"""Where PyTorch works: on an accelerator if it has one."""

import torch

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def wait() -> None:
    """Until all work is done."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
