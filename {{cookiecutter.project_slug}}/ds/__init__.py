"""The engine, by what may be imported: jobs, worker, cloud, control."""
