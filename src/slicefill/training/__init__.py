"""Parts that all trainings share: the loop, devices and processes, a bounded cache."""
