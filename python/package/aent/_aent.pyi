"""The extension module: the Rust core over torch's tensors. Use it through the package ``aent``."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, final

import torch
from torch.distributed import ProcessGroup
from torch.distributed.device_mesh import DeviceMesh

__all__ = [
    "Accumulation",
    "Half",
    "Output",
    "Program",
    "Restored",
    "__version__",
    "catalog",
    "compile",
    "complete",
    "copied_output",
    "diagnose",
    "gather_shards",
    "own_shard",
    "register_term",
    "run",
    "terms",
]

__version__: str

# A tensor, or what is said of a head: a number, a type or its name.
_Field: TypeAlias = torch.Tensor | float | torch.dtype | str | None

def compile(
    name: str,
    text: str | None,
    params: dict[str, float | bool | str],
    kernels: str,
    overwrite_logits: bool,
    chunk_bytes: int | None,
    validate: bool,
    lets: bool,
    import_roots: list[str | os.PathLike[str]],
    sources: dict[str, str] | None = None,
    known: list[str] | None = None,
) -> Program:
    """Compiles a text, or a file where there is none. With ``sources``, imports are read from there and not from the disk."""

def complete(text: str, place: int) -> tuple[int, list[tuple[str, str]]]:
    """The completions at a place, best first: where the word to replace begins, and each text with its kind, such as
    ``function`` or ``keyword``. Places count characters."""

def copied_output(
    loss: torch.Tensor,
    losses: dict[str, torch.Tensor],
    total: float,
    totals: dict[str, float],
    metrics: dict[str, float],
    signals: dict[str, float],
    findings: list[str],
    tokens: int,
    lets: dict[str, torch.Tensor],
) -> Output:
    """What ``pickle`` and ``copy.deepcopy`` make of an output."""

def register_term(description: dict[str, Any], function: Callable[..., Any]) -> None:
    """Registers a Python function as a term. A function of the same name from the same module is replaced in programs that
    are compiled from now on."""

def gather_shards(
    tensor: torch.Tensor,
    group: ProcessGroup | DeviceMesh,
    order: str,
    dim: int,
    cu_seqlens: torch.Tensor | None,
) -> torch.Tensor:
    """The whole of a tensor in shards, for ``aent.sequence_parallel``; without gradient."""

def own_shard(
    whole: torch.Tensor,
    group: ProcessGroup | DeviceMesh,
    order: str,
    dim: int,
    tokens: int,
    cu_seqlens: torch.Tensor | None,
) -> torch.Tensor:
    """The own part of a whole tensor, for ``aent.sequence_parallel``."""

def run(arguments: list[str | os.PathLike[str]]) -> int:
    """The command line, whose first word is the program's name, and its exit status: 0 done, 1 the file or the batch is wrong, 2
    usage."""

def terms(name: str | None = None) -> str:
    """Everything that a file can call or read: a list, or of one name its formula, arguments, defaults and sources.

    Raises:
        ValueError: there is no such name; the message says which was probably meant, or what it is called here.
    """

def catalog() -> dict[str, list[dict[str, Any]]]:
    """Everything that a file can call or read, as data: lists ``terms``, ``reductions``, ``controllers``, ``library``,
    ``functions`` and ``fields`` of dictionaries with names, signatures, parameters, inputs, results and documentation, as
    ``aent terms --format json`` prints them.
    """

def diagnose(
    name: str, text: str | None, params: dict[str, float | bool | str], import_roots: list[str | os.PathLike[str]]
) -> tuple[str, list[dict[str, Any]]]:
    """Everything found in a text or a file: drawn, and as data."""

@final
class Program:
    """A compiled file with the state of its controllers.

    It can be pickled, copied and deep-copied: the other one has the same texts, params, options and state, and goes its own
    way from there. Terms in Python are registered by the import of their module, which unpickling does.
    """

    def __call__(
        self,
        batch: Mapping[str, Any] | None = None,
        /,
        *,
        group: torch.Tensor | ProcessGroup | DeviceMesh | None = None,
        process_group: ProcessGroup | DeviceMesh | None = None,
        gradients: Literal["mean", "sum"] = "mean",
        vocab_group: ProcessGroup | DeviceMesh | None = None,
        sequence_group: ProcessGroup | DeviceMesh | None = None,
        sequence_order: Literal["contiguous", "zigzag"] = "contiguous",
        **fields: _Field,
    ) -> Output: ...
    def forward(
        self,
        batch: Mapping[str, Any] | None = None,
        /,
        *,
        group: torch.Tensor | ProcessGroup | DeviceMesh | None = None,
        process_group: ProcessGroup | DeviceMesh | None = None,
        gradients: Literal["mean", "sum"] = "mean",
        vocab_group: ProcessGroup | DeviceMesh | None = None,
        sequence_group: ProcessGroup | DeviceMesh | None = None,
        sequence_order: Literal["contiguous", "zigzag"] = "contiguous",
        **fields: _Field,
    ) -> Output:
        """The loss of a whole step on one batch, with metrics and signals: ``program(batch)``.

        Args:
            batch: tensors by name; names that are no batch fields are passed over, so a trainer's own dictionary will do.
            group: the ranks that share the step, as a process group: denominators, metrics and signals are those of all of
                them together. A tensor under this name is the batch field ``group`` (which prompt a sample answers); to give
                both, put the ranks into ``process_group``.
            process_group: the ranks, as under ``group``.
            gradients: how the trainer's engine joins the gradients of the ranks. ``mean`` is what DDP, FSDP and DeepSpeed do,
                so the loss of each rank is its share times the number of ranks.
            vocab_group: the ranks that hold the vocabulary in shards, as a process group, such as Megatron's tensor-parallel one.
                In their order, each has ``logits`` ``[B, T, V_r]`` of its own tokens, or its rows ``[V_r, D]`` of ``lm_head``,
                and the same of a reference; all else is alike on all of them, and ids are those of the whole vocabulary. Loss and
                numbers are those of one process, on every rank. The backward pass exchanges nothing: of ``hidden``, a rank has
                a share of the gradient, which adds up over the ranks to the whole.
            sequence_group: the ranks that hold other tokens of the same sequences, as under Ulysses or ring attention. Each gives
                its own tokens; what it has for a sequence or for the batch is the same on all of them. ``group`` are then the
                ranks with other sequences. The gradient goes to the own tokens; docs/python.md says what is exchanged.
            sequence_order: which tokens of a sequence a rank of ``sequence_group`` has: ``contiguous`` or ``zigzag``, as in
                ``aent.sequence_parallel``.
            fields: tensors by name, or none; a name that is no batch field is refused. ``logits`` is ``[B, T, V]`` in f32,
                f16, bf16 or f64, where row ``t`` scores ``actions[t]``; ``hidden`` ``[B, T, D]`` with ``lm_head`` ``[V, D]``
                stand in its place, of one kind unless ``torch.autocast`` is on or ``head_dtype`` is that of the product, with
                ``lm_head_bias``, ``logit_softcap`` and ``logit_scale`` if it has them. docs/language.md lists the others.

        Raises:
            BatchError: a field is missing, or has the wrong shape, kind, device or values.
            StepError: the step could not be computed; over ranks, on all of them.

        What hooks, modes and torch raise through Python below the step comes out as it was raised, and so does whatever is no
        ``Exception``, such as ``KeyboardInterrupt``.
        """

    def accumulate(
        self,
        *,
        group: ProcessGroup | DeviceMesh | None = None,
        gradients: Literal["mean", "sum"] = "mean",
        tokens: int | None = None,
        sequences: int | None = None,
        width: int | None = None,
        groups: int | dict[str, int] | None = None,
        scale: float = 1.0,
        vocab_group: ProcessGroup | DeviceMesh | None = None,
        sequence_group: ProcessGroup | DeviceMesh | None = None,
        sequence_order: Literal["contiguous", "zigzag"] = "contiguous",
    ) -> Accumulation:
        """Begins a step that comes in micro-batches, on each of the ranks of ``group`` in its own number of them.

        With the counts of the whole step, over all ranks, nothing is measured and a micro-batch's share is final when it is asked
        for, as pipeline engines ask for it. ``requires`` names the counts that a file needs; the others may be given too.

        Args:
            group: the ranks that share the step, as for ``forward``.
            gradients: how the trainer's engine joins the gradients of the ranks, as for ``forward``.
            tokens: the valid tokens of the whole step.
            sequences: its sequences; those without a valid token may be counted or not.
            width: its padded length.
            groups: how many groups it has, each of them whole in one micro-batch: a number for those by the field ``group``, or
                numbers by field, as in ``{"group": 16, "rollout": 64}``.
            scale: what each share is multiplied with, for an engine that scales losses itself: one that divides them by
                the number of micro-batches takes that number. What ``finish`` gives is not scaled.
            vocab_group: the ranks that hold the vocabulary in shards, as for ``forward``: all of them cut the step alike.
            sequence_group: the ranks that hold other tokens of the same sequences, as for ``forward``.
            sequence_order: as for ``forward``.

        Raises:
            StepError: the file needs more of the step than was given; the message names the formula. Give ``known`` to
                ``aent.compile`` to hear of it there.
        """

    def update(self, output: Output) -> None:
        """Moves the controllers by what a step observed. Call it after the optimizer's step, once for each output, and not
        from a term or a hook inside of a step.

        Raises:
            StepError: the output is of another program, is a copy, or was observed before.

        Warns:
            StepWarning: an ``assert`` of the file did not hold in the step, once for each.
        """

    def rows(
        self,
        batch: Mapping[str, Any] | None = None,
        /,
        *,
        more: Sequence[Literal["log_prob", "entropy"]] | None = None,
        vocab_group: ProcessGroup | DeviceMesh | None = None,
        **fields: _Field,
    ) -> torch.Tensor:
        """What the file reads of the logits, computed where they are: ``[..., R]`` with gradient, of logits ``[..., V]`` or
        hidden states ``[..., D]`` of any leading shape, such as ``[B, T]`` or the ``[N]`` of a packed batch.

        R is ``len(program.row_names)``; what the file does not read is not computed. The result may be gathered, cut, padded or
        sent, and stays differentiable: ``program(rows=rows, response_mask=..., ...)`` takes it in place of logits, and gives
        the numbers of the one call.

        Args:
            batch: tensors by name, as for ``forward``.
            fields: ``logits``, or ``hidden`` with ``lm_head`` and its options, and what else is needed of the same leading shape:
                ``actions``, ``ref_logits``. With ``response_mask`` only its rows are computed, and the others are zero.
            vocab_group: the ranks that hold the vocabulary in shards, as for ``forward``: the numbers are those of one process,
                on every rank, and a step takes them without ``vocab_group``.
            more: further numbers behind those R, for what a trainer logs: ``"log_prob"`` and ``"entropy"``, at the file's
                temperature. They come out of the same reading; a step takes the first R.

        Raises:
            BatchError: as for ``forward``.
            ValueError: ``more`` names something else.
        """

    @property
    def row_names(self) -> list[str]:
        """What each number of ``rows`` is, in their order."""

    def find_nonfinite(self, batch: Mapping[str, Any] | None = None, /, **fields: _Field) -> list[str]:
        """Why the loss, metrics or signals of a step on this batch are NaN or infinite, one sentence for each that is.

        A sentence names the first formula that is not finite although its operands are, with its file, line and column,
        the operands, and the position: ```loss` is NaN: division of 0 by 0 at [3] in `a / group_std(rewards)`, ...``.
        The list is empty where all are finite. The step is computed anew without gradient, on one batch of one process;
        with ``overwrite_logits``, ask before ``backward``.

        Raises:
            BatchError: as for ``forward``.
            StepError: as for ``forward``.
        """

    def diagnose(self, batch: Mapping[str, Any] | None = None, /, **fields: _Field) -> dict[str, Any]:
        """The loss of a batch taken apart.

        ``loss`` is its value. ``summands`` are what adds up to it, each with ``formula``, ``name``, ``place``, ``value`` and
        ``gradients``, the Euclidean norm of its gradient for each field that gradient flows to. ``bounds`` are the clips and
        clamps that the loss reads, each with ``formula``, ``place``, ``bound`` and ``share``, that of the valid tokens at the
        bound. ``nonfinite`` says where numbers stop being finite. A step is computed for each summand, on one batch of one
        process; gradients of the caller's tensors stay as they are, and values are not validated.

        Raises:
            BatchError: as for ``forward``.
            StepError: as for ``forward``.
        """

    def state_dict(self) -> dict[str, Any]:
        """What the program remembers: plain numbers, strings and lists, which travel in any torch checkpoint."""

    def load_state_dict(self, state: Mapping[str, Any] | None, strict: bool = True) -> Restored:
        """Takes up a saved state, bit for bit. It belongs to the controllers: metrics, the loss and other lines may change.

        Args:
            state: what ``state_dict`` gave, in this release or an earlier one. A file without controllers takes any, also
                ``None`` or an empty one.
            strict: whether the controllers must be the same by name, kind, arguments and signal. Otherwise what fits is
                taken up, and the other controllers stay as they are.

        Returns:
            What was taken up and what was left.

        Raises:
            StateError: the state is of other controllers, which the message names with what differs, or holds what no run
                can have left, such as a value outside of a controller's bounds. Then nothing changes.
        """

    def explain(
        self, *, sequences: int = 8, length: int = 1024, vocabulary: int = 151_936, candidates: int = 64
    ) -> str:
        """The typed program, its row statistics, how often the logits are read, and the memory of a step, as Markdown."""

    @property
    def steps(self) -> int:
        """How many steps were observed."""

    @property
    def coefficients(self) -> dict[str, float]:
        """The controllers' values in force."""

    @property
    def params(self) -> dict[str, float | bool | str]:
        """The ``param``s with the values in force."""

    @property
    def temperature(self) -> float | str:
        """What logits are divided by: a number, that of this step if it moves, or the batch field with that of each row."""

    @property
    def fields(self) -> set[str]:
        """The batch fields that a batch must bring. ``hidden`` and ``lm_head`` may stand in for ``logits``, and ``log_prob``
        for ``logits`` and ``actions`` where ``takes_log_prob`` says so."""

    @property
    def logit_fields(self) -> set[str]:
        """The fields that bring the logits of the policy and of each reference, as logits or as hidden states with an output
        layer and its options. ``rows`` stand in for all of them."""

    @property
    def candidate_fields(self) -> set[str]:
        """The fields with token ids that are listed for each token (``input kept: candidates id``), and with values beside them.
        ``rows`` reads them, and stands in for them as for logits."""

    @property
    def takes_log_prob(self) -> bool:
        """Whether a batch may bring ``log_prob`` in place of ``logits`` and ``actions``: nothing else is read of a row."""

    @property
    def reads_width(self) -> bool:
        """Whether the loss, a metric or a signal depends on the padded length of the step."""

    @property
    def source(self) -> str:
        """The text that was compiled, of the file itself; ``sources`` has those of its imports too."""

    @property
    def sources(self) -> list[tuple[str, str]]:
        """Every text that was compiled with the name it has in messages: the file first, then what it imports, those of the
        library included. A pickled program carries them, so it needs no file where it is loaded."""

    @property
    def requires(self) -> dict[str, list[dict[str, str]]]:
        """What the file needs of the whole step before the first micro-batch can give its share, with the formulas that need it:
        ``{"tokens": [{"formula": "token_mean(policy)", "place": "grpo.aent:3:8"}], ...}``.

        ``tokens``, ``sequences`` and ``width`` are counts, for ``accumulate``. ``groups`` are all samples of a group together,
        by the field under ``field``: in one micro-batch, or else measured. ``fields`` are the batch fields of all micro-batches,
        for ``measure``, and ``whole_step`` is what the model says of all of them. Metrics and signals need counts alone.
        """

    @property
    def terms(self) -> list[dict[str, Any]]:
        """The terms that the file calls, each formula once: ``[{"name": "clip_ppo", "reads": {"advantages": "advantages", ...},
        "args": {"low": 0.2, ...}}, ...]``.

        ``reads`` has the formula of each input, which is a batch field's name where it is one. ``args`` has all arguments, with
        the defaults of those that are not given; one that moves is ``{"moving": formula}``.
        """

    @property
    def first_pass(self) -> Literal["counts", "fields", "model"]:
        """What of all micro-batches must be seen before the first of them can give its share: their masks, their batch
        fields, or what the model says of them."""

    @property
    def warnings(self) -> str:
        """The lints that were found and not silenced, drawn."""

