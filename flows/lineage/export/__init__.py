"""Write a recorded run in the formats of other tools."""
