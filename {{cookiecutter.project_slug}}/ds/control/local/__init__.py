"""`local`: a whole run on this computer, with an emulated AWS.

| module | what it is |
|---|---|
| run | the whole run, from the job file to the table |
| aws | the run's queues, buckets and log groups in the emulator |
| feed | sends the jobs as fast as the workers receive them |
| workers | starts, restarts and ends worker processes or containers |
| emulator | the emulated AWS: moto in a process of its own |
| data | the files in --data and --output that jobs refer to |
"""
