"""What the service costs, measured on this machine: ``make bench``. Figures are printed, never judged.

Each measurement is a module with a function `measure`. What is compared is measured interleaved, A B A B …, so that a
change of the machine's speed or load meets both.
"""
