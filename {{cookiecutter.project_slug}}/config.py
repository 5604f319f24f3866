{%- import 'variables.jinja' as lists with context -%}
{%- from 'quote.jinja' import python -%}
{%- from 'links.jinja' import page -%}
"""The settings of a run. All settings and their defaults: {{ page('settings') }}"""

APP_NAME = {{ '%r'|format(cookiecutter.app_name) }}

# Of your AWS account.
AWS_REGION = 'us-east-1'

AWS_PROFILE = 'default'

AWS_BUCKET = 'your-bucket-name'

DOCKERHUB_TAG = {{ '%r'|format(cookiecutter.docker_image) }}

# How many machines, and how many containers on each.
CLUSTER_MACHINES = 1

TASKS_PER_MACHINE = 1

# Any of these types will do; the more, the sooner machines are found.
MACHINE_TYPE = {{ '%r'|format(cookiecutter.machine_types.split(',')|map('trim')|list) }}

# GB for each machine.
EBS_VOL_SIZE = {{ cookiecutter.ebs_gb }}

# Jobs at a time in one container.
DOCKER_CORES = {{ cookiecutter.docker_cores }}

CPUS_PER_JOB = {{ cookiecutter.cpus_per_job }}

# MB for one container, shared by its jobs.
MEMORY = {{ cookiecutter.memory_mb }}

GPUS = {{ cookiecutter.gpus }}

# A command that takes longer is ended.
JOB_TIMEOUT_MINUTES = {{ cookiecutter.job_timeout_minutes }}

# A job with fewer output files has failed.
EXPECTED_NUMBER_FILES = {{ cookiecutter.expected_number_files }}

# Skip jobs whose outputs already exist.
CHECK_IF_DONE_BOOL = False
{% for variable in lists.config_variables %}
{{ variable.name }} = {{ python(variable.examples[0], variable.type) }}
{% endfor %}
# Your own settings, of DS or of your program, go below this line.
