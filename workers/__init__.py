"""arq shells: a job is prefetch, one pure call, commit. One file for each kind of job."""
