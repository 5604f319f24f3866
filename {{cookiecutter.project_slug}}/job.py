{%- import 'variables.jinja' as lists with context -%}
{%- from 'quote.jinja' import python_line -%}
{%- from 'links.jinja' import page -%}
"""One job: its command, the types of its variables, and the folder of its outputs in the bucket."""

COMMAND = {{ python_line(cookiecutter.command) }}

VARIABLES = {
{%- for variable in lists.all %}
    '{{ variable.name }}': '{{ variable.type }}',
{%- endfor %}
}

OUTPUT_PREFIX = {{ '%r'|format(cookiecutter.output_prefix) }}

# Functions go below this line, where the three above are not enough. All are optional:
# {{ page('job-functions') }}
#   arguments(job) -> list[str]         instead of COMMAND
#   inputs(job) -> list[str]            what is downloaded: keys, folders end with /
#   output_prefix(job) -> str           instead of OUTPUT_PREFIX
#   check_outputs(job) -> str | None    why the job failed, None if it did not
#   on_start() -> None                  once for each container
