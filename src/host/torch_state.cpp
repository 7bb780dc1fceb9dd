// What libtorch knows of a tensor and of this thread, asked so that nothing is thrown: see state.rs, which states what
// the numbers mean.
#include <ATen/EmptyTensor.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <exception>

namespace {

using c10::DispatchKey;

constexpr uint32_t UNDEFINED = 1, TRANSFORMED = 2, NESTED = 4, SPARSE = 8, UNSIZED = 16, META = 32, DISPATCHED = 64,
                   UNREADABLE = 128, NEGATED = 256, ZERO = 512;

constexpr c10::DispatchKeySet transforms({DispatchKey::FuncTorchBatched, DispatchKey::FuncTorchGradWrapper,
                                          DispatchKey::Batched, DispatchKey::Functionalize});
// What computes by itself, so that torch's operations need no memory of such a tensor.
constexpr c10::DispatchKeySet dispatched({DispatchKey::Python, DispatchKey::ZeroTensor});

// Whether the storage has every element.
bool is_readable(const at::Tensor& tensor) {
    if (tensor.numel() == 0) return true;
    if (!tensor.unsafeGetTensorImpl()->has_storage()) return false;
    const size_t needed = at::detail::computeStorageNbytes(tensor.sizes(), tensor.strides(), tensor.element_size(),
                                                           tensor.storage_offset());
    return tensor.const_data_ptr() != nullptr && tensor.storage().nbytes() >= needed;
}

}  // namespace

extern "C" {

uint32_t aent_flags(const at::Tensor* tensor) {
    if (!tensor->defined()) return UNDEFINED;
    uint32_t flags = 0;
    try {
        const auto keys = tensor->key_set();
        if (keys.has_any(transforms)) flags |= TRANSFORMED;
        if (keys.has_any(dispatched)) flags |= DISPATCHED;
        if (tensor->_is_zerotensor()) flags |= ZERO;
        if (tensor->is_nested() || tensor->layout() == at::kJagged) flags |= NESTED;
        else if (tensor->layout() != at::kStrided) flags |= SPARSE;
        if (tensor->is_meta()) flags |= META;
        if (tensor->is_neg()) flags |= NEGATED;
        if (flags & (TRANSFORMED | NESTED | SPARSE)) return flags | UNREADABLE;
        tensor->sizes();
        tensor->strides();
    } catch (const std::exception&) {
        return flags | UNSIZED | UNREADABLE;
    }
    try {
        if (!is_readable(*tensor)) flags |= UNREADABLE;
    } catch (const std::exception&) {
        flags |= UNREADABLE;
    }
    return flags;
}

// Whether forward-mode differentiation goes through it.
bool aent_has_tangent(const at::Tensor* tensor) {
    try {
        return tensor->_fw_grad(0).defined();
    } catch (const std::exception&) {
        return false;
    }
}

// The name of the kind of its numbers, as C++ has it; the text lives as long as the program.
const char* aent_kind_name(const at::Tensor* tensor) { return c10::toString(tensor->scalar_type()); }

// The number of the kind that autocast computes in on the tensor's device; -1 where it is off.
int32_t aent_autocast_kind(const at::Tensor* tensor) {
    try {
        const auto device = tensor->device().type();
        if (!at::autocast::is_autocast_available(device) || !at::autocast::is_autocast_enabled(device)) return -1;
        return static_cast<int32_t>(at::autocast::get_autocast_dtype(device));
    } catch (const std::exception&) {
        return -1;
    }
}

// Switches autocast off in this thread until the result is given to `aent_autocast_back`.
void* aent_autocast_off() { return new c10::impl::ExcludeDispatchKeyGuard(c10::autocast_dispatch_keyset); }

void aent_autocast_back(void* guard) { delete static_cast<c10::impl::ExcludeDispatchKeyGuard*>(guard); }
}
