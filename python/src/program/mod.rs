//! A compiled file with the state of its controllers.
//! Longer than 400 lines because `PyO3` takes the methods of a class in one block, with the documentation that users read.

mod session;
mod step;

use self::step::Over;
use crate::accumulation::{Accumulation, Groups};
use crate::batch::Names;
use crate::errors::{self, guarded};
use crate::lock::Gate;
use crate::output::Output;
use crate::param::{Param, Params, Temperature};
use crate::state::{self, Restored};
use crate::turns::Turn;
use aent::fields::{HEAD_OPTIONS, LogitFields};
use aent::program::Object;
use aent::{Counts, Kernels, Options, Session};
use aent_show::{Colour, Size};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// How a program was compiled.
pub(crate) struct Origin {
    pub(crate) params: Params,
    pub(crate) options: Options,
}

/// A compiled file with the state of its controllers.
///
/// It can be pickled, copied and deep-copied: the other one has the same texts, params, options and state, and goes its own
/// way from there. Terms in Python are registered by the import of their module, which unpickling does.
#[pyclass(module = "aent", frozen)]
pub(crate) struct Program {
    /// As it is now. Nobody holds the lock while anything is computed: a step goes on with the session that it began with,
    /// so that its terms and hooks in Python may look at the program meanwhile.
    // Locked with the GIL only, which who forks holds: a fork never leaves it locked.
    session: Mutex<Arc<Session>>,
    // Waited for without the GIL only: who writes may need it for what runs below torch's operations.
    writing: Gate,
    names: Names,
    turn: Turn,
    origin: Origin,
}

