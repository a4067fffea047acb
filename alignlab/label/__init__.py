"""People label: blinded completions of several methods, shown on a local page or in the terminal."""
