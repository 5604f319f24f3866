#!/bin/bash
# Links a folder of the machine: nothing in it is uploaded.
# outcome: failed
# reason: output 'etc' is a link that leads out of the output folder
echo x >"$output_dir/x"
ln -s /etc "$output_dir/etc"
