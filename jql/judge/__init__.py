"""Language models as judges: what they are asked, how they are run, how their replies are read."""
