"""What paid calls may cost beside the monthly limit."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caps:
    """US dollars that one run and one day (UTC) may cost; 0 sets no cap.

    A run is a job with all that it resumes, or a press of *Regenerate*.
    """

    per_run: float = 0.0
    per_day: float = 0.0


NO_CAPS = Caps()
