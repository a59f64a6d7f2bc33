"""What a process sees of the machine's accelerators."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["limit_devices"]

#: Read by CUDA, ROCm and oneAPI before a process first uses them.
_VARIABLES = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ZE_AFFINITY_MASK")


def limit_devices(environment: Mapping[str, str], device: str | None) -> dict[str, str]:
    """``environment`` for a process that is to see ``device`` alone; unchanged where that is None.

    Args:
        device: ``cpu`` for none, else numbers or identifiers with commas between; ``cuda:`` before one is dropped.
    """
    found = dict(environment)
    if device is None:
        return found
    parts = [part.strip().removeprefix("cuda:").removeprefix("gpu:") for part in device.split(",")]
    visible = "" if device.lower() == "cpu" else ",".join(parts)
    found |= dict.fromkeys(_VARIABLES, visible)
    found.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # the numbers of nvidia-smi
    return found
