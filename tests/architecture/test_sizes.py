"""Functions and files stay small enough to be read at one sitting."""

from tests.architecture.source_tree import ROOT, SOURCE, functions, python_files

MOST_LINES_OF_A_FUNCTION = 60
MOST_LINES_OF_A_FILE = 400


def test_no_function_is_longer_than_60_lines():
    too_long = [
        f"{path}:{node.lineno} {node.name} has {node.end_lineno - node.lineno + 1} lines"
        for path in python_files(*SOURCE)
        for node in functions(path)
        if node.end_lineno - node.lineno + 1 > MOST_LINES_OF_A_FUNCTION
    ]
    assert too_long == []


def test_no_file_is_longer_than_400_lines():
    lengths = {str(path): len((ROOT / path).read_text().splitlines()) for path in python_files(*SOURCE)}
    assert {path: lines for path, lines in lengths.items() if lines > MOST_LINES_OF_A_FILE} == {}


def test_no_function_takes_more_than_five_positional_parameters():
    too_many = [
        f"{path}:{node.lineno} {node.name}"
        for path in python_files(*SOURCE)
        for node in functions(path)
        if len([a for a in (*node.args.posonlyargs, *node.args.args) if a.arg not in {"self", "cls"}]) > 5
    ]
    assert too_many == []
