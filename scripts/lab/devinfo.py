# SPDX-License-Identifier: GPL-2.0
"""Reads rdma_devinfo's report out of a kernel log."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_LINE = re.compile(r"^(?:\[[^\]]*\]\s?)*rdma_devinfo: (.*)$")
_PAIR = re.compile(r"\s*([\w ]+(?:\[\s*\d+\])?):\s*(.*)$")


@dataclass
class Device:
    """One `hca_id` block: attributes in the order of the report, those of a port with its number."""

    name: str
    attributes: dict[str, str] = field(default_factory=dict)
    removed: bool = False


def parse(log: str) -> list[Device]:
    """Every device that was reported, in order; a device that came twice is there twice."""
    devices: list[Device] = []
    port = ""
    for line in log.replace("\r", "").split("\n"):
        match = _LINE.match(line)
        if not match:
            continue
        text = match.group(1)
        pair = _PAIR.match(text)
        if not pair:
            continue
        key, value = re.sub(r"\[\s*(\d+)\]", r"[\1]", pair.group(1).strip()), pair.group(2).strip()
        if key == "hca_id":
            devices.append(Device(value))
            port = ""
        elif value == "removed":
            for device in devices:
                if device.name == key and not device.removed:
                    device.removed = True
                    break
        elif devices and text.startswith("\t"):
            if key == "port":
                port = f"port {value} "
            else:
                devices[-1].attributes[port + key] = value
    return devices
