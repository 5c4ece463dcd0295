"""How often the diagnosis is right: worlds whose answer is known, many seeds each, and what was said of them."""
