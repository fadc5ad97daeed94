"""The pure core of the Workflow Budget Operator: it decides, it never acts."""
