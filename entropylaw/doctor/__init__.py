"""The command `doctor`: what is set up in a repository, what is out of date, and what runs next."""