#[pymethods]
impl Program {
    /// The loss of a whole step on one batch, with metrics and signals: ``program(batch)``.
    ///
    /// Args:
    ///     batch: tensors by name; names that are no batch fields are passed over, so a trainer's own dictionary will do.
    ///     group: the ranks that share the step, as a process group: denominators, metrics and signals are those of all of
    ///         them together. A tensor under this name is the batch field ``group`` (which prompt a sample answers); to give
    ///         both, put the ranks into ``process_group``.
    ///     process_group: the ranks, as under ``group``.
    ///     gradients: how the trainer's engine joins the gradients of the ranks. ``mean`` is what DDP, FSDP and DeepSpeed do,
    ///         so the loss of each rank is its share times the number of ranks.
    ///     vocab_group: the ranks that hold the vocabulary in shards, as a process group, such as Megatron's tensor-parallel one.
    ///         In their order, each has ``logits`` ``[B, T, V_r]`` of its own tokens, or its rows ``[V_r, D]`` of ``lm_head``,
    ///         and the same of a reference; all else is alike on all of them, and ids are those of the whole vocabulary. Loss and
    ///         numbers are those of one process, on every rank. The backward pass exchanges nothing: of ``hidden``, a rank has
    ///         a share of the gradient, which adds up over the ranks to the whole.
    ///     sequence_group: the ranks that hold other tokens of the same sequences, as under Ulysses or ring attention. Each gives
    ///         its own tokens; what it has for a sequence or for the batch is the same on all of them. ``group`` are then the
    ///         ranks with other sequences. The gradient goes to the own tokens; docs/python.md says what is exchanged.
    ///     sequence_order: which tokens of a sequence a rank of ``sequence_group`` has: ``contiguous`` or ``zigzag``, as in
    ///         ``aent.sequence_parallel``.
    ///     fields: tensors by name, or none; a name that is no batch field is refused. ``logits`` is ``[B, T, V]`` in f32,
    ///         f16, bf16 or f64, where row ``t`` scores ``actions[t]``; ``hidden`` ``[B, T, D]`` with ``lm_head`` ``[V, D]``
    ///         stand in its place, of one kind unless ``torch.autocast`` is on or ``head_dtype`` is that of the product, with
    ///         ``lm_head_bias``, ``logit_softcap`` and ``logit_scale`` if it has them. docs/language.md lists the others.
    ///
    /// Raises:
    ///     BatchError: a field is missing, or has the wrong shape, kind, device or values.
    ///     StepError: the step could not be computed; over ranks, on all of them.
    ///
    /// What hooks, modes and torch raise through Python below the step comes out as it was raised, and so does whatever is no
    /// ``Exception``, such as ``KeyboardInterrupt``.
    #[pyo3(signature = (
        batch = None, /, *, group = None, process_group = None, gradients = "mean", vocab_group = None,
        sequence_group = None, sequence_order = "contiguous", **fields
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn forward(
        &self,
        py: Python<'_>,
        batch: Option<&Bound<'_, PyAny>>,
        group: Option<&Bound<'_, PyAny>>,
        process_group: Option<&Bound<'_, PyAny>>,
        gradients: &str,
        vocab_group: Option<&Bound<'_, PyAny>>,
        sequence_group: Option<&Bound<'_, PyAny>>,
        sequence_order: &str,
        fields: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Output> {
        let over = Over { group, process_group, gradients, vocab_group, sequence_group, sequence_order };
        guarded(|| self.step(py, batch, &over, fields))
    }

    #[pyo3(signature = (
        batch = None, /, *, group = None, process_group = None, gradients = "mean", vocab_group = None,
        sequence_group = None, sequence_order = "contiguous", **fields
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn __call__(
        &self,
        py: Python<'_>,
        batch: Option<&Bound<'_, PyAny>>,
        group: Option<&Bound<'_, PyAny>>,
        process_group: Option<&Bound<'_, PyAny>>,
        gradients: &str,
        vocab_group: Option<&Bound<'_, PyAny>>,
        sequence_group: Option<&Bound<'_, PyAny>>,
        sequence_order: &str,
        fields: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Output> {
        self.forward(
            py,
            batch,
            group,
            process_group,
            gradients,
            vocab_group,
            sequence_group,
            sequence_order,
            fields,
        )
    }

    /// Begins a step that comes in micro-batches, on each of the ranks of ``group`` in its own number of them.
    ///
    /// With the counts of the whole step, over all ranks, nothing is measured and a micro-batch's share is final when it is asked
    /// for, as pipeline engines ask for it. ``requires`` names the counts that a file needs; the others may be given too.
    ///
    /// Args:
    ///     group: the ranks that share the step, as for ``forward``.
    ///     gradients: how the trainer's engine joins the gradients of the ranks, as for ``forward``.
    ///     tokens: the valid tokens of the whole step.
    ///     sequences: its sequences; those without a valid token may be counted or not.
    ///     width: its padded length.
    ///     groups: how many groups it has, each of them whole in one micro-batch: a number for those by the field ``group``, or
    ///         numbers by field, as in ``{"group": 16, "rollout": 64}``.
    ///     scale: what each share is multiplied with, for an engine that scales losses itself: one that divides them by
    ///         the number of micro-batches takes that number. What ``finish`` gives is not scaled.
    ///     vocab_group: the ranks that hold the vocabulary in shards, as for ``forward``: all of them cut the step alike.
    ///     sequence_group: the ranks that hold other tokens of the same sequences, as for ``forward``.
    ///     sequence_order: as for ``forward``.
    ///
    /// Raises:
    ///     StepError: the file needs more of the step than was given; the message names the formula. Give ``known`` to
    ///         ``aent.compile`` to hear of it there.
    #[pyo3(signature = (
        *, group = None, gradients = "mean", tokens = None, sequences = None, width = None, groups = None, scale = 1.0,
        vocab_group = None, sequence_group = None, sequence_order = "contiguous"
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn accumulate(
        &self,
        py: Python<'_>,
        group: Option<&Bound<'_, PyAny>>,
        gradients: &str,
        tokens: Option<i64>,
        sequences: Option<i64>,
        width: Option<i64>,
        groups: Option<Groups>,
        scale: f64,
        vocab_group: Option<&Bound<'_, PyAny>>,
        sequence_group: Option<&Bound<'_, PyAny>>,
        sequence_order: &str,
    ) -> PyResult<Accumulation> {
        let process_group = group;
        let over =
            Over { group: None, process_group, gradients, vocab_group, sequence_group, sequence_order };
        let groups = groups.map(Groups::by_field).unwrap_or_default();
        guarded(|| self.begin(py, &over, Counts { tokens, sequences, width, groups }, scale))
    }

    /// Moves the controllers by what a step observed. Call it after the optimizer's step, once for each output, and not
    /// from a term or a hook inside of a step.
    ///
    /// Raises:
    ///     StepError: the output is of another program, is a copy, or was observed before.
    ///
    /// Warns:
    ///     StepWarning: an ``assert`` of the file did not hold in the step, once for each.
    fn update(&self, py: Python<'_>, output: &Output) -> PyResult<()> {
        guarded(|| {
            self.write(py, "update", |session| output.observed_by(session))?;
            for finding in output.findings(py)? {
                errors::warn_of_step(py, &finding)?;
            }
            Ok(())
        })
    }

    /// What the file reads of the logits, computed where they are: ``[..., R]`` with gradient, of logits ``[..., V]`` or
    /// hidden states ``[..., D]`` of any leading shape, such as ``[B, T]`` or the ``[N]`` of a packed batch.
    ///
    /// R is ``len(program.row_names)``; what the file does not read is not computed. The result may be gathered, cut, padded or
    /// sent, and stays differentiable: ``program(rows=rows, response_mask=..., ...)`` takes it in place of logits, and gives
    /// the numbers of the one call.
    ///
    /// Args:
    ///     batch: tensors by name, as for ``forward``.
    ///     fields: ``logits``, or ``hidden`` with ``lm_head`` and its options, and what else is needed of the same leading shape:
    ///         ``actions``, ``ref_logits``. With ``response_mask`` only its rows are computed, and the others are zero.
    ///     vocab_group: the ranks that hold the vocabulary in shards, as for ``forward``: the numbers are those of one process,
    ///         on every rank, and a step takes them without ``vocab_group``.
    ///     more: further numbers behind those R, for what a trainer logs: ``"log_prob"`` and ``"entropy"``, at the file's
    ///         temperature. They come out of the same reading; a step takes the first R.
    ///
    /// Raises:
    ///     BatchError: as for ``forward``.
    ///     ValueError: ``more`` names something else.
    #[pyo3(signature = (batch = None, /, *, more = None, vocab_group = None, **fields))]
    fn rows<'py>(
        &self,
        py: Python<'py>,
        batch: Option<&Bound<'py, PyAny>>,
        more: Option<Vec<String>>,
        vocab_group: Option<&Bound<'py, PyAny>>,
        fields: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        guarded(|| self.rows_of(py, batch, &more.unwrap_or_default(), vocab_group, fields))
    }

    /// What each number of ``rows`` is, in their order.
    #[getter]
    fn row_names(&self) -> Vec<String> {
        self.read(Session::row_names)
    }

    /// Why the loss, metrics or signals of a step on this batch are NaN or infinite, one sentence for each that is.
    ///
    /// A sentence names the first formula that is not finite although its operands are, with its file, line and column,
    /// the operands, and the position: ```loss` is NaN: division of 0 by 0 at [3] in `a / group_std(rewards)`, ...``.
    /// The list is empty where all are finite. The step is computed anew without gradient, on one batch of one process;
    /// with ``overwrite_logits``, ask before ``backward``.
    ///
    /// Raises:
    ///     BatchError: as for ``forward``.
    ///     StepError: as for ``forward``.
    #[pyo3(signature = (batch = None, /, **fields))]
    fn find_nonfinite(
        &self,
        batch: Option<&Bound<'_, PyAny>>,
        fields: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Vec<String>> {
        let found = self.look(batch, fields, Session::find_nonfinite)?;
        Ok(found.iter().map(ToString::to_string).collect())
    }

    /// The loss of a batch taken apart.
    ///
    /// ``loss`` is its value. ``summands`` are what adds up to it, each with ``formula``, ``name``, ``place``, ``value`` and
    /// ``gradients``, the Euclidean norm of its gradient for each field that gradient flows to. ``bounds`` are the clips and
    /// clamps that the loss reads, each with ``formula``, ``place``, ``bound`` and ``share``, that of the valid tokens at the
    /// bound. ``nonfinite`` says where numbers stop being finite. A step is computed for each summand, on one batch of one
    /// process; gradients of the caller's tensors stay as they are, and values are not validated.
    ///
    /// Raises:
    ///     BatchError: as for ``forward``.
    ///     StepError: as for ``forward``.
    #[pyo3(signature = (batch = None, /, **fields))]
    fn diagnose(
        &self,
        py: Python<'_>,
        batch: Option<&Bound<'_, PyAny>>,
        fields: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        let found = self.look(batch, fields, Session::diagnose)?;
        Ok(pythonize::pythonize(py, &found)?.unbind())
    }

    /// What the program remembers: plain numbers, strings and lists, which travel in any torch checkpoint.
    fn state_dict(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        guarded(|| Ok(pythonize::pythonize(py, &self.now().state())?.unbind()))
    }

    /// Takes up a saved state, bit for bit. It belongs to the controllers: metrics, the loss and other lines may change.
    ///
    /// Args:
    ///     state: what ``state_dict`` gave, in this release or an earlier one. A file without controllers takes any, also
    ///         ``None`` or an empty one.
    ///     strict: whether the controllers must be the same by name, kind, arguments and signal. Otherwise what fits is
    ///         taken up, and the other controllers stay as they are.
    ///
    /// Returns:
    ///     What was taken up and what was left.
    ///
    /// Raises:
    ///     StateError: the state is of other controllers, which the message names with what differs, or holds what no run
    ///         can have left, such as a value outside of a controller's bounds. Then nothing changes.
    #[pyo3(signature = (state, strict = true))]
    fn load_state_dict(
        &self,
        py: Python<'_>,
        state: Option<&Bound<'_, PyAny>>,
        strict: bool,
    ) -> PyResult<Restored> {
        guarded(|| {
            let state = state::read(state)?;
            let fit = self.write(py, "load_state_dict", |session| state::take_up(session, state, strict))?;
            Ok(Restored::new(fit))
        })
    }

    /// The typed program, its row statistics, how often the logits are read, and the memory of a step, as Markdown.
    #[pyo3(signature = (*, sequences = 8, length = 1024, vocabulary = 151_936, candidates = 64))]
    fn explain(&self, sequences: u64, length: u64, vocabulary: u64, candidates: u64) -> String {
        let size = Size { sequences, length, vocabulary, candidates };
        aent_show::explain(self.now().program(), size)
    }

    /// How many steps were observed.
    #[getter]
    fn steps(&self) -> u64 {
        self.now().steps()
    }

    /// The controllers' values in force.
    #[getter]
    fn coefficients(&self) -> BTreeMap<String, f64> {
        self.now().coefficients()
    }

    /// The ``param``s with the values in force.
    #[getter]
    fn params(&self) -> Params {
        let session = self.now();
        let params = session.program().params.iter();
        params.map(|param| (param.name.clone(), Param(param.value.clone()))).collect()
    }

    /// What logits are divided by: a number, that of this step if it moves, or the batch field with that of each row.
    #[getter]
    fn temperature(&self) -> Temperature {
        Temperature::of(self.now().program())
    }

    /// The batch fields that a batch must bring. ``hidden`` and ``lm_head`` may stand in for ``logits``, and ``log_prob``
    /// for ``logits`` and ``actions`` where ``takes_log_prob`` says so.
    #[getter]
    fn fields(&self) -> BTreeSet<String> {
        self.read(|session| session.program().reads().fields)
    }

    /// The fields that bring the logits of the policy and of each reference, as logits or as hidden states with an output
    /// layer and its options. ``rows`` stand in for all of them.
    #[getter]
    fn logit_fields(&self) -> BTreeSet<String> {
        let of = |fields: LogitFields| {
            let options = HEAD_OPTIONS.map(|option| fields.option(option));
            fields.names().map(str::to_owned).into_iter().chain(options)
        };
        self.read(|session| session.program().reads().logits.into_iter().flat_map(of).collect())
    }

    /// The fields with token ids that are listed for each token (``input kept: candidates id``), and with values beside them.
    /// ``rows`` reads them, and stands in for them as for logits.
    #[getter]
    fn candidate_fields(&self) -> BTreeSet<String> {
        self.read(|session| session.program().reads().candidates)
    }

    /// Whether a batch may bring ``log_prob`` in place of ``logits`` and ``actions``: nothing else is read of a row.
    #[getter]
    fn takes_log_prob(&self) -> bool {
        self.read(|session| session.program().reads().takes_log_prob())
    }

    /// Whether the loss, a metric or a signal depends on the padded length of the step.
    #[getter]
    fn reads_width(&self) -> bool {
        self.read(|session| session.program().reads().width)
    }

    /// The text that was compiled, of the file itself; ``sources`` has those of its imports too.
    #[getter]
    fn source(&self) -> String {
        self.read(|session| {
            let main = session.program().sources().iter().next();
            main.map(|(_, source)| source.text().to_owned()).unwrap_or_default()
        })
    }

    /// Every text that was compiled with the name it has in messages: the file first, then what it imports, those of the
    /// library included. A pickled program carries them, so it needs no file where it is loaded.
    #[getter]
    fn sources(&self) -> Vec<(String, String)> {
        self.read(|session| {
            let sources = session.program().sources().iter();
            sources.map(|(_, source)| (source.name().to_owned(), source.text().to_owned())).collect()
        })
    }

    /// What the file needs of the whole step before the first micro-batch can give its share, with the formulas that need it:
    /// ``{"tokens": [{"formula": "token_mean(policy)", "place": "grpo.aent:3:8"}], ...}``.
    ///
    /// ``tokens``, ``sequences`` and ``width`` are counts, for ``accumulate``. ``groups`` are all samples of a group together,
    /// by the field under ``field``: in one micro-batch, or else measured. ``fields`` are the batch fields of all micro-batches,
    /// for ``measure``, and ``whole_step`` is what the model says of all of them. Metrics and signals need counts alone.
    #[getter]
    fn requires(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(pythonize::pythonize(py, &self.read(session::requirements))?.unbind())
    }

    /// The terms that the file calls, each formula once: ``[{"name": "clip_ppo", "reads": {"advantages": "advantages", ...},
    /// "args": {"low": 0.2, ...}}, ...]``.
    ///
    /// ``reads`` has the formula of each input, which is a batch field's name where it is one. ``args`` has all arguments, with
    /// the defaults of those that are not given; one that moves is ``{"moving": formula}``.
    #[getter]
    fn terms(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(pythonize::pythonize(py, &self.read(|session| session.program().calls()))?.unbind())
    }

    /// What of all micro-batches must be seen before the first of them can give its share: their masks, their batch
    /// fields, or what the model says of them.
    #[getter]
    fn first_pass(&self) -> &'static str {
        self.now().plan().first_pass.as_str()
    }

    /// The lints that were found and not silenced, drawn.
    #[getter]
    fn warnings(&self) -> String {
        let session = self.now();
        let program = session.program();
        aent_show::text(program.warnings(), program.sources(), Colour::Plain)
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let rebuild = py.import("aent.compiler")?.getattr("_rebuild")?;
        let Options { kernels, overwrite_logits, chunk_bytes, validate, lets } = self.origin.options;
        let options = PyDict::new(py);
        options.set_item("kernels", if kernels == Kernels::Auto { "auto" } else { "reference" })?;
        options.set_item("overwrite_logits", overwrite_logits)?;
        options.set_item("chunk_bytes", chunk_bytes)?;
        options.set_item("validate", validate)?;
        options.set_item("lets", lets)?;
        let modules: BTreeSet<String> = self.read(|session| {
            let owners = session.program().terms.iter().map(Object::owner);
            owners.filter_map(|owner| owner.strip_prefix("python:")).map(str::to_owned).collect()
        });
        let (sources, state) = (self.sources(), self.state_dict(py)?);
        let arguments = (sources, self.origin.params.clone(), options, modules, state);
        Ok((rebuild, arguments.into_pyobject(py)?))
    }

    fn __repr__(&self) -> String {
        self.read(|session| {
            format!("Program(step={}, coefficients={:?})", session.steps(), session.coefficients())
        })
    }

    fn __str__(&self) -> String {
        self.now().program().to_string()
    }

    fn _repr_html_<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("aent.notebook")?.call_method1("of_program", (slf,))
    }
}
