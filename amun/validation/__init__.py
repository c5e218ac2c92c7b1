"""What a posted document must be: the schema, formats and rules, and all problems at once."""
