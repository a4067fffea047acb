"""Where does each method go? Every installed method on the world whose optimum is known, and a page about it."""
