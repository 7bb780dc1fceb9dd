// The autograd node of row statistics and a loop on libtorch's own threads. What either does is decided in Rust:
// see autograd.rs, which states what the pointers mean.
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/functions/basic_ops.h>
#include <torch/csrc/autograd/functions/utils.h>

#include <cstdio>
#include <exception>
#include <stdexcept>

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

extern "C" {
// Rust's half of a node: it owns `state`, fills `gradient`, and on failure says why in `message`.
struct aent_node {
    void* state;
    bool (*backward)(const void* state, const at::Tensor* logits, const at::Tensor* cotangents, at::Tensor* gradient,
                     char* message, size_t room);
    void (*drop)(void* state);
};
}

namespace {

struct Half : torch::CustomClassHolder {
    explicit Half(aent_node node) : node(node) {}
    ~Half() override { node.drop(node.state); }
    aent_node node;
};

struct RowStatistics : torch::autograd::Function<RowStatistics> {
    // `values` hides behind a pointer: it is the result, not an input.
    static at::Tensor forward(AutogradContext* ctx, const at::Tensor& logits, const at::Tensor* values,
                              c10::intrusive_ptr<Half> half) {
        ctx->save_for_backward({logits});
        ctx->saved_data["half"] = c10::IValue::make_capsule(std::move(half));
        return *values;
    }

    static variable_list backward(AutogradContext* ctx, variable_list cotangents) {
        const at::Tensor logits = ctx->get_saved_variables()[0];
        at::Tensor gradient;
        {
            at::NoGradGuard no_grad;
            gradient = at::empty(logits.sizes(), logits.options());
            auto half = c10::static_intrusive_pointer_cast<Half>(ctx->saved_data["half"].toCapsule());
            char message[512] = "";
            if (!half->node.backward(half->node.state, &logits, &cotangents[0], &gradient, message, sizeof message)) {
                throw std::runtime_error(message);
            }
        }
        if (at::GradMode::is_enabled()) {
            // The gradient itself is right; only whoever goes on to differentiate it is told.
            torch::autograd::set_history(gradient, std::make_shared<torch::autograd::Error>(
                "row statistics cannot be differentiated twice; the reference kernels can",
                torch::autograd::collect_next_edges(logits, cotangents[0])));
        }
        return {gradient, at::Tensor(), at::Tensor()};
    }
};

}  // namespace

extern "C" {

// A new tensor with the storage of `values` that leads back to `logits`; null with a message on failure, and then
// `node` is dropped too.
at::Tensor* aent_attach(const at::Tensor* logits, const at::Tensor* values, aent_node node, char* message, size_t room) {
    try {
        return new at::Tensor(RowStatistics::apply(*logits, values, c10::make_intrusive<Half>(node)));
    } catch (const std::exception& error) {
        std::snprintf(message, room, "%s", error.what());
        return nullptr;
    }
}

// Calls `work` with every worker's number, at most as many at once as libtorch has threads.
void aent_parallel(int64_t workers, const void* job, void (*work)(const void* job, int64_t worker)) {
    at::parallel_for(0, workers, 1, [&](int64_t begin, int64_t end) {
        for (int64_t worker = begin; worker < end; ++worker) work(job, worker);
    });
}
}
