"""What ordinary templates and expressions give."""

from __future__ import annotations

import json
import pickle
from collections import ChainMap

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool_core.errors import TemplateError
from pool_core.templates import Expression, Template

VALUES = {
    "name": "ada",
    "n": 7,
    "ratio": 0.5,
    "flag": True,
    "nothing": None,
    "xs": [1, 2, 3],
    "words": ["pear", "Apple", "fig"],
    "docs": [{"text": "one", "kind": "a", "meta": {"n": 2}}, {"text": "two", "kind": "b", "meta": {"n": 1}}],
    "d": {},
    "row": {"items": "taken", "content": "C"},
}

#: Sources whose result here and in plain Jinja are the same.
LIKE_JINJA = [
    "",
    "plain text only",
    "Hello {{ name }}!",
    "{{ name }}{{ n }}{{ ratio }}{{ flag }}{{ [nothing] }}",
    "{{ xs }} {{ docs }}",
    "ends with a newline\n",
    "{{ name }}\n",
    "{# a comment #}{{ name }}",
    "{% raw %}{{ name }}{% endraw %}",
    "{% if n > 3 %}big{% elif n == 3 %}three{% else %}small{% endif %}",
    "{% if name == 'ada' and not nothing %}yes{% endif %}",
    "{% if 1 < n <= 7 < 9 %}in{% endif %}{{ 'd' in name }}{{ 2 not in xs }}{{ 'text' in docs[0] }}",
    "{% for x in xs %}{{ loop.index }}/{{ loop.length }}:{{ x }}{% if not loop.last %}, {% endif %}{% endfor %}",
    "{% for x in xs if x > 1 %}{{ loop.index0 }}{{ loop.revindex }}{{ loop.first }}/{{ loop.length }}{% endfor %}",
    "{% for x in xs %}{{ loop.cycle('odd', 'even') }}{{ loop.changed(x > 1) }}{{ loop.depth }}{% endfor %}",
    "{% for x in xs %}{{ loop.previtem if not loop.first else '-' }}{{ loop.nextitem|default('-') }}{% endfor %}",
    "{% for x in [] %}never{% else %}none{% endfor %}",
    "{% for a in xs %}{% for b in xs %}{{ a * b }} {% endfor %}{{ loop.index }};{% endfor %}",
    "{% for key, value in docs[0].items() %}{{ key }}={{ value }};{% endfor %}",
    "{% for d in docs %}{{ d.text }}{{ d['kind'] }}{{ d.meta.n }}{% endfor %}",
    "{% for key in docs[0] %}{{ key }}{% endfor %}{% for c in name %}{{ c }}-{% endfor %}",
    "{% set total = n + 1 %}{{ total }}{% set a, b = xs[0], xs[1] %}{{ a }}{{ b }}",
    "{% set block %}<{{ name }}>{% endset %}{{ block }}{{ block|length }}",
    "{% set block | upper %}{{ name }}{% endset %}{{ block }}",
    "{% with x = n, y = 2 %}{{ x - y }}{% endwith %}",
    "{% filter upper %}{{ name }} and more{% endfilter %}",
    "a\n  {%- if flag %}\n  b\n  {%- endif -%}\n c",
    "{{ name ~ n ~ ratio }}{{ 'a' + 'b' }}{{ xs + [4] }}{{ 'ab' * 2 }}{{ [0] * 2 }}",
    "{{ n // 2 }} {{ n / 2 }} {{ n % 4 }} {{ 2 ** 10 }} {{ -n }} {{ +n }} {{ 2 ** -1 }}",
    "{{ xs[0] }}{{ xs[-1] }}{{ xs[1:] }}{{ name[:2] }}{{ name[::-1] }}{{ name[0] }}{{ docs.0.text }}",
    "{{ {'a': 1, 'b': [2]} }}{{ (1, 2) }}{{ [] }}{{ 'yes' if flag else 'no' }}",
    "{{ name.upper() }}{{ name.title() }}{{ ' x '.strip() }}{{ 'a,b'.split(',') }}{{ 'a b  c'.split() }}",
    "{{ 'a,b,c'.split(',', 1) }}{{ 'a\nb'.splitlines() }}{{ 'pre-x'.removeprefix('pre-') }}{{ 'xxa'.lstrip('x') }}",
    "{{ name.startswith('a') }}{{ name.endswith(suffix='x') if false else '' }}{{ xs.index(2) }}{{ xs.count(1) }}",
    "{{ docs[0].get('text') }}{{ docs[0].get('no', 'd') }}{{ docs[0].keys()|list }}{{ docs[0].values()|list|length }}",
    "{{ missing|default('d') }}{{ missing|d('e') }}{{ ''|default('f', true) }}{{ nothing|d('g', true) }}",
    "{{ nothing or 'h' }}",
    "{{ missing is defined }}{{ missing is undefined }}{{ name is defined }}",
    "{{ name is string }}{{ n is number }}{{ n is integer }}{{ ratio is float }}{{ xs is sequence }}{{ d is mapping }}",
    "{{ nothing is none }}{{ flag is true }}{{ flag is false }}{{ n is odd }}{{ n is even }}{{ n is divisibleby 7 }}",
    "{{ n is eq 7 }}{{ n is ne 7 }}{{ n is lt 8 }}{{ n is in xs }}{{ n is iterable }}{{ flag is boolean }}",
    "{{ 'ABC'|lower }}{{ 'abc'|upper }}{{ 'abc'|capitalize }}{{ '  x '|trim }}{{ 'xxa'|trim('x') }}{{ 3|string }}",
    "{{ xs|join(', ') }}{{ xs|join }}{{ docs|join(';', attribute='text') }}{{ words|join(1) }}",
    "{{ xs|length }}{{ name|count }}{{ docs[0]|length }}{{ xs|first }}{{ xs|last }}{{ name|first }}",
    "{{ 'aXbXc'|replace('X', '--') }}{{ 'aXbXc'|replace('X', '', 1) }}{{ 'ab'|replace('', '.') }}",
    "{{ 'one two three four'|truncate(9, leeway=0) }}{{ 'one two'|truncate(5, true, '!', 0) }}{{ name|truncate }}",
    "{{ 'a\n\nb\n'|indent }}|{{ 'a\n\nb'|indent(2, true) }}|{{ 'a\n\nb'|indent(2, blank=true) }}",
    "{{ 'x'|center(5) }}{{ 'x'|center }}|",
    "{{ '42'|int }}{{ 'x'|int(5) }}{{ '1a'|int(base=16) }}{{ '1.5'|float }}{{ 'x'|float }}{{ 3.7|int }}{{ none|int }}",
    "{{ 2.567|round(2) }}{{ 42|round }}{{ -3|abs }}{{ xs|sum }}{{ docs|sum('meta.n') }}{{ xs|max }}{{ words|min }}",
    "{{ words|sort }}{{ words|sort(true, true) }}{{ docs|sort(attribute='meta.n') == docs }}{{ xs|reverse|list }}",
    "{{ 'abc'|reverse }}{{ ['a', 'A', 'b']|unique|list }}{{ ['a', 'A']|unique(true)|list }}{{ 'ab'|list }}",
    "{{ docs|map(attribute='text')|join }}{{ docs|map(attribute='no', default='-')|join }}",
    "{{ docs|selectattr('kind', 'equalto', 'a')|list|length }}{{ docs|rejectattr('kind', 'in', ['a'])|list|length }}",
    "{{ docs|selectattr('no', 'defined')|list }}{{ docs|selectattr('text')|list|length }}",
    "{% for key, value in row|items %}{{ key }}{{ value }}{% endfor %}{{ row['items'] }}{{ \"don't a-b c_D\"|title }}",
    "{{ range(3)|list }}{% for i in range(1, 10, 4) %}{{ i }}{% endfor %}",
]


