// The autograd node of row statistics. What it does is decided in Rust: see node.rs, which states what the pointers mean.
#include <torch/csrc/autograd/custom_function.h>

#include <cstdio>
#include <exception>
#include <memory>
#include <stdexcept>
#include <vector>

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

extern "C" {
struct aent_tensors {
    const at::Tensor* const* first;
    size_t count;
};

struct aent_backward {
    aent_tensors saved;
    const at::Tensor* cotangents;
    const bool* wanted;
    at::Tensor** gradients;
    char* message;
    size_t room;
};

// Rust's half of a node: it owns `state`, makes the gradients, and on failure says why in `message`.
struct aent_node {
    void* state;
    bool (*backward)(const void* state, const aent_backward* call);
    void (*drop)(void* state);
};
}

namespace {

struct Half : torch::CustomClassHolder {
    explicit Half(aent_node node) : node(node) {}
    ~Half() override { node.drop(node.state); }
    aent_node node;
};

// A gradient that cannot be differentiated again.
struct Refusal : torch::autograd::Function<Refusal> {
    static at::Tensor forward(AutogradContext*, const at::Tensor& gradient, at::TensorList) {
        return gradient;
    }

    static variable_list backward(AutogradContext*, const variable_list&) {
        throw std::runtime_error("row statistics cannot be differentiated twice; the reference kernels can");
    }
};

struct RowStatistics : torch::autograd::Function<RowStatistics> {
    // `values` and `saved` hide behind pointers: they are no inputs.
    static at::Tensor forward(AutogradContext* ctx, at::TensorList inputs, const variable_list* saved,
                              const at::Tensor* values, c10::intrusive_ptr<Half> half) {
        variable_list kept(inputs.begin(), inputs.end());
        kept.insert(kept.end(), saved->begin(), saved->end());
        ctx->save_for_backward(std::move(kept));
        ctx->saved_data["half"] = c10::IValue::make_capsule(std::move(half));
        ctx->saved_data["inputs"] = static_cast<int64_t>(inputs.size());
        return *values;
    }

    static variable_list backward(AutogradContext* ctx, variable_list cotangents) {
        const variable_list saved = ctx->get_saved_variables();
        const auto inputs = static_cast<size_t>(ctx->saved_data["inputs"].toInt());
        variable_list gradients(inputs + 3);
        {
            at::NoGradGuard no_grad;
            // In the kinds of the forward pass, whatever autocast says by now.
            const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
            std::vector<const at::Tensor*> tensors;
            for (const at::Tensor& tensor : saved) tensors.push_back(&tensor);
            const std::unique_ptr<bool[]> wanted(new bool[inputs]);
            for (size_t i = 0; i < inputs; ++i) wanted[i] = ctx->needs_input_grad(i);
            std::vector<at::Tensor*> made(inputs, nullptr);
            char message[512] = "";
            const aent_backward call{{tensors.data(), tensors.size()}, &cotangents[0], wanted.get(), made.data(),
                                     message, sizeof message};
            auto half = c10::static_intrusive_pointer_cast<Half>(ctx->saved_data["half"].toCapsule());
            if (!half->node.backward(half->node.state, &call)) {
                throw std::runtime_error(message);
            }
            for (size_t i = 0; i < inputs; ++i) {
                const std::unique_ptr<at::Tensor> gradient(made[i]);
                if (!gradient) continue;
                // Whoever saved an input that its gradient now lies in must be told.
                if (gradient->is_alias_of(saved[i])) saved[i].unsafeGetTensorImpl()->bump_version();
                gradients[i] = std::move(*gradient);
            }
        }
        if (at::GradMode::is_enabled()) {
            // The gradient is right; differentiating it again raises an error.
            variable_list of(saved.begin(), saved.end());
            of.push_back(cotangents[0]);
            for (at::Tensor& gradient : gradients) {
                if (gradient.defined()) gradient = Refusal::apply(gradient, at::TensorList(of));
            }
        }
        return gradients;
    }
};

variable_list copies(aent_tensors tensors) {
    variable_list list;
    for (size_t i = 0; i < tensors.count; ++i) list.push_back(*tensors.first[i]);
    return list;
}

}  // namespace

extern "C" {

// A new tensor with the storage of `values` that leads back to `inputs`; null with a message on failure, and then
// `node` is dropped too.
at::Tensor* aent_attach(aent_tensors inputs, aent_tensors saved, const at::Tensor* values, aent_node node,
                        char* message, size_t room) {
    try {
        auto half = c10::make_intrusive<Half>(node);
        const variable_list list = copies(inputs), others = copies(saved);
        return new at::Tensor(RowStatistics::apply(at::TensorList(list), &others, values, std::move(half)));
    } catch (const std::exception& error) {
        std::snprintf(message, room, "%s", error.what());
        return nullptr;
    }
}
}
