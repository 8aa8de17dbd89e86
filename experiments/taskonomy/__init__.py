"""Both papers' task-transfer experiment: twenty Taskonomy encoders, Table 1 and the curves."""
