"""The training loop: epochs of batches, validation, checkpoints, phases; every state that it has can be resumed.

An epoch is the unit of resume: whatever happens inside it is a pure function of the state at its start, so a run
that was killed at any batch repeats its epoch and arrives at the same bytes. An epoch therefore ends with an
optimiser step, even when gradient accumulation is not complete.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

from yolo_ft.core.config import TrainConfig
from yolo_ft.core.errors import UserError
from yolo_ft.data.dataset import Dataset
from yolo_ft.data.loader import TrainLoader
from yolo_ft.finetune.checkpoints import save_checkpoint
from yolo_ft.finetune.compute import Compute
from yolo_ft.finetune.ema import EMA
from yolo_ft.finetune.evaluation import evaluate
from yolo_ft.finetune.feed import Feed
from yolo_ft.finetune.freezing import FreezePlan, apply_plan
from yolo_ft.finetune.losses import LOSSES
from yolo_ft.finetune.machine import PeakMemory
from yolo_ft.finetune.metrics import Metrics, fitness
from yolo_ft.finetune.optimizers import build_optimizer, lower_rate, optimizer_state, restore_optimizer_state
from yolo_ft.finetune.phases import Phase, phase_index
from yolo_ft.finetune.runs import Run
from yolo_ft.finetune.schedules import accumulation_at, apply_schedule
from yolo_ft.models.detector import Detector
from yolo_ft.models.layers import set_batchnorm_momentum, unfold

Listener = Callable[[str, dict], None]
RESULT = ("map50", "map50_95", "precision", "recall")


class Trainer:
    """Trains `model` in place on `train_set`, measures it on `val_set`, and writes everything into `run`.

    `kept_frozen` is frozen in every phase (what the user froze before); each phase adds its own plan. `about` goes
    into the summary: what does not change during the run. `listeners` are called with an event ("start", "batch",
    "epoch" or "end") and a dict about it. Lesson 03 does one step by hand.
    """

    def __init__(
        self,
        model: Detector,
        train_set: Dataset,
        val_set: Dataset | None,
        config: TrainConfig,
        compute: Compute,
        run: Run,
        kept_frozen: FreezePlan,
        phases: Sequence[Phase],
        about: dict,
        listeners: Sequence[Listener] = (),
    ):
        self.model = compute.place(model)
        set_batchnorm_momentum(model, config.bn_momentum)
        self.train_set, self.val_set = train_set, val_set
        self.config, self.compute, self.run, self.about = config, compute, run, about
        self.kept_frozen, self.phases, self.listeners = kept_frozen, list(phases), listeners
        self.loader = TrainLoader(train_set, config)
        self.scaler = torch.amp.GradScaler(torch.device(compute.device).type, enabled=compute.precision == "fp16")
        self.next_epoch, self.steps, self.best, self.final = 0, 0, None, None
        self.seconds = {"train": 0.0, "wait": 0.0, "val": 0.0}
        self.cached = {"hits": 0, "misses": 0, "bytes": 0}
        self.listening = 0.0  # seconds spent in listeners: drawing a live figure is no training
        self.memory = PeakMemory(compute.device)
        self.files = {which: run.path / "weights" / f"{which}.pt" for which in ("best", "last")}
        self.phase = -1
        self.ema = EMA(model, config.ema_decay, config.ema_ramp)
        self._enter_phase(0)

    def _enter_phase(self, epoch: int) -> None:
        """Apply the epoch's freeze; on a change, rebuild the optimiser and hand every parameter its state back."""
        index = phase_index(self.phases, epoch)
        if index == self.phase:
            return
        state = optimizer_state(self.optimizer) if self.phase >= 0 else {}
        self.phase = index
        plan = FreezePlan.parse(self.model, self.phases[index].spec, self.config.freeze_bn)
        frozen = apply_plan(self.model, self.kept_frozen.union(plan, self.model))
        self.compute.fold_frozen(self.model)
        self.feed = Feed(self.model, frozen, self.loader, self.compute, self.cached)
        self.optimizer = build_optimizer(self.model, self.config, self.compute.fused_optimizer)
        restore_optimizer_state(self.optimizer, state)
        self.ema.follow(self.model)

    def train(self) -> Run:
        """Train the epochs that are left and return the run; the model then holds the best averaged weights."""
        frozen = self.about["freeze_label"]
        self._tell("start", config=self.config, epochs=self.config.epochs, batches=len(self.loader), frozen=frozen)
        try:
            with self.memory:
                stopped = self._epochs()
        finally:
            unfold(self.model)
            apply_plan(self.model, self.kept_frozen)  # the freeze of a run ends with it, however it ends
        self._load_best()
        self.run.write_summary(self.about | self.summary(stopped))
        self._tell("end", summary=self.run.summary)
        return self.run

    def _epochs(self) -> str:
        """The epochs that are left; "finished", or "early" when patience ended them."""
        for epoch in range(self.next_epoch, self.config.epochs):
            self._enter_phase(epoch)
            row = self._train_epoch(epoch)
            if self._validates(epoch):
                row |= self._validate(epoch)
            self._finish_epoch(epoch, row)
            if self._stops_early(epoch):
                return "early"
        return "finished"

    def _train_epoch(self, epoch: int) -> dict:
        """One pass over the training images: the epoch's row of results.csv, without the metrics."""
        config, batches = self.config, len(self.loader)
        loss = LOSSES[self.model.family].for_epoch(self.model, config, epoch)
        self.model.train()
        start, images, sums = time.perf_counter() - self.listening, 0, dict.fromkeys(("loss", *loss.parts), 0.0)
        pending = 0  # batches whose gradient has not been used yet
        waited = self.feed.waited
        for i, (outputs, targets, count) in enumerate(self.feed.epoch(epoch)):
            step = epoch * batches + i
            rate = apply_schedule(self.optimizer, config, epoch, step, batches, self.phases[self.phase].rate)
            total, parts = self._backward(loss, outputs, targets)
            pending += 1
            if pending >= accumulation_at(config, step, batches) or i + 1 == batches:
                self._step()
                pending = 0
            for name, value in {"loss": total / count, **parts}.items():
                sums[name] += float(value)
            images += count
            self._tell("batch", epoch=epoch, batch=i, batches=batches, loss=sums["loss"] / (i + 1))
        seconds = time.perf_counter() - self.listening - start
        waited = self.feed.waited - waited
        self.seconds["train"] += seconds
        self.seconds["wait"] += waited
        means = {name: value / batches for name, value in sums.items()}
        return {
            "epoch": epoch,
            "phase": self.phase,
            "seconds": seconds,
            "images_per_s": images / seconds,
            "waiting": waited / seconds,
            "lr": rate,
            **means,
        }

    def _backward(
        self, loss: Callable, outputs: dict[int, torch.Tensor], targets: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Forward from what the feed gives, loss, gradients of one batch."""
        with self.compute.autocast():
            raw = self.model.run_layers(outputs, self.feed.start)
        total, parts = loss(raw, targets.to(self.compute.device))
        if not torch.isfinite(total):
            raise UserError(
                "The loss is no longer a finite number: try a lower rate (for example "
                f"lr0={lower_rate(self.config):.2g}), precision='fp32', or look at the labels: "
                "load_dataset(...).health."
            )
        self.scaler.scale(total).backward()
        return total.detach(), parts

    def _step(self) -> None:
        """Clip, step, average."""
        self.scaler.unscale_(self.optimizer)
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        if self.config.clip_norm > 0:
            torch.nn.utils.clip_grad_norm_(parameters, self.config.clip_norm, foreach=True)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self.ema.update()
        self.steps += 1

    def _validates(self, epoch: int) -> bool:
        last = epoch + 1 == self.config.epochs
        return self.val_set is not None and (last or (epoch + 1) % self.config.val_every == 0)

    def _validate(self, epoch: int) -> dict:
        """Measure the averaged weights; keep them as best.pt when they are the best so far."""
        start = time.perf_counter()
        metrics = evaluate(
            self.ema.model, self.val_set, imgsz=self.config.imgsz, batch=self.config.batch, compute=self.compute
        )
        self.final = {"epoch": epoch, **metrics.to_dict()}
        if self.best is None or fitness(self.final) > fitness(self.best):
            self.best = self.final
            save_checkpoint(self.files["best"], self.ema.model, metadata=self._metadata(epoch, metrics))
        seconds = time.perf_counter() - start
        self.seconds["val"] += seconds
        return {"val_seconds": seconds, **{name: getattr(metrics, name) for name in RESULT}}

    def _metadata(self, epoch: int, metrics: Metrics | None = None) -> dict:
        measured = {name: getattr(metrics, name) for name in RESULT} if metrics else {}
        return {
            "data": self.config.data,
            "epoch": epoch,
            "imgsz": self.config.imgsz,
            "seed": self.config.seed,
            **measured,
        }

    def _finish_epoch(self, epoch: int, row: dict) -> None:
        """Record the epoch, then save last.pt: a kill in between repeats the epoch and rewrites its row."""
        self.next_epoch = epoch + 1
        self.run.append_result(row)
        save_checkpoint(self.files["last"], self.model, metadata=self._metadata(epoch), training=self.state())
        self._tell("epoch", **row)

    def _stops_early(self, epoch: int) -> bool:
        patience = self.config.patience
        return patience > 0 and self.best is not None and epoch - self.best["epoch"] >= patience

    def _load_best(self) -> None:
        """Put the best averaged weights (without validation: the last ones) into the model."""
        source = self.ema.model.state_dict()
        if self.best is not None:
            source = torch.load(self.files["best"], map_location=self.compute.device, weights_only=True)["state_dict"]
        else:
            save_checkpoint(self.files["best"], self.ema.model, metadata=self._metadata(self.next_epoch - 1))
        self.model.load_state_dict(source)
        self.model.pretrained, self.model.fresh_classes = True, ()
        self.model.eval()

    def state(self) -> dict:
        """Everything beside the raw weights that the next epoch depends on: tensors and plain values."""
        cuda = self.compute.device.startswith("cuda")
        return {
            "ema": self.ema.model.state_dict(),
            "ema_updates": self.ema.updates,
            "optimizer": optimizer_state(self.optimizer),
            "scaler": self.scaler.state_dict(),
            "rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state() if cuda else None,
            "next_epoch": self.next_epoch,
            "steps": self.steps,
            "phase": self.phase,
            "kept_frozen": sorted(self.kept_frozen.parameters),
            "kept_batchnorm": self.kept_frozen.batchnorm,
            "best": self.best,
            "final": self.final,
            "seconds": dict(self.seconds),
            "cached": dict(self.cached),
        }

    def load_state(self, state: dict) -> None:
        """Continue where `state` was taken; its "weights" are the raw weights of that moment."""
        self.model.load_state_dict(state["weights"])
        self.ema.model.load_state_dict(state["ema"])
        self.ema.updates = state["ema_updates"]
        self.next_epoch, self.steps = state["next_epoch"], state["steps"]
        self.best, self.final = state["best"], state["final"]
        self.seconds |= state["seconds"]
        self.cached.update(state.get("cached", {}))  # a run of before did not count
        self.phase = -1  # what was made from the former weights is made anew
        self._enter_phase(max(self.next_epoch - 1, 0))
        restore_optimizer_state(self.optimizer, state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        torch.set_rng_state(state["rng"].cpu())
        if state["cuda_rng"] is not None:
            torch.cuda.set_rng_state(state["cuda_rng"].cpu())

    def summary(self, stopped: str) -> dict:
        """What `summary.json` says about the training itself."""
        seen = len(self.train_set) * self.next_epoch
        return {
            "epochs": self.next_epoch,
            "stopped": stopped,
            "best": self.best,
            "final": self.final,
            "train_seconds": self.seconds["train"],
            "val_seconds": self.seconds["val"],
            "images_per_s": seen / max(self.seconds["train"], 1e-9),
            "waiting_share": self.seconds["wait"] / max(self.seconds["train"], 1e-9),
            "optimizer_steps": self.steps,
            "prefix_cache": dict(self.cached) if any(self.cached.values()) else None,
            "peak_memory_mb": self.memory.peak_mb,
            "start_memory_mb": self.memory.start_mb,
        }

    def _tell(self, event: str, **info) -> None:
        start = time.perf_counter()
        for listener in self.listeners:
            listener(event, info)
        self.listening += time.perf_counter() - start
