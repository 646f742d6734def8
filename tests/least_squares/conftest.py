"""What the tests of least squares share with those of the estimators."""

from tests.estimators.conftest import model  # noqa: F401
