#!/bin/bash
# Puts links to other files into the place of shared ones.
# A program with a shared folder as its argument. The next job must not see what it did.
rm -rf "$1/a.txt" "$1/deep"
ln -s /etc/hostname "$1/a.txt"
ln -s / "$1/deep"
