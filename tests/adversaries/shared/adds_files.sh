#!/bin/bash
# Writes an index beside a shared file, and a new folder.
# A program with a shared folder as its argument. The next job must not see what it did.
echo index > "$1/a.txt.idx"
mkdir "$1/new" && echo new > "$1/new/file"
