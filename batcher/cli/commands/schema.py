"""Print the JSON Schema of an inventory row, a report row (a line of report.jsonl), the summary or a plan."""

import argparse
import json

HELP = "JSON Schema of a row, a report row, the summary, a plan"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's words."""
    parser.add_argument("what", choices=("inventory", "report", "summary", "plan"), help="what to describe")


def execute(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from batcher.operations.flow_log import FlowLogs  # late: pydantic
    from batcher.operations.flow_log_row import row_schema as inventory_schema
    from batcher.report.schema import plan_schema, row_schema, summary_schema

    if arguments.what == "inventory":
        schema = inventory_schema()
    elif arguments.what == "report":
        schema = row_schema(FlowLogs.identity_columns)
    else:
        schema = plan_schema() if arguments.what == "plan" else summary_schema()
    print(json.dumps(schema, indent=2, ensure_ascii=False))
    return 0
