"""The command line. Each command reads settings, calls one function, and prints."""

from __future__ import annotations

import os

import typer

from headrace.cli import bench, evaluate, funnel, load, profile, rerank

# Read when torch loads: threads that spin while they wait cost several times the work on a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

app = typer.Typer(
    help="Headrace: a recommender engine in which every stage of the funnel is one batched kernel.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (
    funnel.doctor,
    funnel.settings,
    funnel.generate,
    funnel.build,
    funnel.recommend,
    funnel.demo,
    evaluate.split,
    evaluate.evaluate,
    load.load,
    profile.profile,
    rerank.rerank,
):
    app.command()(command)
app.add_typer(bench.app, name="bench")
