"""Values that every layer shares: specification, inspection, identifiers, times. Pure; nothing above is imported."""
