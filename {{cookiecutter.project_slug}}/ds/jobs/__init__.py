"""What a job is. Pure, standard library only: hook, worker and control import it."""
