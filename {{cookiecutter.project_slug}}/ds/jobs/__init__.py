"""The definition of a job, used by hook, worker and control: pure, standard library only."""
