#!/bin/bash
# Leaves a FIFO and a socket beside its results: they are left out, with a line each.
# outcome: done
# outputs: x
# log: left out 'fifo'
# log: left out 'socket'
cd "$output_dir" || exit
echo x >x
mkfifo fifo
"$PYTHON" -c 'import socket; socket.socket(socket.AF_UNIX).bind("socket")'
