"""The same as `frameworks.py` for frameworks that need torch: their own code runs, with a stand-in for torch.

python frameworks_of_torch.py FOLDER NAME…
"""

import os
import sys
from pathlib import Path

import numpy as np

import stepwell
from support.fakes import torch_modules

torch_modules.install()


def accelerate():
    from accelerate.state import PartialState
    from accelerate.tracking import LoggerType, WandBTracker, get_available_trackers

    assert LoggerType.WANDB in get_available_trackers()
    PartialState(cpu=True)
    tracker = WandBTracker("accelerate", tags=["a"], group="g")
    tracker.start()
    tracker.store_init_configuration({"lr": 0.1, "layers": 2})
    tracker.log({"loss": 1.0}, step=0)
    tracker.log({"loss": 0.5, "nested": {"acc": 0.75}}, step=5)
    tracker.log_images({"images": [np.zeros((2, 2, 3), np.uint8)] * 2}, step=5)
    tracker.log_table("table", columns=["a", "b"], data=[[1, "x"]], step=6)
    assert tracker.tracker is stepwell.run
    tracker.finish()


def lightning():
    from pytorch_lightning.loggers import WandbLogger

    del os.environ["STEPWELL_MODE"]
    logger = WandbLogger(
        name="nice", project="lightning", save_dir=str(Path.cwd()), offline=True, tags=["t"], prefix="p"
    )
    logger.log_hyperparams({"lr": 0.1, "model": {"layers": 2}, "relu": max})
    logger.watch(object(), log="all")
    for step in (0, 50):
        logger.log_metrics({"loss": 1.0 / (step + 1)}, step)
    logger.log_image("images", [np.zeros((2, 2, 3), np.uint8)], caption=["c"])
    logger.log_table("table", columns=["a"], data=[[1]])
    assert (logger.version, logger.name) == (stepwell.run.id, "lightning")
    logger.experiment.config["more"] = 1
    logger.finalize("success")
    assert stepwell.run.offline
    stepwell.finish()


def lightning_checkpoints():
    from pytorch_lightning.loggers import WandbLogger

    class Checkpoints:
        save_top_k, best_model_path, best_model_score = -1, "best.ckpt", 0.5

    Path("best.ckpt").write_bytes(b"x")
    logger = WandbLogger(project="lightning", save_dir=str(Path.cwd()), log_model="all")
    logger.after_save_checkpoint(Checkpoints())
    logger.log_metrics({"loss": 1.0}, 0)
    logger.finalize("success")
    stepwell.finish()


def sb3():
    import wandb
    from stable_baselines3.common.logger import Logger
    from wandb.integration.sb3 import WandbCallback

    class Algorithm:
        policy = object()

        def __init__(self):
            self.batch_size, self.gamma, self.num_timesteps = 64, 0.99, 0
            self.learning_rate = lambda progress: 0.1
            self.logger = Logger(None, [])

        def save(self, path):
            Path(path).write_bytes(b"x")

    with wandb.init(project="sb3", sync_tensorboard=True):
        model, callback = Algorithm(), WandbCallback(model_save_path="models", gradient_save_freq=1)
        callback.init_callback(model)
        callback.on_training_start({}, {})
        for step in (10, 20):
            model.num_timesteps = step
            assert callback.on_step()
            model.logger.record("rollout/ep_rew_mean", np.float32(step / 4))
            model.logger.record("time/fps", 100, exclude="tensorboard")
            model.logger.record("text", "not a number")
            model.logger.dump(step)
        callback.on_training_end()


if __name__ == "__main__":
    from frameworks import run_all

    # The way that needs no helper: the module under another name.
    sys.modules["wandb"] = stepwell
    run_all(Path(sys.argv[1]).absolute(), [globals()[name] for name in sys.argv[2:]])
