"""From files, the hub or a world's rows to batches: readers, splits, tokenisation, one resumable stream.

`config` declares the sources and imports without torch; `tokens` and `module` are what training uses.
"""