@pytest.mark.parametrize("source", LIKE_JINJA)
def test_ordinary_templates_give_what_jinja_gives(source: str) -> None:
    plain = jinja2.Environment(keep_trailing_newline=True, undefined=jinja2.StrictUndefined, autoescape=False)
    assert Template(source).render(VALUES) == plain.from_string(source).render(VALUES)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ docs[0]|tojson }}", '{"text": "one", "kind": "a", "meta": {"n": 2}}'),
        ("{{ '<é\"&>'|tojson }}", '"<é\\"&>"'),
        ("{{ [1, {'a': none}]|tojson(indent=2) }}", json.dumps([1, {"a": None}], indent=2)),
        ("{{ 'a' if false }}|", "|"),
        ("{{ '<b>' }}{{ html }}", "<b><i>"),
    ],
)
def test_where_it_differs_from_jinja_on_purpose(source: str, expected: str) -> None:
    assert Template(source).render({**VALUES, "html": "<i>"}) == expected


@pytest.mark.parametrize(
    "source", ["{{ x }}", "a {{ x }}", "{{ x }}{{ 1 }}", "{% if true %}{{ x }}{% endif %}", "{{ x|default('') }}"]
)
@pytest.mark.parametrize("chat", [False, True])
def test_null_is_never_shown(source: str, chat: bool) -> None:
    with pytest.raises(TemplateError, match=" is null"):
        Template(source, chat=chat).render({"x": None})


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("a\n{{ instruction }}", "instruction"),
        ("a\n{{ instruction }}{{ range(2) }}", "instruction"),
        ("a\n{% set b %}{{ doc.title }}{% endset %}", "doc.title"),
    ],
)
def test_what_is_null_is_named_with_its_line(source: str, name: str) -> None:
    with pytest.raises(TemplateError) as caught:
        Template(source, where="template").render({"instruction": None, "doc": {"title": None}})
    assert str(caught.value) == (
        f"template, line 2: {name!r} is null\n"
        f"  Where a gap is meant, write {{{{ {name} or '' }}}} or {{{{ {name}|default('', true) }}}}."
    )


