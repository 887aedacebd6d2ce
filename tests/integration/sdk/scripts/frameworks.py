"""Short trainings with frameworks that log to wandb by themselves, and with wandb's callbacks for frameworks.

    python frameworks.py FOLDER NAME…

A `sitecustomize.py` installs Stepwell as wandb. Each training NAME is a function of this file. It runs in the folder
FOLDER/NAME, which then has its offline runs. An error is written to FOLDER/NAME/error.txt; the next training begins.
"""

import io
import os
import sys
import traceback
from contextlib import redirect_stderr
from pathlib import Path

import stepwell


class Model:
    """A model of transformers, as far as its callback reads it."""

    class Config:
        def to_dict(self):
            return {"hidden_size": 8, "model_type": "tiny"}

    config = Config()

    def num_parameters(self):
        return 1234


def start_transformers(run_name):
    from transformers import TrainingArguments
    from transformers.integrations import WandbCallback
    from transformers.trainer_callback import CallbackHandler, DefaultFlowCallback, TrainerControl, TrainerState

    arguments = TrainingArguments("out", report_to="wandb", run_name=run_name, logging_steps=1, learning_rate=0.25)
    handler = CallbackHandler([DefaultFlowCallback, WandbCallback], Model(), None, None, None)
    state, control = TrainerState(), TrainerControl()
    handler.on_train_begin(arguments, state, control)
    return handler, arguments, state, control


def transformers():
    os.environ["WANDB_PROJECT"] = "hf"
    handler, *given = start_transformers("nice")
    _, state, _ = given
    for step in (1, 2, 3):
        state.global_step = step
        handler.on_log(*given, {"loss": 1 / step, "learning_rate": 0.1, "epoch": step / 3})
    handler.on_log(*given, {"eval_loss": 0.5, "eval_runtime": 2.0})
    handler.on_log(*given, {"train_runtime": 1.5, "train_loss": 0.75, "total_flos": 10.0, "epoch": 1.0})
    handler.on_train_end(*given)
    handler.on_predict(*given, {"test_loss": 0.125})
    stepwell.finish()


def transformers_artifacts():
    os.environ |= {"WANDB_LOG_MODEL": "checkpoint", "WANDB_WATCH": "all"}
    notices = io.StringIO()
    with redirect_stderr(notices):
        handler, *given = start_transformers(None)
        _, state, _ = given
        state.global_step = 1
        state.epoch = 1.0
        Path("out/checkpoint-1").mkdir(parents=True)
        handler.on_log(*given, {"loss": 1.0})
        handler.on_save(*given)
        stepwell.finish()
    Path("notices.txt").write_text(notices.getvalue())


def keras():
    os.environ["KERAS_BACKEND"] = "jax"
    import keras
    import numpy as np
    import wandb
    from wandb.integration.keras import WandbEvalCallback, WandbMetricsLogger, WandbModelCheckpoint

    class Predictions(WandbEvalCallback):
        def add_ground_truth(self, logs=None):
            for index, value in enumerate(y[:2]):
                self.data_table.add_data(index, float(value))

        def add_model_predictions(self, epoch, logs=None):
            for index, truth in self.data_table_ref.data:
                self.pred_table.add_data(epoch, index, truth, 0.5)

    x = np.arange(8, dtype="float32").reshape(8, 1)
    y = x[:, 0] * 2
    wandb.init(project="keras", config={"units": 1})
    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([2], [0.25, 0.125])
    model.compile(keras.optimizers.SGD(schedule), loss="mse", metrics=["mae"])
    callbacks = [
        Predictions(["index", "truth"], ["epoch", "index", "truth", "guess"]),
        WandbMetricsLogger(log_freq=2),
        WandbModelCheckpoint("model-{epoch}.keras"),
    ]
    model.fit(x, y, batch_size=2, epochs=2, validation_data=(x, y), callbacks=callbacks, shuffle=False, verbose=0)
    wandb.finish()


def xgboost():
    import numpy as np
    import wandb
    import xgboost as xgb
    from wandb.integration.xgboost import WandbCallback

    rows = np.random.default_rng(1).random((64, 3))
    labels = (rows[:, 0] > 0.5).astype(int)
    train, valid = xgb.DMatrix(rows[:48], labels[:48]), xgb.DMatrix(rows[48:], labels[48:])
    with wandb.init(project="xgboost"):
        xgb.train(
            {"objective": "binary:logistic", "eval_metric": ["logloss", "auc"], "max_depth": 2},
            train,
            num_boost_round=4,
            evals=[(train, "train"), (valid, "valid")],
            early_stopping_rounds=4,
            callbacks=[WandbCallback(log_model=True)],
            verbose_eval=False,
        )


def lightgbm():
    import lightgbm as lgb
    import numpy as np
    import wandb
    from wandb.integration.lightgbm import log_summary, wandb_callback

    rows = np.random.default_rng(1).random((64, 3))
    labels = (rows[:, 0] > 0.5).astype(int)
    parameters = {"objective": "binary", "metric": ["auc", "binary_logloss"], "min_data_in_leaf": 2, "verbose": -1}
    with wandb.init(project="lightgbm", name="train"):
        data = lgb.Dataset(rows, labels)
        model = lgb.train(parameters, data, 3, valid_sets=[data], valid_names=["valid"], callbacks=[wandb_callback()])
        log_summary(model, save_model_checkpoint=True)
    with wandb.init(project="lightgbm", name="cv"):
        lgb.cv(parameters, lgb.Dataset(rows, labels), 2, nfold=2, callbacks=[wandb_callback(log_params=False)])


def optuna():
    import optuna
    import wandb
    from optuna_integration.wandb import WeightsAndBiasesCallback

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    one = WeightsAndBiasesCallback("error", {"project": "optuna", "name": "study"})
    many = WeightsAndBiasesCallback("error", {"project": "optuna", "tags": ["t"], "group": "g"}, as_multirun=True)

    def objective(trial):
        return (trial.suggest_float("x", 0, 4) - 2) ** 2

    @many.track_in_wandb()
    def tracked(trial):
        wandb.log({"halfway": trial.number})
        return objective(trial)

    study = optuna.create_study(sampler=optuna.samplers.GridSampler({"x": [0, 1, 4]}, seed=1))
    study.optimize(objective, callbacks=[one])
    wandb.finish()
    study = optuna.create_study(sampler=optuna.samplers.GridSampler({"x": [0, 1]}, seed=1), study_name="s")
    study.optimize(tracked, callbacks=[many])


def omegaconf():
    import wandb
    from omegaconf import OmegaConf

    config = OmegaConf.create({"lr": 0.1, "optimizer": {"name": "adam", "betas": [0.9, 0.99]}, "rate": "${lr}"})
    with wandb.init(config=OmegaConf.to_container(config, resolve=True)):
        pass
    with wandb.init(config=dict(config)):
        pass


def run_all(folder, trainings):
    for training in trainings:
        here = folder / training.__name__
        here.mkdir()
        os.chdir(here)
        before = dict(os.environ)
        os.environ["STEPWELL_DIR"] = str(here)
        try:
            training()
        except Exception:
            Path("error.txt").write_text(traceback.format_exc())
            stepwell.finish()
        os.environ.clear()
        os.environ |= before


if __name__ == "__main__":
    run_all(Path(sys.argv[1]).absolute(), [globals()[name] for name in sys.argv[2:]])
