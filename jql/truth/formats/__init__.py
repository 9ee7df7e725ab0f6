"""Ratings in the files of others: what each holds, and how it is written."""
