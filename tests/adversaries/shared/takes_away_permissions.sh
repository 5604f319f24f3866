#!/bin/bash
# Takes away every permission.
# A program with a shared folder as its argument. The next job must not see what it did.
chmod -R 000 "$1"
