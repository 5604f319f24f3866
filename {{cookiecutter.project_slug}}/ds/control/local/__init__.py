"""`local`: a whole run on this machine, with an emulated AWS.

| module | contents |
|---|---|
| run | the whole run, from the job file to the table |
| aws | the run's queues, buckets and log groups in the emulator |
| feed | sends the jobs as fast as the workers receive them |
| workers | starts, restarts and stops worker processes or containers |
| emulator | the emulated AWS: moto in a separate process |
| data | the files in --data and --output that jobs refer to |
"""
