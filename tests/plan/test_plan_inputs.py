"""Columns against what the tasks read: the types that a task declares, the places inside columns that its
templates need, and the schema that a file declares.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import permutations

import pytest

from pool_core.errors import TemplateError
from pool_core.interfaces.type_text import parse_type
from pool_core.interfaces.types import FieldType, infer_type
from pool_core.interfaces.values import Finding, Prompt
from pool_core.plan.build import make_plan
from pool_core.recipe.load import load_recipe
from pool_core.recipe.models import Member, PoolSpec, Recipe
from pool_core.templates import Template
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


class Templated(EchoTask):
    """Asks with a template, as the standard tasks do."""

    def __init__(self, source):
        super().__init__()
        self._template = Template(source, where="template")

    @property
    def inputs(self):
        return self._template.names

    @property
    def input_paths(self):
        return {"template": self._template.paths}

    def render(self, row):
        return Prompt.chat(self._template.render(row))


META = {"meta": parse_type("{author: {first: str, last: str}?, tags: list[{label: str}]}")}
ROW = {"meta": {"author": {"first": "A", "last": "B"}, "tags": [{"label": "x"}]}}
MANY = [ROW] * 150


def template(source, name="a", **keys):
    return Member(name=name, backend="echo", task=Templated(source), **keys)


def test_a_field_that_the_declared_schema_lacks(registry):
    made = plan_declared(registry, template("{{ meta.author.fist }}"), Declared(MANY, META))
    assert find(made, "input-field") == [
        Finding(
            "error",
            "input-field",
            "a's `template` reads `meta.author.fist`, but `meta.author` has no field 'fist'",
            ("a",),
            "meta",
            hint="did you mean 'first'?",
            key="task.template",
        )
    ]
    assert [finding.rule for finding in made.findings] == ["input-field", "render"]


@pytest.mark.parametrize(
    ("source", "said", "hint"),
    [
        ("{{ meta.writer }}", "but the column 'meta' has no field 'writer'", "it has: author, tags"),
        ("{{ meta.tags.label }}", "but `meta.tags` is of the type list, which has no fields",
         "name one item, as in `[0]`, or loop over them"),
        ("{% for tag in meta.tags %}{{ tag.name }}{% endfor %}", "but `meta.tags[]` has no field 'name'",
         "it has: label"),
        ("{{ meta.author.first.letter }}", "but `meta.author.first` is of the type str, which has no fields", ""),
    ],
)  # fmt: skip
def test_what_is_said_of_a_field_that_is_not_there(registry, source, said, hint):
    (finding,) = find(plan_declared(registry, template(source), Declared(MANY, META)), "input-field")
    assert (finding.level, finding.hint) == ("error", hint)
    assert finding.message.endswith(said)


def test_a_column_of_many_fields_is_not_listed_whole(registry):
    wide = {"meta": FieldType("struct", fields=tuple((f"f{number:03}", STR) for number in range(100)))}
    rows = Declared([{"meta": {"f000": "x"}}], wide)
    (finding,) = find(plan_declared(registry, template("{{ meta.other }}"), rows), "input-field")
    assert finding.hint.endswith("f028, f029 and 70 more")


@pytest.mark.parametrize(
    "source",
    [
        "{{ meta.author.first }} {{ meta.tags[0].label }}",
        "{{ meta.writer|default('') }}",
        "{% if meta.writer is defined %}{{ meta.writer.name }}{% endif %}",
        "{% set meta = {'writer': 1} %}{{ meta.writer }}",
    ],
)
def test_templates_that_the_schema_has_all_for(registry, source):
    assert plan_declared(registry, template(source), Declared(MANY, META)).findings == ()


def test_what_stands_under_a_condition_is_a_warning(registry):
    member = template("{% if meta.author.first == 'Z' %}{{ meta.writer }}{% endif %}")
    made = plan_declared(registry, member, Declared(MANY, META))
    (finding,) = made.findings
    assert (finding.level, finding.rule) == ("warning", "input-field")
    assert finding.message == (
        "a's `template` reads `meta.writer`, but the column 'meta' has no field 'writer'; "
        "a prompt that comes to it cannot be made"
    )
    assert made.compatible


def test_of_rows_that_were_all_tried_only_what_is_certain_counts(registry):
    conditional = template("{% if meta.author.first == 'Z' %}{{ meta.writer }}{% endif %}")
    assert plan_declared(registry, conditional, Declared([ROW], META)).findings == ()
    certain = plan_declared(registry, template("{{ meta.writer }}"), Declared([ROW], None))
    assert [finding.rule for finding in certain.findings] == ["input-field", "render"]


def test_what_only_the_first_rows_lack_may_come_later(registry):
    """Where nothing is declared, the first rows prove nothing of the others: only what they do is told."""
    made = plan_declared(registry, template("{{ meta.writer }}"), Declared(MANY, None))
    assert [finding.rule for finding in made.findings] == ["render"]
    conditional = template("{% if meta.author.first == 'Z' %}{{ meta.writer }}{% endif %}")
    assert plan_declared(registry, conditional, Declared(MANY, None)).findings == ()


def test_the_column_that_the_adapter_names_is_the_one_that_is_looked_at(registry):
    member = template("{{ info.writer }}", inputs={"info": "meta"})
    (finding,) = find(plan_declared(registry, member, Declared(MANY, META)), "input-field")
    assert finding.message == "a's `template` reads `info.writer`, but the column 'meta' has no field 'writer'"


def test_a_when_reads_columns_too(registry):
    member = Member(name="a", backend="echo", task=EchoTask(), when="meta.kind == 'x'")
    recipe = Recipe(pool=PoolSpec(members=[member], policies=(), assign="routed"))
    rows = Declared([{"text": "t", **ROW}] * 150, {"text": STR, **META})
    (finding,) = make_plan(recipe, registry, rows=rows).findings
    assert (finding.rule, finding.key, finding.level) == ("input-field", "when", "error")
    assert finding.message == "a's `when` reads `meta.kind`, but the column 'meta' has no field 'kind'"


def test_a_schema_that_names_all_columns_says_that_no_later_row_has_more(registry):
    member = template("{{ other }}", when="meta is defined or another == 1")
    recipe = Recipe(pool=PoolSpec(members=[member], policies=(), assign="routed"))
    found = []
    for schema in (META, None, {}):
        made = make_plan(recipe, registry, rows=Declared(MANY, schema))
        found.append([(finding.rule, finding.level) for finding in made.findings])
        assert made.signatures[0].columns_complete is (schema is META)
        assert not made.sample_complete
    assert found[0] == [("render", "error"), ("when-column", "error")]
    assert found[1] == found[2] == [("render", "warning"), ("when-column", "warning")]


def test_every_order_of_templated_members_gives_the_same_findings(registry):
    members = [template("{{ meta.writer }}", "b"), template("{{ meta.author.x }}{{ meta.y }}", "a"), template("-", "c")]
    found = set()
    for order in permutations(members):
        recipe = Recipe(pool=PoolSpec(members=order, policies=()))
        found.add(make_plan(recipe, registry, rows=Declared(MANY, META)).findings)
    assert len(found) == 1


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


def test_types_that_are_declared_are_no_matter_of_a_member_that_no_row_is_for(registry):
    member = typed("c", when="kind == 'list'")
    pool = PoolSpec(members=[member], policies=(), assign="routed")
    for rows, asked, found in [
        ([TEXT], False, []),
        ([TEXT] * 101, True, ["input-type"]),
        ([ITEMS], True, ["input-type"]),
    ]:
        made = make_plan(Recipe(pool=pool), registry, rows=Declared(rows, {"kind": STR, "text": STR}))
        assert [finding.rule for finding in made.findings] == found
        assert made.signatures[0].asked is asked


def test_without_rows_every_member_may_be_asked(plan):
    assert plan(echo("a", when="kind == 1"), rows=None, assign="routed").signatures[0].asked


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


def test_the_places_inside_inputs_are_those_of_the_rows_that_are_admitted(registry):
    rows = [{"kind": "text", "meta": {"a": "x"}}, {"kind": "list", "meta": {"b": "x"}}]
    for admitted, found in [("list", []), ("text", ["input-field", "render"])]:
        member = template("{{ meta.b }}", when=f"kind == '{admitted}'")
        recipe = Recipe(pool=PoolSpec(members=[member], policies=(), assign="routed"))
        made = make_plan(recipe, registry, rows=Declared(rows, None))
        assert [finding.rule for finding in made.findings if finding.rule != "when-partial"] == found


def test_a_when_that_cannot_be_evaluated_admits_nothing(plan):
    assert route(plan, TEXT, ITEMS, {"text": 5}).findings == ()
    assert [finding.rule for finding in plan(echo("a", when="kind == 1"), rows=[{"text": 5}, TEXT]).findings] == [
        "render",
        "when-unused",
    ]
