#!/bin/bash
# Removes shared files and a folder.
# A program with a shared folder as its argument. The next job must not see what it did.
rm -rf "$1/a.txt" "$1/deep"
