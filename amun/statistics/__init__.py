"""What the reports of an inspection's items amount to: metrics, what they are like, whether two stacks differ.

Pure: values in, values out, nothing of HTTP and nothing of engines. Everything that is answered is JSON with finite
numbers or null, whatever the scripts printed, and the same data gives the same answer.
"""
