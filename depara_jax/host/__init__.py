"""Forms of the numerics for a CPU, and the one place that says whether a program is for one."""