@pytest.mark.parametrize(
    "shown",
    ["none", "x ~ 'a'", "x|trim", "x|upper", "x|string", "x|replace('a', 'b')", "[x]|join", "x if true", "xs[0]"],
)
def test_null_becomes_no_text_on_the_way_either(shown: str) -> None:
    with pytest.raises(TemplateError) as caught:
        Template(f"{{{{ {shown} }}}}").render({"x": None, "xs": [None]})
    assert str(caught.value) == (
        "line 1: a value that is to become text is null\n"
        "  Where a gap is meant, write {{ value or '' }} or {{ value|default('', true) }}."
    )


@pytest.mark.parametrize(
    "source",
    ["{{ x or '-' }}", "{{ x|default('-', true) }}", "{{ x|d('-', true) }}", "{{ '-' if x is none else x }}"],
)
def test_a_gap_is_written_where_it_is_meant(source: str) -> None:
    assert Template(source).render({"x": None}) == "-"
    assert Template("{{ x|tojson }}{{ [x] }}").render({"x": None}) == "null[None]"


@given(st.lists(st.one_of(st.text(alphabet="ab \n{}%#-\\'\"é"), st.just("{{ x }}"), st.just("{{ y }}")), max_size=8))
def test_plain_templates_are_joined_to_what_jinja_gives(pieces: list[str]) -> None:
    source = "".join(pieces)
    values = {"x": "{{ y }}", "y": "-%}"}
    plain = jinja2.Environment(keep_trailing_newline=True, autoescape=False)
    try:
        expected = plain.from_string(source).render(values)
    except jinja2.TemplateSyntaxError:
        with pytest.raises(TemplateError):
            Template(source)
    else:
        assert Template(source).render(values) == expected


def test_names_are_the_undeclared_variables_sorted() -> None:
    source = "{% set z = b %}{% for x in a %}{{ x }}{{ loop.index }}{{ range(2) }}{{ z }}{% endfor %}{{ c }}"
    assert Template(source).names == ("a", "b", "c")
    assert Template("no variables").names == ()
    assert Expression("source == 'code' and n > limit").names == ("limit", "n", "source")


@pytest.mark.parametrize("optional", ["hint|default('-')", "hint|d('-')", "hint|default('-')|trim"])
def test_a_column_with_a_default_may_be_missing(optional: str) -> None:
    template = Template(f"{{{{ a }}}}{{{{ {optional} }}}}")
    assert template.names == ("a",)
    assert template.render({"a": "x"}) == "x-"
    assert template.render({"a": "x", "hint": "y"}) == "xy"


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("a is defined", ()),
        ("a is undefined or a is not defined", ()),
        ("a is defined and a", ("a",)),
        ("a|default(b)", ("b",)),
        ("a.b|default('')", ("a",)),
        ("(a or b)|default('')", ("a", "b")),
        ("a is none", ("a",)),
        ("a|trim|default('')", ("a",)),
    ],
)
def test_names_are_those_that_may_not_be_missing(source: str, names: tuple[str, ...]) -> None:
    assert Expression(source).names == names
    assert Template(f"{{% if {source} %}}x{{% endif %}}").names == names


def test_a_test_for_a_column_sees_whether_it_is_there() -> None:
    for value in ("x", None, 0):
        assert Expression("a is defined").test({"a": value})
        assert not Expression("a is undefined").test({"a": value})
    assert not Expression("a is defined").test({})
    assert Expression("a|default(3)").evaluate({"a": 4}) == 4


def test_a_missing_column_is_named_without_those_that_may_be_missing() -> None:
    with pytest.raises(TemplateError) as caught:
        Template("{{ b|default('') }}{{ a }}").render({})
    assert str(caught.value) == "line 1: 'a' is undefined\n  Missing: a. Given: nothing."


def test_only_the_values_it_needs_are_looked_at() -> None:
    assert Template("{{ a }}").render({"a": "x", "b": object()}) == "x"
    assert Template("{{ a }}{{ range(1) }}").render(ChainMap({"a": "x", "range": "shadow", "b": object()})) == "x[0]"


def test_values_are_never_rendered_as_templates() -> None:
    hostile = "{{ 7 * 7 }}{% for x in range(9) %}{{ x }}{% endfor %}"
    assert Template("{{ a }}").render({"a": hostile}) == hostile
    assert Template("{{ a|trim }}{% if a %}{{ a }}{% endif %}").render({"a": hostile}) == hostile * 2


