"""MLflow stores as older grafts left them."""

from pathlib import Path


def half_made(path: Path, revision: str = "0a8213491aaa") -> Path:
    """Leaves a store as an older graft did that was killed: some migrations are done, one is half-done."""
    from alembic import command
    from mlflow.store.db.utils import _get_alembic_config
    from mlflow.store.tracking.dbmodels.initial_models import Base
    from sqlalchemy import create_engine, text

    path.parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(f"sqlite:///{path}")
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        config = _get_alembic_config(f"sqlite:///{path}")
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        connection.execute(text("create table _alembic_tmp_experiments (experiment_id integer)"))
    engine.dispose()
    return path
