"""Train a classifier on small pictures of digits, and log values of every type: python train_digits.py --epochs 3."""

import argparse
import wave
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import panel as pn
import plotly.express as px
import wandb
from bokeh.plotting import figure as bokeh_figure
from bokeh.plotting import output_file, save
from matplotlib import pyplot as plt
from PIL import Image as PILImage
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split

matplotlib.use("agg")
parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--lr", type=float, default=0.01)
args = parser.parse_args()

run = wandb.init(
    project="digits",
    name="sgd-baseline",
    notes="SGD on 8×8 digits",
    tags=["baseline", "sklearn"],
    group="linear",
    job_type="train",
    config=args,
    settings=wandb.Settings(init_timeout=120),
)
wandb.config.update({"model": {"kind": "sgd", "loss": "log_loss"}, "classes": list(range(10))})
wandb.config.seed = 7
run.config["batch_size"] = 256
print(f"run {run.name} ({run.id}) in project {run.project}")

wandb.define_metric("epoch", hidden=True)
wandb.define_metric("val/*", step_metric="epoch")
wandb.define_metric("val/accuracy", step_metric="epoch", summary="max")
wandb.define_metric("train/loss", summary="min,last,mean")
wandb.define_metric("internal", summary="none")

digits = load_digits()
names = [f"digit {number}" for number in range(10)]
train_x, val_x, train_y, val_y = train_test_split(digits.data / 16, digits.target, random_state=7, test_size=0.25)
model = SGDClassifier(loss="log_loss", learning_rate="constant", eta0=args.lr, random_state=7)
rng = np.random.default_rng(7)

batch = 0
for epoch in range(args.epochs):
    order = rng.permutation(len(train_x))
    for start in range(0, len(order), run.config.batch_size):
        chosen = order[start : start + run.config.batch_size]
        model.partial_fit(train_x[chosen], train_y[chosen], classes=np.arange(10))
        probabilities = np.clip(model.predict_proba(train_x[chosen]), 1e-9, 1)
        loss = -np.log(probabilities[np.arange(len(chosen)), train_y[chosen]]).mean()
        wandb.log({"train/loss": loss, "train/lr": args.lr, "batch": batch, "internal": batch % 2}, step=batch)
        batch += 1
    scores = model.predict_proba(val_x)
    guesses = scores.argmax(axis=1)
    accuracy = (guesses == val_y).mean()
    # Two calls make one row.
    run.log({"epoch": epoch, "val/accuracy": accuracy}, commit=False)
    run.log({"val": {"errors": int((guesses != val_y).sum()), "best": bool(accuracy > 0.9), "phase": f"epoch {epoch}"}})
    batch += 1

# A picture of a digit in every accepted form.
pictures = (val_x[:4].reshape(-1, 8, 8) * 255).astype(np.uint8)
large = np.kron(pictures[0], np.ones((8, 8), np.uint8))
PILImage.fromarray(large).save("digit.png")
mask = (large > 128).astype(np.uint8)
box = {"position": {"minX": 0.1, "maxX": 0.9, "minY": 0.1, "maxY": 0.9}, "class_id": 1, "scores": {"sure": 0.8}}
labels = {0: "paper", 1: "ink"}
fig, axes = plt.subplots(figsize=(3, 2))
axes.plot(np.linspace(0, 1, 20) ** 2, label="square")
axes.legend()
run.log(
    {
        "images/array": wandb.Image(large, caption=names[val_y[0]]),
        "images/floats": wandb.Image(rng.random((8, 8, 3)), mode="RGB", file_type="jpg"),
        "images/pil": wandb.Image(PILImage.fromarray(large)),
        "images/path": wandb.Image("digit.png", caption="from a file"),
        "images/list": [wandb.Image(picture, caption=names[y]) for picture, y in zip(pictures, val_y, strict=False)],
        "images/overlays": wandb.Image(
            large,
            classes=[{"id": number, "name": name} for number, name in labels.items()],
            masks={"ink": {"mask_data": mask, "class_labels": labels}},
            boxes={"whole": {"box_data": [box], "class_labels": labels}},
        ),
        "images/figure": wandb.Image(fig),
    }
)
plt.close(fig)

# Sound, moving pictures, scenes, molecules.
tone = np.sin(np.arange(4000) * 2 * np.pi * 440 / 8000)
with wave.open("tone.wav", "wb") as file:
    file.setparams((1, 2, 8000, 0, "NONE", ""))
    file.writeframes((tone * 32767).astype("<i2").tobytes())
