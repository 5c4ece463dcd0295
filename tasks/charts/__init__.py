"""The charts and the page of the report."""
