#!/bin/bash
# Leaves a daemon in a session of its own and without an environment, and ends at once.
# outcome: done
# outputs: x
# log: killed 1 processes
echo x >"$output_dir/x"
(env -i setsid bash -c 'exec -a ds-adversary sleep 1000' >/dev/null 2>&1 &)
