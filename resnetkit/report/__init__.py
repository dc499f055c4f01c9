"""What we tell: tables for people, files for other programs, pictures."""
