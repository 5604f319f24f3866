#!/bin/bash
# Replaces its output folder by a link to a folder of the machine.
# outcome: failed
# reason: the output folder was replaced by a link
rmdir "$output_dir"
ln -s /etc "$output_dir"
