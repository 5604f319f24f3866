#!/bin/bash
# Leaves a link whose target it removed.
# outcome: failed
# reason: output 'x' is a link to nothing
echo y >"$output_dir/y"
ln -s gone "$output_dir/x"
