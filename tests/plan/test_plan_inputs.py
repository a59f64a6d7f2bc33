"""Columns against what the tasks read: the types that a task declares, and the schema that a file declares."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import permutations

import pytest

from pool_core.errors import TemplateError
from pool_core.interfaces.types import FieldType, infer_type
from pool_core.interfaces.values import Finding
from pool_core.plan.build import make_plan
from pool_core.recipe.load import load_recipe
from pool_core.recipe.models import Member, PoolSpec, Recipe
from pool_core.testing.scripted import EchoConfig, EchoTask

STR, INT, LIST = FieldType("str"), FieldType("int"), FieldType("list", items=FieldType("str"))


class Typed(EchoTask):
    """Says of what type its column must be, and takes whatever comes."""

    def __init__(self, wanted=LIST):
        super().__init__()
        self._wanted = wanted

    @property
    def input_types(self):
        return {"text": self._wanted}

    def render(self, row):
        return super().render({"text": str(row["text"])})


@dataclass
class Declared:
    """Rows that come with a schema."""

    rows: list
    schema: dict | None
    name: str = "rows.x"
    id_column: str | None = None
    asked: list = field(default_factory=list)

    def read_schema(self):
        self.asked.append("schema")
        return self.schema

    def read(self):
        return ((f"row {number}", row) for number, row in enumerate(self.rows, 1))


def typed(name="a", wanted=LIST, **keys):
    return Member(name=name, backend="echo", task=Typed(wanted), **keys)


def find(plan, rule="input-type"):
    return [finding for finding in plan.findings if finding.rule == rule]


def test_a_column_of_another_type_is_refused(plan):
    made = plan(typed())
    assert made.findings == (
        Finding(
            "error",
            "input-type",
            "a reads its input 'text' from the column 'text', which holds str; the task Typed needs list[str]",
            ("a",),
            "text",
            hint="name another column, as in `inputs: {text: COLUMN}`",
            key="task",
        ),
    )
    assert not made.compatible


def test_the_column_that_the_adapter_names_counts(plan):
    rows = [{"text": "one", "words": ["one"], "number": 1}]
    assert plan(typed(inputs={"text": "words"}), rows=rows).findings == ()
    (finding,) = plan(typed(inputs={"text": "number"}), rows=rows).findings
    assert finding.message.startswith("a reads its input 'text' from the column 'number', which holds int; ")
    assert (finding.field, finding.key) == ("number", "inputs.text")


@pytest.mark.parametrize(
    ("wanted", "value", "fits"),
    [
        (LIST, ["a"], True),
        (LIST, [], True),
        (LIST, None, True),
        (LIST, [1], False),
        (LIST, {"a": "b"}, False),
        (STR, 1, False),
        (FieldType("float"), 1, True),
        (INT, 1.5, False),
        (FieldType("any", nullable=True), 1, True),
    ],
)
def test_what_fits(plan, wanted, value, fits):
    assert (find(plan(typed(wanted=wanted), rows=[{"text": value}])) == []) is fits, str(infer_type(value))


def test_null_in_some_rows_is_no_matter_of_types(plan):
    assert find(plan(typed(), rows=[{"text": ["a"]}, {"text": None}, {}])) == []


def test_a_column_that_is_missing_is_told_of_once_and_by_the_prompt(plan):
    assert [finding.rule for finding in plan(typed(), rows=[{"other": 1}]).findings] == ["render"]


def test_no_rows_have_no_types(plan):
    assert plan(typed(), rows=None).findings == ()


def test_every_order_of_the_members_gives_the_same_findings(plan):
    members = [typed("a"), typed("b", INT), typed("c", STR), typed("d")]
    found = {plan(*order).findings for order in permutations(members)}
    assert len(found) == 1
    assert [finding.members for finding in found.pop()] == [("a",), ("b",), ("d",)]


def plan_declared(registry, member, rows):
    return make_plan(Recipe(pool=PoolSpec(members=[member], policies=())), registry, rows=rows)


def test_the_schema_that_the_input_declares_goes_before_what_its_rows_seem_to_be(registry):
    rows = Declared([{"text": None, "more": 1}], {"text": STR, "extra": INT})
    made = plan_declared(registry, typed(), rows)
    assert rows.asked == ["schema"]
    assert dict(made.columns) == {"text": STR, "more": INT, "extra": INT}
    (finding,) = find(made)
    assert "which holds str; the task Typed needs list[str]" in finding.message


def test_the_schema_counts_where_all_sampled_rows_are_null(registry):
    assert find(plan_declared(registry, typed(), Declared([{"text": None}], None))) == []
    assert find(plan_declared(registry, typed(), Declared([{"text": None}], {"text": LIST}))) == []
    assert len(find(plan_declared(registry, typed(), Declared([{"text": None}], {"text": INT})))) == 1


def test_a_format_that_declares_its_columns_has_no_others_in_later_rows(registry):
    member = Member(name="a", backend="echo", task={"use": "echo", "column": "late"}, when="later == 1")
    pool = PoolSpec(members=[member], policies=(), assign="routed")
    rows = [{"text": "x"}] * 101
    for schema, level, complete in [
        ({"text": STR}, "error", True),
        ({"more": STR}, "warning", False),
        (None, "warning", False),
    ]:
        made = make_plan(Recipe(pool=pool), registry, rows=Declared(rows, schema))
        (finding,) = find(made, "when-column")
        assert (finding.level, made.signatures[0].columns_complete) == (level, complete)
        plain = pool.model_copy(update={"assign": "all"})
        (finding,) = find(make_plan(Recipe(pool=plain), registry, rows=Declared(rows, schema)), "render")
        assert finding.level == level


def test_a_column_that_is_declared_alone_is_there(registry):
    member = Member(name="a", backend="echo", task=EchoTask(), when="extra == 1")
    pool = PoolSpec(members=[member], policies=(), assign="routed")
    for schema, rules in [({"extra": INT}, []), (None, ["when-column"])]:
        made = make_plan(Recipe(pool=pool), registry, rows=Declared([{"text": "a"}], schema))
        assert [finding.rule for finding in made.findings] == rules


def test_the_finding_stands_at_the_line_of_the_recipe(registry, tmp_path):
    (tmp_path / "rows.json").write_text('[{"text": "one"}]')
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "rows: rows.json\npool:\n  policies: []\n  members:\n"
        "    - name: a\n      backend: echo\n      task:\n        use: echo\n        column: nope\n"
    )
    recipe, source = load_recipe(path)
    (finding,) = make_plan(recipe, registry, source).findings
    assert (finding.rule, finding.key) == ("render", "task.column")
    assert source.locate(("pool", "members", 0, *finding.key.split("."))) == f"{path}:9"


@pytest.mark.parametrize(
    ("task", "keys", "row", "key"),
    [
        ({}, {}, {"text": 5}, "task"),
        ({"where": "fail_on, line 2"}, {}, {"text": "x"}, "task.fail_on"),
        ({"where": "elsewhere"}, {}, {"text": "x"}, "task"),
        ({"column": "sauce"}, {}, {"text": "x"}, "task.column"),
        ({"column": "sauce", "suffix": "no sauce"}, {}, {"text": "x"}, "task"),
        ({"column": "sauce"}, {"inputs": {"sauce": "dip"}}, {"text": "x"}, "inputs.sauce"),
    ],
)
def test_the_line_is_that_of_the_option_that_failed(plan, task, keys, row, key):
    where = task.pop("where", "")

    class Failing(EchoTask):
        def render(self, row):
            if where:
                raise TemplateError("no", where=where)
            return super().render(row)

    member = Member(name="a", backend="echo", task=Failing(EchoConfig(**task)), **keys)
    (finding,) = plan(member, rows=[row]).findings
    assert (finding.rule, finding.key) == ("render", key)


# With `assign: routed` a member is tried on the rows that its `when` admits


def route(plan, *rows, **keys):
    members = (echo("w", when="kind != 'list'"), typed("c", when="kind == 'list'", **keys))
    return plan(*members, rows=list(rows), assign="routed")


def echo(name, **keys):
    return Member(name=name, backend="echo", **{"task": "echo", **keys})


TEXT, ITEMS = {"kind": "text", "text": "x"}, {"kind": "list", "text": ["x"]}


def test_a_member_is_tried_only_on_its_rows(plan):
    assert route(plan, TEXT, ITEMS).findings == ()
    assert route(plan, ITEMS, TEXT).findings == ()


def test_a_member_without_rows_among_the_first_is_not_tried(plan):
    assert route(plan, TEXT, TEXT).findings == ()
    broken = echo("c", task={"use": "echo", "column": "nope"}, when="kind == 'list'")
    assert plan(broken, rows=[TEXT], assign="routed").findings == ()


def test_the_first_row_that_is_admitted_is_the_first_that_counts(plan):
    (finding,) = route(plan, ITEMS, {"kind": "text", "text": 5}).findings
    assert (finding.level, finding.rule) == ("error", "render")
    assert finding.message == (
        "w cannot make a prompt of row 2, the first that its `when` admits: the column 'text' must hold text, not int"
    )


def test_rows_that_are_not_admitted_are_not_counted(plan):
    (finding,) = route(plan, ITEMS, TEXT, {"kind": "text", "text": 5}, ITEMS).findings
    assert (finding.level, finding.rule) == ("warning", "render-some")
    assert finding.message == (
        "w cannot make a prompt of 1 of the 2 rows that its `when` admits among the first 4, "
        "the first of them row 3: the column 'text' must hold text, not int"
    )


def test_the_types_are_those_of_the_rows_that_are_admitted(plan):
    (finding,) = route(plan, TEXT, {"kind": "list", "text": "no list"}).findings
    assert (finding.rule, finding.members) == ("input-type", ("c",))


def test_a_when_that_cannot_be_evaluated_admits_nothing(plan):
    assert route(plan, TEXT, ITEMS, {"text": 5}).findings == ()
    assert [finding.rule for finding in plan(echo("a", when="kind == 1"), rows=[{"text": 5}, TEXT]).findings] == [
        "render",
        "when-unused",
    ]
