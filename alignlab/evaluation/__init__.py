"""From samples to scores: quality, drift, posture, diversity, diagnosis, and the report of a run. Knows no method."""
