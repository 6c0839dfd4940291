"""Times in words. Layer 0."""


def told(seconds: float) -> str:
    """A time for people, such as "12 min" or "1.5 h"."""
    minutes = seconds / 60
    return f"{minutes / 60:.1f} h" if minutes >= 90 else f"{max(1, round(minutes))} min"
