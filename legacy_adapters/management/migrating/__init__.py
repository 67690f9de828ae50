"""What ``manage.py migration`` takes, and how it says what it found and did."""
