"""TODO tests/support"""
