#!/bin/bash
# Links a file of the machine, as an unpacked archive of a stranger can: it is never uploaded.
# outcome: failed
# reason: output 'passwd' is a link that leads out of the output folder
echo x >"$output_dir/x"
ln -s /etc/passwd "$output_dir/passwd"
