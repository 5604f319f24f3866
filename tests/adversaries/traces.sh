#!/bin/bash
# Leaves traces wherever it may, and fails if it finds those of another job.
# outcome: done
# outputs: .trace
[ "$TRACE$(umask)$(ulimit -n)$PWD" = "$IMAGE_STATE$work_dir" ] || exit 3
for folder in "$work_dir" "$output_dir" "$TMPDIR"; do
    [ -z "$(ls -A "$folder")" ] || exit 4
    echo x >"$folder/.trace"
done
export TRACE=1
umask 0
ulimit -n 100
chmod 0 "$TMPDIR" "$work_dir"
cd /
