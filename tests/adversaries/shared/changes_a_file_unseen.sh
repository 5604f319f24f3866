#!/bin/bash
# Changes a byte and sets the time back.
# A program with a shared folder as its argument. The next job must not see what it did.
chmod u+w "$1/a.txt"
touch -r "$1/a.txt" time
echo A > "$1/a.txt"
touch -r time "$1/a.txt"
