"""From finished runs to a comparison.

The statistics are pure functions of numpy arrays that know no method, file, model or page; docs/statistics.md explains
the choices and prints how often each interval covered the truth in simulation. What stands on them reads run folders
and writes tables and a page.
"""
