"""`local`: a whole run on this machine, against an emulated AWS.

| module | what it is |
|---|---|
| run | from the job file to the table |
| aws | the run's queues, buckets and log groups in the emulator |
| feed | the jobs, sent as fast as the workers take them |
| workers | worker processes or containers, kept running and ended |
| data | the files of --data and --output that jobs name |
"""
