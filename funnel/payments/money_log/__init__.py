"""The money log: what was charged and given back, item by item; append-only, and it adds up."""
