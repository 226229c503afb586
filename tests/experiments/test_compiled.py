"""Where compiled programs are kept, and when not."""

import jax
import pytest

from experiments import compiled


@pytest.fixture
def unset():
    """jax as it is for who has set nothing."""
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def test_programs_are_kept_in_the_folder_of_the_user(unset, tmp_path, monkeypatch):
    monkeypatch.delenv("FSJAX_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    compiled.keep()
    assert jax.config.jax_compilation_cache_dir == str(compiled.folder())
    assert compiled.folder().parent == tmp_path / "fsjax" / "compiled"
    assert compiled.folder().is_dir()


def test_what_jax_was_told_stays():
    before = jax.config.jax_compilation_cache_dir
    compiled.keep()
    assert jax.config.jax_compilation_cache_dir == before


def test_a_folder_that_cannot_be_made_is_done_without(unset, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("FSJAX_CACHE", str(tmp_path / "file"))
    compiled.keep()
    assert jax.config.jax_compilation_cache_dir is None
