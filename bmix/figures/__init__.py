"""All drawing, and the report."""
