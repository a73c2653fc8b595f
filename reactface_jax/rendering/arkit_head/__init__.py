"""The 3-D head that the coefficients move."""
