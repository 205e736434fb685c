"""The study as an Airflow DAG: a task per pipeline.

Written by `kedro airflow create` from dag.j2 beside it; docs/how-to/deploy.md says how.
"""

from datetime import datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, Param

# A run that left cases out ends with 3; its warnings name them, and the others go on.
RUN = "kedro run --env={{ params.env }} --namespaces={{ task.task_id }} || [ $? -eq 3 ]"

with DAG(
    dag_id="slicefill",
    start_date=datetime(2026, 1, 1),
    schedule=None,
    catchup=False,
    max_active_runs=1,  # a second one would write the same files
    params={
        "env": Param("local", description="environment in conf/, e.g. hippocampus"),
        "project": Param("/opt/slicefill", description="folder of the project on the workers"),
    },
    default_args={
        "cwd": "{{ params.project }}",
        "append_env": True,
        "retries": 1,  # what is done is skipped
        "retry_delay": timedelta(minutes=5),
    },
):
    tasks = {
        namespace: BashOperator(task_id=namespace, bash_command=RUN)
        for namespace in (
            "ingestion",
            "anisotropization",
            "imputation",
            "synthesis",
            "evaluation",
        )
    }
    tasks["ingestion"] >> tasks["anisotropization"]
    tasks["anisotropization"] >> tasks["imputation"]
    tasks["ingestion"] >> tasks["imputation"]
    tasks["synthesis"] >> tasks["imputation"]
    tasks["anisotropization"] >> tasks["synthesis"]
    tasks["ingestion"] >> tasks["synthesis"]
    tasks["imputation"] >> tasks["evaluation"]
    tasks["ingestion"] >> tasks["evaluation"]
    tasks["synthesis"] >> tasks["evaluation"]
