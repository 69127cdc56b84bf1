"""The data of each event type, for plugins in Python."""

from dataclasses import dataclass
