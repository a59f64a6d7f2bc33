"""The places inside variables that a template needs, found without rendering it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool_core.errors import TemplateError
from pool_core.interfaces.paths import find_gap
from pool_core.interfaces.types import infer_type
from pool_core.templates import Expression, Template


def read(source):
    """The places, those that not every rendering comes to with a question mark."""
    return [f"{path}{'' if path.certain else '?'}" for path in Template(source).paths]


@pytest.mark.parametrize(
    ("source", "paths"),
    [
        ("plain {{ text }}", []),
        ("{{ meta.author.name }}", ["meta.author.name"]),
        ("{{ meta['the author'][0].name }} {{ meta[-1].x }}", ["meta['the author'][0].name", "meta[-1].x"]),
        ("{{ a.b + c.d|upper ~ [e.f, {'k': g.h}] }}", ["a.b", "c.d", "e.f?", "g.h?"]),
        ("{{ m[k.j].q }}", ["k.j"]),
        ("{{ m[true].q }}{{ m[1:n.k].q }}", ["n.k"]),
        (
            "{{ meta.title.upper() }}{{ meta.items()|join(a.b) }}{{ meta.get('x', c.d) }}",
            ["a.b?", "c.d?", "meta.title"],
        ),
        ("{{ (turns|first).role }}{{ (turns|sort|last).role.name }}", ["turns[-1].role.name", "turns[0].role"]),
        ("{{ turns|map(attribute='x')|join }}{{ (turns|selectattr('x')|first).y }}", []),
    ],
)
def test_expressions(source, paths):
    assert read(source) == paths


@pytest.mark.parametrize(
    ("source", "paths"),
    [
        ("{% for turn in turns %}{{ turn.role }}{{ loop.index }}{{ loop.previtem.x }}{% endfor %}", ["turns[].role"]),
        ("{% for a in b.c %}{% for d in a.e %}{{ d.f }}{% endfor %}{% endfor %}", ["b.c", "b.c[].e", "b.c[].e[].f"]),
        ("{% for a in b %}{{ c.d }}{% for e in a.f %}{{ a.g }}{% endfor %}{% endfor %}", ["b[].f", "b[].g?", "c.d?"]),
        ("{% for a in b|default([]) %}{{ a.c }}{{ d.e }}{% endfor %}", ["d.e?"]),
        ("{% for a in b %}{% for c in d.e %}{{ c.f }}{% endfor %}{% endfor %}", ["d.e?", "d.e[].f?"]),
        ("{% for a in b[0].c %}{{ a.d }}{% endfor %}", ["b[0].c", "b[0].c[].d?"]),
        ("{% for a in b if a.c %}{{ a.d }}{% endfor %}", ["b[].c", "b[].d?"]),
        ("{% for a in b %}{% else %}{{ c.d }}{% endfor %}{{ a.e }}", ["a.e", "c.d?"]),
        ("{% for key, value in meta.items() %}{{ value.x }}{% endfor %}", []),
        ("{% for n in range(a.b) %}{{ n.x }}{% endfor %}", ["a.b?"]),
        ("{% set x = a.b %}{{ x.c }}", ["a.b.c"]),
        ("{% set a = a.b %}{{ a.c }}", ["a.b.c"]),
        ("{% set x = a.b %}", []),
        ("{% set x = a.b.c %}", ["a.b"]),
        ("{% set x = a.b + 1 %}", ["a.b"]),
        ("{% set x, y = a.b, c.d %}{{ x.e }}", ["a.b?", "c.d?"]),
        ("{% set x %}{{ a.b }}{% endset %}{{ x.c }}", ["a.b"]),
        ("{% set x|indent(2) %}{{ a.b }}{% endset %}{{ x.c }}", ["a.b"]),
        ("{% if a.b %}{% set x = c.d %}{% endif %}{{ x.e }}", ["a.b"]),
        ("{% with x = a.b, y = x.c %}{{ x.d }}{% endwith %}{{ x.e }}", ["a.b.d", "x.e"]),
        ("{% filter indent(a.b) %}{{ c.d }}{% set x = e.f %}{% endfilter %}{{ x.g }}", ["a.b?", "c.d", "x.g"]),
    ],
)
def test_names_are_followed(source, paths):
    assert read(source) == paths


@pytest.mark.parametrize(
    ("source", "paths"),
    [
        ("{% if a.b %}{{ c.d }}{% elif e.f %}{{ g.h }}{% else %}{{ i.j }}{% endif %}",
         ["a.b", "c.d?", "e.f?", "g.h?", "i.j?"]),
        ("{{ a.b if c.d else e.f }}{{ g.h or i.j }}{{ k.l and m.n }}",
         ["a.b?", "c.d", "e.f?", "g.h", "i.j?", "k.l", "m.n?"]),
        ("{% if a %}{{ b.c }}{% endif %}{{ b.c }}", ["b.c"]),
    ],
)  # fmt: skip
def test_what_stands_under_a_condition_is_not_certain(source, paths):
    assert read(source) == paths


@pytest.mark.parametrize(
    ("source", "paths"),
    [
        ("{{ a.b|default('') }}", []),
        ("{{ a.b.c|d(e.f) }}", ["a.b", "e.f?"]),
        ("{% if a.b is defined %}{{ a.b.c }}{% endif %}", []),
        ("{{ a.b }}{% if a.b is undefined %}none{% endif %}", []),
        ("{% if a is defined %}{{ a.b }}{% endif %}", []),
        ("{% if a.b is true %}{{ a.b }}{% endif %}", []),
        ("{% if 'b' in a %}{{ a.b }}{% endif %}", []),
        ("{% if 'b' not in a.c %}-{% else %}{{ a.c.b }}{% endif %}", ["a.c"]),
        ("{% for x in y if x.z is defined %}{{ x.z.w }}{% endfor %}", []),
        ("{{ (a.b|upper)|default('') }}", ["a.b"]),
        ("{% filter default('') %}{{ a.b }}{% endfilter %}", ["a.b"]),
    ],
)
def test_what_may_be_missing_is_not_needed(source, paths):
    assert read(source) == paths


def test_expressions_have_them_too():
    assert [str(path) for path in Expression("meta.kind == 'x' and meta.author.name").paths] == [
        "meta.author.name",
        "meta.kind",
    ]


FILTERS = ["length", "string", "tojson", "join", "int", "trim", "items"]
KEYS = st.sampled_from(["a", "b", "items"])
PLACES = st.recursive(
    st.sampled_from(["x", "y"]),
    lambda inner: (
        st.builds("{}.{}".format, inner, KEYS)
        | st.builds("{}[{!r}]".format, inner, KEYS | st.integers(-1, 1))
        | st.builds(
            "({}|{})".format, inner, st.sampled_from(["first", "last", "list", "reverse", "default('')", "upper"])
        )
    ),
    max_leaves=3,
)
EXPRESSIONS = st.one_of(
    PLACES,
    st.builds("{} is defined".format, PLACES),
    st.builds("({} {} {})".format, PLACES, st.sampled_from(["and", "or"]), PLACES),
    st.builds("'{}' in {}".format, KEYS, PLACES),
    st.builds("({} {} {})".format, PLACES, st.sampled_from(["+", "~", "==", "<", "!=", "in"]), PLACES),
    st.builds("({} is {})".format, PLACES, st.sampled_from(["none", "mapping", "eq(1)", "true", "iterable"])),
    st.builds("({}|{})".format, PLACES, st.sampled_from(FILTERS)),
    st.builds("(not {})".format, PLACES),
    st.builds("[{}, {}]".format, PLACES, PLACES),
    st.builds("({}|default({}))".format, PLACES, PLACES),
    st.builds("{}.get('a', {})".format, PLACES, PLACES),
    st.builds("{}[{}]".format, PLACES, PLACES),
    st.builds("{}[:{}]".format, PLACES, PLACES),
    st.builds("({} if {} else {})".format, PLACES, PLACES, PLACES),
)
PARTS = st.recursive(
    st.builds("{{{{ {}|tojson }}}}".format, EXPRESSIONS) | st.builds("{{% set y = {} %}}".format, EXPRESSIONS),
    lambda inner: (
        st.builds("{{% if {} %}}{}{{% else %}}{}{{% endif %}}".format, EXPRESSIONS, inner, inner)
        | st.builds("{{% for {} in {} %}}{}{{% endfor %}}".format, st.sampled_from("xz"), EXPRESSIONS, inner)
        | st.builds("{{% for x in {} if {} %}}{}{{% endfor %}}".format, PLACES, EXPRESSIONS, inner)
        | st.builds("{{% with x = {} %}}{}{{% endwith %}}".format, EXPRESSIONS, inner)
        | st.builds("{}{}".format, inner, inner)
    ),
    max_leaves=6,
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["", "s"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@given(source=PARTS, values=st.fixed_dictionaries({"x": VALUES, "y": VALUES}))
def test_where_a_value_lacks_a_place_that_is_certain_nothing_is_rendered(source, values):
    """A finding of level error is never wrong: rendering comes to the same end."""
    template = Template(source)
    lacking = [path for path in template.paths if find_gap(infer_type(values[path.steps[0]]), path.steps[1:])]
    if any(path.certain for path in lacking):
        with pytest.raises(TemplateError):
            template.render(values)
