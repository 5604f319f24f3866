#!/bin/bash
# Swaps names, so that a file is where a folder was.
# A program with a shared folder as its argument. The next job must not see what it did.
mv "$1/deep" "$1/other" && mv "$1/a.txt" "$1/deep"
