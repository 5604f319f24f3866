{%- import 'variables.jinja' as lists with context -%}
{%- from 'quote.jinja' import python -%}
{%- from 'links.jinja' import page -%}
"""The settings of a run. All settings and their defaults: {{ page('settings') }}"""

APP_NAME = {{ '%r'|format(cookiecutter.app_name) }}

# Your AWS account.
AWS_REGION = 'us-east-1'

AWS_PROFILE = 'default'

AWS_BUCKET = 'your-bucket-name'

DOCKERHUB_TAG = {{ '%r'|format(cookiecutter.docker_image) }}

# The number of machines, and of containers on each.
CLUSTER_MACHINES = 1

TASKS_PER_MACHINE = 1

# EC2 instance types to choose from. With more types, EC2 finds machines sooner.
MACHINE_TYPE = {{ '%r'|format(cookiecutter.machine_types.split(',')|map('trim')|list) }}

# Disk of each machine, in GB.
EBS_VOL_SIZE = {{ cookiecutter.ebs_gb }}

# Jobs that run at a time in one container.
DOCKER_CORES = {{ cookiecutter.docker_cores }}

CPUS_PER_JOB = {{ cookiecutter.cpus_per_job }}

# Memory of one container in MB, shared by its jobs.
MEMORY = {{ cookiecutter.memory_mb }}

GPUS = {{ cookiecutter.gpus }}

# A command that takes longer is stopped.
JOB_TIMEOUT_MINUTES = {{ cookiecutter.job_timeout_minutes }}

# A job with fewer output files fails.
EXPECTED_NUMBER_FILES = {{ cookiecutter.expected_number_files }}

# Skip jobs whose outputs already exist.
CHECK_IF_DONE_BOOL = False
{% for variable in lists.config_variables %}
{{ variable.name }} = {{ python(variable.examples[0], variable.type) }}
{% endfor %}
# Add other settings of DS or of your program below this line.