@pytest.mark.parametrize("source", ["{{ a }}\n{{ b }}", "{{ a }}\n{{ b|upper }}", "{{ a }}\n{% if b %}{% endif %}"])
def test_a_missing_variable_is_named_with_its_line(source: str) -> None:
    with pytest.raises(TemplateError) as caught:
        Template(source, where="task.template").render({"a": "x", "c": "y"})
    assert str(caught.value) == "task.template, line 2: 'b' is undefined\n  Missing: b. Given: a, c."


def test_a_missing_key_is_named() -> None:
    with pytest.raises(TemplateError, match=r"line 1: 'dict object' has no attribute 'b'$"):
        Template("{{ a.b }}").render({"a": {}})
    with pytest.raises(TemplateError, match=r"list object has no element 3"):
        Template("{{ a[3] }}").render({"a": [1]})


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("a\n{% if x %}", "t, line 2: Unexpected end of template."),
        ("{{ x", "t, line 1: unexpected end of template, expected 'end of print statement'."),
        ("\n{% foo %}", "t, line 2: Encountered unknown tag 'foo'."),
        ("\n\n{{ x|nope }}", "t, line 3: there is no filter 'nope'; the filters are: abs, "),
        ("{{ x is nope }}", "t, line 1: there is no test 'nope'; the tests are: "),
    ],
)
def test_a_syntax_error_has_its_line(source: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        Template(source, where="t")
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("source == 'code'", True),
        ("source in ['a', 'b']", False),
        ("n > 3 and n % 2 == 1", True),
        ("words|length", 3),
        ("tags.kind if tags.kind is defined else 'none'", "none"),
        ("'%s' ~ n", "%s7"),
        ("words[0].startswith('p')", True),
        ("[n, {'a': none}]", [7, {"a": None}]),
    ],
)
def test_expressions_evaluate(expression: str, expected: object) -> None:
    assert Expression(expression).evaluate({**VALUES, "source": "code", "tags": {}}) == expected


def test_an_expression_is_tested_for_truth() -> None:
    assert Expression("n").test({"n": 1}) is True
    assert Expression("n").test({"n": []}) is False


@pytest.mark.parametrize("source", ["missing", "missing == 'x'", "not missing", "missing and true", "a.missing"])
def test_an_undefined_name_in_an_expression_is_an_error(source: str) -> None:
    with pytest.raises(TemplateError, match=r"has no attribute 'missing'|'missing' is undefined"):
        Expression(source, where="when").test({"a": {}})


@pytest.mark.parametrize("source", ["", "a b", "a }}{{ b", "a %}", "{{ a }}", "a =", "a if", "set x = 1"])
def test_an_expression_is_one_expression(source: str) -> None:
    with pytest.raises(TemplateError, match=r"^when, line 1: "):
        Expression(source, where="when")


def test_more_after_an_expression_is_said() -> None:
    with pytest.raises(TemplateError, match="there is more after the expression's end"):
        Expression("a b")


def test_an_expression_gives_plain_values_only() -> None:
    with pytest.raises(TemplateError, match="a value of type Method cannot be used in a template"):
        Expression("a.upper").evaluate({"a": "x"})


def test_chat_templates_drop_the_lines_of_blocks_and_can_fail() -> None:
    check = "  {% if m == 'x' %}\n{{ raise_exception('no ' ~ m) }}\n  {% endif %}\n"
    source = "{% for m in messages %}\n" + check + "{{ m }}\n{% endfor %}"
    assert Template(source, chat=True).render({"messages": ["a", "b"]}) == "a\nb\n"
    with pytest.raises(TemplateError, match=r"^f, line 3: the template says: no x$"):
        Template(source, chat=True, where="f").render({"messages": ["a", "x"]})
    with pytest.raises(TemplateError, match="only methods and 'range' can be called"):
        Template(source)


def test_rendering_leaves_the_values_as_they_are() -> None:
    values = {"xs": [3, 1, 2], "d": {"k": [1]}}
    Template("{{ xs|sort }}{{ xs|reverse }}{{ d|items }}{% set xs = [] %}").render(values)
    assert values == {"xs": [3, 1, 2], "d": {"k": [1]}}


def test_a_pickled_template_is_compiled_again() -> None:
    template = pickle.loads(pickle.dumps(Template("{{ name }}{% if n %}\n{% endif %}!", where="f", chat=True)))
    assert template.render({"name": "ada", "n": 1}) == "ada!"
    with pytest.raises(TemplateError, match=r"^f, line 1: "):
        template.render({"n": 1})
    expression = pickle.loads(pickle.dumps(Expression("n > 6", where="when")))
    assert expression.test({"n": 7})
    with pytest.raises(TemplateError, match=r"^when"):
        expression.test({})
