#!/bin/bash
# Writes into the shared files, which root can although they are read-only.
# A program with a shared folder as its argument. The next job must not see what it did.
chmod -R u+w "$1"
echo changed > "$1/a.txt"
echo more >> "$1/deep/b.txt"
