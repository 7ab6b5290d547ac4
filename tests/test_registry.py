"""registry: names are lazy, third parties are found, what is missing is said."""

from __future__ import annotations

import dataclasses

import pytest

from liftform.errors import LiftformError, MissingExtraError, UsageError
from liftform.zoo import registry


@pytest.mark.parametrize("task", registry.tasks())
def test_every_row_of_ours_is_a_callable_with_options_beside_it(task):
    for name, row in registry.BACKENDS[task].items():
        assert callable(registry.factory(task, name))
        options = registry.options_class(task, name)
        assert dataclasses.is_dataclass(options)
        assert options.__dataclass_params__.frozen
        assert row.factory.partition(":")[0] == row.options.partition(":")[0], "options belong beside their backend"
        for field in dataclasses.fields(options):
            assert field.metadata.get("help"), f"{options.__name__}.{field.name} has no help line"


@pytest.mark.parametrize("road", registry.ROADS)
def test_flat_keywords_are_unique_on_a_road(road):
    """All but ``faces`` of a picture, which is the budget of an object and of a scene."""
    words = [
        field.metadata["keyword"]
        for task in registry.tasks(road)
        for field in dataclasses.fields(registry.options_class(task))
        if field.metadata.get("keyword")
    ]
    assert [word for word in set(words) if words.count(word) > 1] == (["faces"] if road == "make" else [])
    assert not {"seed", "threads", "backends", "progress", "recipe", "source"} & set(words)


def test_third_parties_are_found_by_entry_point():
    assert registry.names("mask")[0] == registry.default("mask") == "embedded"
    assert "fake" in registry.names("mask")
    assert registry.factory("mask", "fake").__module__ == "liftform_fakes"
    assert registry.options_class("object", "fake").__name__ == "ObjectOptions"


def test_unknown_names_are_usage_errors_with_a_suggestion():
    with pytest.raises(UsageError, match="did you mean 'embedded'"):
        registry.factory("mask", "embeded")
    with pytest.raises(UsageError, match="did you mean 'simplify'"):
        registry.names("simplfy")


def test_a_missing_package_names_the_extra():
    with pytest.raises(MissingExtraError, match=r"pip install 'liftform\[fields\]'"):
        registry.factory("mask", "absent")
    with pytest.raises(MissingExtraError, match="liftform_no_such_package"):
        registry.factory("mask", "unimportable")


def test_an_entry_point_must_name_a_row():
    with pytest.raises(LiftformError, match="must name a liftform Backend row"):
        registry.factory("mask", "nonsense")