first, *others = [PILImage.fromarray(np.roll(large, shift, axis=1)) for shift in range(0, 64, 8)]
first.save("rolling.gif", save_all=True, append_images=others, duration=100)
run.log({"audio": {"array": wandb.Audio(tone, sample_rate=8000, caption="A4"), "file": wandb.Audio("tone.wav")}})
run.log({"video": wandb.Video("rolling.gif", caption="rolling", format="gif")})
cloud = rng.random((50, 3))
boxed = wandb.box3d(center=(0.5, 0.5, 0.5), size=(1, 1, 1), orientation=(1, 0, 0, 0), color=(0, 255, 0), label="all")
lidar = wandb.Object3D.from_point_cloud(points=cloud.tolist(), boxes=[boxed])
run.log({"scene": wandb.Object3D(cloud), "lidar": lidar})
run.log({"molecule": wandb.Molecule.from_smiles("CC(=O)Oc1ccccc1C(=O)O", caption="aspirin")})

# Figures and pages; interactive charts go into a table as HTML.
dots = bokeh_figure(width=300, height=200, title="points")
dots.scatter(cloud[:, 0], cloud[:, 1])
output_file("bokeh.html", title="bokeh", mode="cdn")
save(dots)
pn.pane.Markdown("## Made by *Panel*").save("panel.html", title="panel")
bars = px.bar(x=names, y=np.bincount(val_y).tolist())
bars.write_html("plotly.html", include_plotlyjs="cdn", auto_play=False)
charts = wandb.Table(columns=["library", "chart"])
for library in ("bokeh", "panel", "plotly"):
    charts.add_data(library, wandb.Html(f"{library}.html"))
run.log({"charts/interactive": charts, "charts/plotly": bars, "charts/page": wandb.Html("<h1>Done</h1>")})

# Tables with pictures, and charts of them.
samples = wandb.Table(columns=["id", "image", "truth", "guess", "sure"])
for number, picture in enumerate(pictures):
    samples.add_data(number, wandb.Image(picture), names[val_y[number]], int(guesses[number]), scores[number].max())
samples.add_column("right", [bool(guess == truth) for guess, truth in zip(guesses[:4], val_y[:4], strict=True)])
samples.add_computed_columns(lambda number, row: {"label": f"{row['id']}: {row['truth']}"})
frame = pd.DataFrame({"epoch": range(args.epochs), "accuracy": np.linspace(0.5, 0.9, args.epochs)})
by_epoch = wandb.Table(dataframe=frame)
run.log({"tables/samples": samples, "tables/epochs": by_epoch})
points = wandb.Table(data=cloud[:, :2], columns=["x", "y"])
letters = wandb.Table(data=[["a", 1], ["b", 2]], columns=["label", "value"])
sure = wandb.Table(data=scores.max(axis=1)[:, None], columns=["sure"])
lines = {"keys": ["train", "val"], "title": "Two", "xname": "epoch"}
run.log(
    {
        "plots/line": wandb.plot.line(by_epoch, "epoch", "accuracy", title="Accuracy"),
        "plots/scatter": wandb.plot.scatter(points, "x", "y"),
        "plots/bar": wandb.plot.bar(letters, "label", "value"),
        "plots/histogram": wandb.plot.histogram(sure, "sure"),
        "plots/lines": wandb.plot.line_series([0, 1, 2], [[3, 2, 1], [4, 3, 3]], **lines),
        "plots/confusion": wandb.plot.confusion_matrix(y_true=list(val_y), preds=list(guesses), class_names=names),
        "plots/roc": wandb.plot.roc_curve(val_y, scores, labels=names, classes_to_plot=[0, 1]),
        "plots/pr": wandb.plot.pr_curve(val_y, scores, labels=names),
    }
)

# Numbers, texts and lists of every sort.
counts = np.histogram(val_y, bins=10)
run.log({"weights": wandb.Histogram(model.coef_), "counts": wandb.Histogram(np_histogram=counts)})
run.log(
    {"text": "fünf 🚀", "nan": float("nan"), "int": 2**53 + 1, "list": [1, 2.5], "flag": np.bool_(True), "none": None}
)
run.log({"numpy": {"float32": np.float32(0.1), "vector": np.arange(5)}, "deep": {"er": {"still": np.int64(-3)}}})
run.alert(title="Trained", text=f"accuracy {accuracy:.3f}", level=wandb.AlertLevel.INFO)
Path(run.dir, "model.txt").write_text(repr(model.get_params()))
wandb.save(f"{run.dir}/model.txt", base_path=run.dir)
run.tags = (*run.tags, "done")
wandb.run.summary["final/accuracy"] = accuracy
run.summary.update({"classes": 10})
wandb.finish()
