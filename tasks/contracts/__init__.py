"""What crosses a stage's border: typed parameters, typed files, findings and errors."""
