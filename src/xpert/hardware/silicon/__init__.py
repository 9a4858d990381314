"""The model beside published macros: a table, its rows as designs, and the comparison."""