@final
class Restored:
    """What ``Program.load_state_dict`` took up of a saved state, and what it left."""

    @property
    def taken(self) -> list[str]:
        """The controllers that go on from the saved state."""

    @property
    def missing(self) -> list[str]:
        """The controllers that the saved state does not have; they stay as they are."""

    @property
    def unexpected(self) -> list[str]:
        """The controllers of the saved state that the program does not have."""

    @property
    def changed(self) -> dict[str, str]:
        """The controllers that differ, each with how; they stay as they are."""

    @property
    def words(self) -> list[str]:
        """What was left and why, a clause for each controller."""

@final
class Output:
    """The loss of a step with everything reported beside it. Numbers stay on the device until they are asked for.

    It can be pickled and deep-copied without its graph: the copy has a detached loss and the same numbers, and cannot be
    observed. ``copy.copy`` gives the output itself.
    """

    def __copy__(self) -> Output: ...
    @property
    def loss(self) -> torch.Tensor:
        """The loss, a scalar under the caller's autograd; of a step over ranks this rank's share, see
        ``Program.forward``."""

    @property
    def losses(self) -> dict[str, torch.Tensor]:
        """The losses by name, each a scalar as ``loss`` is, which is their sum; empty where the loss has no name. Where several
        of them read the logits, add them up before the backward pass, or keep the graph (``retain_graph=True``)."""

    @property
    def findings(self) -> list[str]:
        """What each ``assert`` that does not hold says, with the formula, what was found, and the place."""

    @property
    def total(self) -> float:
        """The whole step's loss."""

    @property
    def totals(self) -> dict[str, float]:
        """The whole step's losses by name; empty where the loss has no name."""

    @property
    def metrics(self) -> dict[str, float]:
        """The file's ``metric``s, of the whole step."""

    @property
    def signals(self) -> dict[str, float]:
        """What the controllers will observe, of the whole step."""

    @property
    def tokens(self) -> int:
        """How many valid tokens the whole step has."""

    @property
    def lets(self) -> dict[str, torch.Tensor]:
        """Every ``let``, zero where masked; only of programs compiled with ``lets=True``."""

