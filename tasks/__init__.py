"""What is computed: plain Python and PyTorch, without Prefect and without DVC. A file here is a stage."""
