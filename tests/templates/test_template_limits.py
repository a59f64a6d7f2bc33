"""The limits of templates: what just passes, what just does not, and what the errors say."""

from __future__ import annotations

import pytest

from pool_core.errors import TemplateError
from pool_core.templates import Template, _limits

TEN_MB = 10 * 1024 * 1024


@pytest.mark.parametrize(
    "source",
    [
        "{{ text }}",
        "Go: {{ text|trim }}!",
        "{% if text %}{{ text|replace('a', 'b')|lower }}{% endif %}",
        "{% set t %}{{ text }}{% endset %}{{ t }}",
        "{{ text|tojson }}",
        "{% for line in text.splitlines() %}{{ line }}{% endfor %}",
    ],
)
def test_a_large_column_renders(source: str) -> None:
    text = "a line of text \n" * (TEN_MB // 16)
    assert len(Template(source).render({"text": text})) >= TEN_MB - TEN_MB // 16


def test_a_long_list_renders() -> None:
    values = {"rows": [{"question": f"q{i}", "answer": "a" * 20} for i in range(20_000)]}
    source = "{% for r in rows %}{{ loop.index }}. {{ r.question|upper }}: {{ r.answer }}\n{% endfor %}"
    assert Template(source).render(values).count("\n") == 20_000


@pytest.mark.parametrize("source", ["{{ a }}", "{{ a }}{{ '' }}"])
def test_the_output_is_bounded(source: str) -> None:
    most = _limits.MAX_OUTPUT
    assert len(Template(source).render({"a": "x" * most})) == most
    with pytest.raises(TemplateError, match=f"^the template renders to more than {most} characters"):
        Template(source + "y").render({"a": "x" * most})


def test_the_values_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_limits, "MAX_INPUT", 1000)
    template = Template("{{ a|length }}")
    assert template.render({"a": "x" * 900}) == "900"
    with pytest.raises(TemplateError) as caught:
        template.render({"a": "x" * 1001})
    assert str(caught.value) == "'a': the values are too large for a template\n  Shorten the row's columns."


def test_work_is_bounded_and_the_error_says_what_to_do() -> None:
    with pytest.raises(TemplateError) as caught:
        Template("\n{{ 'x' * 10**9 }}", where="task.template").render({})
    assert str(caught.value) == (
        "task.template, line 2: the template does more work than a rendering may do\n"
        "  Loop over fewer items, and build less text on the way."
    )


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x" * (_limits.MAX_SOURCE + 1), "t: the template has more than 262144 characters"),
        ("{{ a }}" * 10_000, "t, line 1: the template has more than 20000 tokens"),
        ("{{ a }}" * 5500, "t, line 1: the template has more than 5000 nodes"),
        ("{{ 1" + "+1" * 200 + " }}", "t, line 1: the template is nested more than 100 levels deep"),
        ("{{ " + "(" * 2000 + " }}", "t: the template is nested too deeply"),
        (
            "{% for a in b %}" * 30 + "{% endfor %}" * 30,
            "t: the template cannot be compiled: too many",
        ),
        ("{% set x|indent(y) %}{% endset %}", "t: the template cannot be compiled: Tried to resolve a name"),
        ("{{ 1" + "0" * 5000 + " }}", "t: the template cannot be compiled: Exceeds the limit (4300 digits)"),
        ("{{ 1" + "0" * 100 + " }}", "t, line 1: a number has more than 256 bits"),
        ("{% include 'a' %}", "t, line 1: 'include' cannot be used in a template"),
        ("\n{% import 'a' as b %}", "t, line 2: 'import' cannot be used in a template"),
        ("{% from 'a' import b %}", "t, line 1: 'from' cannot be used in a template"),
        ("{% extends 'a' %}", "t, line 1: 'extends' cannot be used in a template"),
        ("{% macro a() %}{% endmacro %}", "t, line 1: 'macro' cannot be used in a template"),
        ("{% call a() %}{% endcall %}", "t, line 1: 'call' cannot be used in a template"),
        ("{% set a.b = 1 %}", "t, line 1: 'namespace' cannot be used in a template"),
        ("{% autoescape true %}{% endautoescape %}", "t: 'autoescape' cannot be used in a template"),
        ("{% for a in b recursive %}{% endfor %}", "t, line 1: a recursive loop cannot be used in a template"),
        ("{{ self }}", "t, line 1: 'self' cannot be used in a template"),
        ("{{ a.__class__ }}", "t, line 1: the attribute '__class__' cannot be used in a template"),
        ("{{ namespace() }}", "t, line 1: only methods and 'range' can be called in a template"),
        ("{{ range(*a) }}", "t, line 1: '*' and '**' before an argument cannot be used in a template"),
    ],
)
def test_what_compiling_refuses(source: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        Template(source, where="t")
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ a.format(1) }}", "'format' of str cannot be used in a template\n  What can: capitalize, endswith, lower,"),
        ("{{ n.real }}", "'real' of int cannot be used in a template"),
        ("{% for i in xs %}{{ loop.secret }}{% endfor %}", "'secret' of the loop cannot be used in a template"),
        ("{{ xs['a'] }}", "list cannot be indexed with str"),
        ("{% set range = a %}{{ range() }}", "str cannot be called in a template"),
        ("{{ range(100001) }}", "'range' gives at most 100000 numbers and not 100001"),
        ("{{ a - 1 }}", "'-' cannot be applied to str and int\n  Text is put together with '~'."),
        ("{{ xs + n }}", "'+' cannot be applied to list and int"),
        ("{{ n in n }}", "'in' cannot be applied to int and int"),
        ("{{ d[n] }}", "dict cannot be indexed with int"),
        ("{{ {n: 1} }}", "a mapping's key has to be text and not int"),
        ("{{ n[1:] }}", "a part of int cannot be taken with [:]"),
        ("{% for i in n %}{% endfor %}", "int cannot be looped over"),
        ("{{ 2 ** 255 * 2 }}{{ 2 ** 256 }}", "a whole number of more than 256 bits cannot be calculated with"),
        ("{{ n|length }}", "int has no items"),
        ("{{ []|first }}", "an empty value has no first or last item"),
        ("{{ []|max }}", "an empty value has no smallest or largest item"),
        ("{{ xs|items }}", "'items' needs a mapping and not list"),
        ("{{ [xs]|unique }}", "'unique' needs items that are text or numbers and not list"),
        ("{{ a|truncate(2) }}", "'truncate' needs a length of at least 3, that of its ending, and not 2"),
        ("{{ a|tojson(9) }}", "'tojson' indents by 0 to 8 blanks and not by 9"),
        ("{{ 1|round(31) }}", "'round' takes a precision of -30 to 30 and not 31"),
        ("{{ [d]|selectattr('k', 'no') }}", "there is no test 'no'\n  The tests are: !=, <, "),
        ("{{ [d]|map(attribute='no') }}", "'dict object' has no attribute 'no'"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ n < a }}", "'<' not supported between instances of 'int' and 'str'"),
    ],
)
def test_what_rendering_refuses(source: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        Template("\n" + source).render({"a": "text", "n": 5, "xs": [1], "d": {"k": 1}})
    assert str(caught.value).startswith(f"line 2: {message}")


def test_long_messages_are_clipped() -> None:
    with pytest.raises(TemplateError) as caught:
        Template("{% " + "y" * 1000 + " %}")
    assert len(str(caught.value)) < 400


def test_the_budget_of_one_rendering_is_not_that_of_the_next() -> None:
    template = Template("{% for a in range(20000) %}{{ a }}{% endfor %}")
    assert template.render({}) == template.render({}) == template.render({})