@final
class Half:
    """What is left for the backward pass."""

    def backward(
        self,
        tensors: tuple[torch.Tensor, ...],
        count: int,
        cotangents: torch.Tensor,
        wanted: Sequence[bool],
    ) -> tuple[list[torch.Tensor | None], list[int]]:
        """The gradients of the first ``count`` tensors, none where none is wanted; the other tensors were saved beside them.
        Then the indices of those that their gradients overwrite."""

@final
class Accumulation:
    """A step that comes in micro-batches, cut along B in any way::

        step = program.accumulate()
        for part in parts:
            step.measure(part)
        for part in parts:
            step(part).backward()
        optimizer.step()
        program.update(step.finish())

    The shares' gradients add up to the gradient of the whole step's loss, and ``finish`` gives the whole step's metrics
    and signals.
    """

    def measure(self, batch: Mapping[str, Any] | None = None, /, **fields: _Field) -> None:
        """Looks at a part before any part gives its share. It costs a look at the mask, unless the program needs more of
        the whole step (``Program.explain`` says which)."""

    def __call__(self, batch: Mapping[str, Any] | None = None, /, **fields: _Field) -> torch.Tensor: ...
    def forward(self, batch: Mapping[str, Any] | None = None, /, **fields: _Field) -> torch.Tensor:
        """A part's share of the loss, ``accumulation(part)``. Parts come in any order; each is recognised by what was measured of
        it.

        Raises:
            StepError: no measured part is like this one, or the parts bring more than the counts given to
                ``Program.accumulate``.
        """

    def losses(self, batch: Mapping[str, Any] | None = None, /, **fields: _Field) -> dict[str, torch.Tensor]:
        """The same for a file with several losses: the part's share of each, by name.

        Raises:
            StepError: as for ``forward``.
        """

    def fail(self, error: BaseException | str) -> None:
        """Gives the step up on all ranks, for a reason that lies outside of it: a batch that cannot be loaded, a model that
        raised. The others get a ``StepError`` with these words where they come together next, instead of waiting; this
        returns when they have come there. What ``measure``, ``forward`` and ``finish`` raise has been told already."""

    def finish(self) -> Output:
        """The whole step's loss (without gradient), metrics and signals, for ``Program.update``."""
